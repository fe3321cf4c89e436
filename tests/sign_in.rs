//! Signing in, through the C ABI against the simulator: how it ends well, and each way in which it does not.

mod common;

use std::time::{Duration, Instant};

use common::{Failure, Host, c, simulator, until};
use exchange_simulator::Simulator;
use serde_json::{Value as Json, json};

fn polls(simulator: &Simulator) -> Vec<exchange_simulator::Request> {
    let requests = simulator.requests().into_iter();
    requests.filter(|request| request.path.ends_with("/token") && request.form.contains_key("device_code")).collect()
}

/// The failure of a sign-in that ends before or after its code was shown.
fn failure(host: &Host) -> Failure {
    host.start_sign_in().wait().unwrap_err()
}

#[test]
fn a_confirmed_code_connects_and_the_connection_is_proven() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    assert_eq!(host.system()["status"]["state"], "not_connected");
    let operation = host.start_sign_in();
    let code = host.code().unwrap();
    assert_eq!(polls(&simulator).len(), 1, "one poll before the code is shown");
    let state = host.sign_in_state().unwrap();
    assert_eq!(state["state"], "code_waiting");
    assert_eq!(state["status"], 1);
    assert_eq!(state["code"]["user_code"], code.as_str());
    assert!(state["code"]["expires_in_s"].as_i64().unwrap() > 890);
    assert_eq!(host.system()["status"]["state"], "code_waiting");

    simulator.approve(&code);
    let outcome = operation.wait().unwrap();
    assert_eq!(outcome["state"], "connected");
    assert_eq!(outcome["account"]["username"], simulator.account());
    assert_eq!(outcome["login_name"], simulator.account());
    assert_eq!(outcome["warnings"], json!([]));
    let system = host.system();
    assert_eq!(system["status"]["state"], "connected");
    assert_eq!(system["status"]["account"]["tenant"], simulator.tenant_id());
    assert_eq!(simulator.smtp_sessions().len(), 1, "the SMTP login is the proof");
    assert!(simulator.smtp_sessions()[0].user.is_some());
}

#[test]
fn only_what_the_host_uses_is_asked() {
    let simulator = simulator();
    let mut settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
    settings["serves"] = json!(["smtp"]);
    settings["openid"] = json!(false);
    settings["login_name"] = json!(simulator.account());
    let host = Host::with(&simulator, simulator.client_id(), simulator.tenant_id(), &settings.to_string());
    host.sign_in(&simulator).unwrap();
    let asked = simulator.requests().into_iter().find(|request| request.path.ends_with("/devicecode")).unwrap();
    assert_eq!(asked.form["scope"], "https://outlook.office.com/SMTP.Send offline_access");
}

#[test]
fn public_client_flows_off_is_told_before_a_code_is_shown() {
    let simulator = simulator();
    simulator.set(json!({"public_client_flows": false}));
    let host = Host::new(&simulator);
    let failure = failure(&host);
    assert_eq!(failure.name(), "MXO_E_PUBLIC_CLIENT_OFF");
    assert!(failure.remedy().contains("Allow public client flows"), "{}", failure.remedy());
    assert_eq!(failure.error["service"]["aadsts"], 7_000_218);
    assert!(host.code().is_err(), "a code that cannot work is not shown");
    assert_eq!(host.sign_in_state().unwrap()["error"]["name"], "MXO_E_PUBLIC_CLIENT_OFF");
}

#[test]
fn a_wrong_client_id_and_a_wrong_tenant_are_told_apart() {
    let simulator = simulator();
    let settings = simulator.settings_json();
    let stranger = "11111111-2222-4333-8444-555555555555";
    for status in [400, 200] {
        simulator.set(json!({"devicecode_error_status": status}));
        let app = failure(&Host::with(&simulator, stranger, simulator.tenant_id(), &settings));
        assert_eq!(app.name(), "MXO_E_APP_NOT_FOUND", "{}", app.error);
        assert!(app.remedy().contains("client ID"), "{}", app.remedy());
        let tenant = failure(&Host::with(&simulator, simulator.client_id(), stranger, &settings));
        assert_eq!(tenant.name(), "MXO_E_TENANT_NOT_FOUND", "{}", tenant.error);
        assert!(tenant.remedy().to_lowercase().contains("tenant id"), "{}", tenant.remedy());
        assert_ne!(app.message(), tenant.message());
    }
}

#[test]
fn a_declined_and_an_expired_code_are_told_apart() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    let operation = host.start_sign_in();
    simulator.decline(&host.code().unwrap());
    let declined = operation.wait().unwrap_err();
    assert_eq!(declined.name(), "MXO_E_SIGN_IN_DECLINED");
    assert!(!declined.remedy().is_empty());

    simulator.set(json!({"device_code_lifetime_s": 2}));
    let operation = host.start_sign_in();
    host.code().unwrap();
    let expired = operation.wait().unwrap_err();
    assert_eq!(expired.name(), "MXO_E_SIGN_IN_EXPIRED");
    assert!(expired.remedy().contains("AADSTS"), "most refusals are shown only in the browser: {}", expired.remedy());
    assert_eq!(host.system()["status"]["state"], "not_connected");
}

#[test]
fn an_approval_in_the_last_moment_counts() {
    let simulator = simulator();
    simulator.set(json!({"device_code_lifetime_s": 6, "interval_s": 3}));
    let host = Host::new(&simulator);
    let operation = host.start_sign_in();
    let code = host.code().unwrap();
    let shown = Instant::now();
    // After the poll at 3 s; the next would come when the code has ended at 6 s.
    until(|| polls(&simulator).len() == 2);
    simulator.approve(&code);
    assert_eq!(operation.wait().unwrap()["state"], "connected");
    assert!(shown.elapsed() < Duration::from_secs(8));
}

#[test]
fn faults_on_the_way_do_not_end_the_polling() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    let operation = host.start_sign_in();
    let code = host.code().unwrap();
    simulator.misbehave(json!({"name": "http", "status": 503, "body": "html", "at": "poll", "times": 1}));
    simulator.misbehave(
        json!({"name": "http", "status": 429, "retry_after": "1", "body": "json", "at": "poll", "times": 1}),
    );
    simulator.misbehave(json!({"name": "reset", "at": "poll", "times": 1}));
    let before = polls(&simulator).len();
    until(|| polls(&simulator).len() >= before + 3);
    simulator.approve(&code);
    assert_eq!(operation.wait().unwrap()["state"], "connected");
}

#[test]
fn slow_down_is_obeyed() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.misbehave(json!({"name": "error", "error": "slow_down", "at": "poll", "times": 1, "after": 1}));
    let operation = host.start_sign_in();
    simulator.approve(&{
        let code = host.code().unwrap();
        until(|| polls(&simulator).iter().any(|poll| poll.error.as_deref() == Some("slow_down")));
        code
    });
    operation.wait().unwrap();
    let polls = polls(&simulator);
    let told = polls.iter().position(|poll| poll.error.as_deref() == Some("slow_down")).unwrap();
    let pause = polls[told + 1].at_ms - polls[told].at_ms;
    assert!(pause >= 6_000, "the interval of 1 s and 5 s more: {pause} ms");
}

#[test]
fn polls_keep_the_interval() {
    let simulator = simulator();
    simulator.set(json!({"interval_s": 2, "device_code_lifetime_s": 7}));
    let host = Host::new(&simulator);
    host.start_sign_in().wait().unwrap_err();
    let polls = polls(&simulator);
    assert!((4..=6).contains(&polls.len()), "{}", polls.len());
    // The last two come around the code's end, whenever that is.
    for pair in polls[..polls.len() - 2].windows(2) {
        assert!(pair[1].at_ms - pair[0].at_ms >= 1_990, "{} ms", pair[1].at_ms - pair[0].at_ms);
    }
}

#[test]
fn a_grant_that_is_not_enough_is_no_connection() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    let with = |rule: Json| {
        simulator.behave();
        simulator.misbehave(rule);
        host.sign_in(&simulator).unwrap_err()
    };
    let scope = with(json!({"name": "scope-reduced", "scope": "SMTP.Send", "at": "poll"}));
    assert_eq!(scope.name(), "MXO_E_PERMISSION_MISSING", "{}", scope.error);
    assert!(scope.message().contains("SMTP.Send"), "{}", scope.message());
    let refresh = with(json!({"name": "no-refresh-token", "at": "poll"}));
    assert_eq!(refresh.name(), "MXO_E_PERMISSION_MISSING", "{}", refresh.error);
    assert!(refresh.remedy().contains("offline_access"), "{}", refresh.remedy());
    let tenant = with(json!({"name": "other-tenant", "at": "poll"}));
    assert_eq!(tenant.name(), "MXO_E_WRONG_ACCOUNT", "{}", tenant.error);
    let consumer = with(json!({"name": "consumer-tenant", "at": "poll"}));
    assert_eq!(consumer.name(), "MXO_E_ACCOUNT", "{}", consumer.error);
    let nameless = with(json!({"name": "no-preferred-username", "at": "poll"}));
    assert_eq!(nameless.name(), "MXO_E_ACCOUNT", "{}", nameless.error);
    assert!(nameless.remedy().contains("login_name"), "{}", nameless.remedy());
    assert_eq!(host.system()["status"]["state"], "not_connected");
}

#[test]
fn smtp_auth_off_is_connected_but_with_a_remedy() {
    let simulator = simulator();
    simulator.misbehave(json!({"name": "tenant-disabled"}));
    let host = Host::new(&simulator);
    let outcome = host.sign_in(&simulator).unwrap();
    assert_eq!(outcome["state"], "connected");
    let warning = &outcome["warnings"][0];
    assert_eq!(warning["protocol"], "smtp");
    assert_eq!(warning["name"], "MXO_E_SMTP_AUTH_OFF");
    assert!(warning["remedy"].as_str().unwrap().contains("Set-TransportConfig"), "{warning}");
    assert_eq!(host.system()["status"]["warnings"][0]["name"], "MXO_E_SMTP_AUTH_OFF");
    assert!(host.token(0).is_ok(), "the tokens are kept");
}

#[test]
fn a_second_start_joins_and_replace_replaces() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    let first = host.start_sign_in();
    let code = host.code().unwrap();
    let joined = host.start_sign_in();
    assert_eq!(host.code().unwrap(), code);
    let id = host.sign_in_state().unwrap()["sign_in_id"].clone();
    let replacing = host.start_sign_in_with(c(r#"{"if_pending": "replace"}"#).as_ptr()).unwrap();
    assert_eq!(first.wait().unwrap_err().name(), "MXO_E_CANCELED");
    assert_eq!(joined.wait().unwrap_err().name(), "MXO_E_CANCELED");
    assert_ne!(host.sign_in_state().unwrap()["sign_in_id"], id);
    let new_code = host.code().unwrap();
    assert_ne!(new_code, code);
    simulator.approve(&new_code);
    assert_eq!(replacing.wait().unwrap()["state"], "connected");
    assert!(host.start_sign_in_with(c(r#"{"if_pending": "what"}"#).as_ptr()).is_err());
}

#[test]
fn freeing_the_operation_lets_the_sign_in_go_on_and_cancelling_ends_it() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    drop(host.start_sign_in());
    simulator.approve(&host.code().unwrap());
    until(|| host.sign_in_state().unwrap()["state"] == "connected");

    let operation = host.start_sign_in();
    host.code().unwrap();
    operation.cancel();
    assert_eq!(operation.wait().unwrap_err().name(), "MXO_E_CANCELED");
    until(|| host.sign_in_state().unwrap()["state"] == "failed");
    assert_eq!(host.system()["status"]["state"], "connected", "the connection before is not touched");

    let operation = host.start_sign_in();
    host.code().unwrap();
    host.cancel_sign_in().unwrap();
    assert_eq!(operation.wait().unwrap_err().name(), "MXO_E_CANCELED");
    host.cancel_sign_in().unwrap();
}

#[test]
fn another_account_at_a_reconnect_is_warned_of() {
    let options = exchange_simulator::Options {
        accounts: vec![
            exchange_simulator::Account::new("print@contoso.example", "Print"),
            exchange_simulator::Account::new("admin@contoso.example", "Admin"),
        ],
        ..Default::default()
    };
    let simulator = Simulator::start(options).unwrap();
    simulator.set(json!({"interval_s": 1}));
    let host = Host::connected(&simulator);
    let operation = host.start_sign_in();
    simulator.approve_as(&host.code().unwrap(), "admin@contoso.example");
    let outcome = operation.wait().unwrap();
    assert_eq!(outcome["warnings"][0]["name"], "MXO_E_WRONG_ACCOUNT", "{outcome}");
    assert_eq!(outcome["login_name"], "admin@contoso.example");
}

#[test]
fn an_identity_service_that_is_not_there_says_so() {
    let simulator = simulator();
    let mut settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
    settings["cloud"]["device_authorization_endpoint"] = json!("https://no-such-host.invalid/devicecode");
    let host = Host::with(&simulator, simulator.client_id(), simulator.tenant_id(), &settings.to_string());
    assert_eq!(failure(&host).name(), "MXO_E_NAME_RESOLUTION");

    settings["cloud"]["device_authorization_endpoint"] = json!("https://localhost:1/devicecode");
    let host = Host::with(&simulator, simulator.client_id(), simulator.tenant_id(), &settings.to_string());
    let refused = failure(&host);
    assert_eq!(refused.name(), "MXO_E_NETWORK");
    assert!(refused.remedy().contains("port 1"), "{}", refused.remedy());

    let settings = simulator.settings_json();
    simulator.misbehave(json!({"name": "certificate", "flaw": "unknown-issuer", "at": "identity.tls"}));
    let host = Host::with(&simulator, simulator.client_id(), simulator.tenant_id(), &settings);
    assert_eq!(failure(&host).name(), "MXO_E_CERTIFICATE");
}

#[test]
fn the_last_change_that_a_callback_hears_is_a_state_whatever_ends_it() {
    use std::ffi::{CStr, c_char, c_void};
    use std::sync::Mutex;

    use myq_exchange_online::ffi::operation::mxo_operation_cancel;
    use myq_exchange_online::ffi::sign_in::mxo_sign_in_start;
    use myq_exchange_online::ffi::value::mxo_value_string;
    use myq_exchange_online::ffi::{mxo_operation, mxo_value};

    static STATES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    unsafe extern "C" fn keep(_: *mut c_void, operation: *mut mxo_operation, change: *const mxo_value) {
        let text = |path: &CStr| {
            let found: *const c_char = mxo_value_string(change, path.as_ptr());
            assert!(!found.is_null(), "{path:?} is missing");
            // SAFETY: lives for the call.
            unsafe { CStr::from_ptr(found) }.to_str().unwrap().to_owned()
        };
        let state = text(c"/state");
        if state == "code_waiting" {
            mxo_operation_cancel(operation);
        }
        STATES.lock().unwrap().push(format!("{state} {}", text(c"/name")));
    }

    let simulator = simulator();
    let host = Host::new(&simulator);
    let (mut operation, mut error) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: live handles, NUL-terminated texts, a callback without data.
    let status = unsafe {
        mxo_sign_in_start(
            host.connector,
            host.system.as_ptr(),
            std::ptr::null(),
            Some(keep),
            std::ptr::null_mut(),
            None,
            &raw mut operation,
            &raw mut error,
        )
    };
    common::checked(status, error).unwrap();
    let operation = common::Operation(operation);
    assert_eq!(operation.wait().unwrap_err().name(), "MXO_E_CANCELED");
    until(|| STATES.lock().unwrap().len() == 2);
    assert_eq!(*STATES.lock().unwrap(), ["code_waiting MXO_PENDING", "failed MXO_E_CANCELED"]);
}

#[test]
fn a_clock_that_is_wrong_by_half_an_hour_does_not_matter() {
    let simulator = simulator();
    simulator.advance(Duration::from_secs(1_800));
    let host = Host::connected(&simulator);
    let (_, expires) = host.token(0).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let life = expires - i64::try_from(now).unwrap();
    assert!((3_500..=5_500).contains(&life), "by this computer's clock: {life}");
    // A proxy whose clock is wrong instead.
    let simulator = common::simulator();
    simulator.misbehave(json!({"name": "date-skew", "seconds": -3600, "at": ["devicecode", "poll"]}));
    Host::connected(&simulator);
}

#[test]
fn a_system_that_is_switched_off_keeps_its_tokens_and_gives_none() {
    use myq_exchange_online::ffi::system::mxo_system_update;
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let (token, _) = host.token(0).unwrap();
    let switch = |enabled: bool| {
        let patch = c(&json!({"settings": {"enabled": enabled}}).to_string());
        let mut error = std::ptr::null_mut();
        // SAFETY: a live handle, NUL-terminated texts, a valid out-pointer.
        let status = unsafe { mxo_system_update(host.connector, host.system.as_ptr(), patch.as_ptr(), &raw mut error) };
        common::checked(status, error).unwrap();
    };
    switch(false);
    assert_eq!(host.system()["status"]["state"], "disabled");
    for refused in [host.token(0).unwrap_err(), host.start_sign_in_with(std::ptr::null()).err().unwrap()] {
        assert_eq!(refused.name(), "MXO_E_DISABLED");
        assert!(refused.remedy().contains("\"enabled\""), "{}", refused.remedy());
    }
    switch(true);
    assert_eq!(host.system()["status"]["state"], "connected");
    assert_eq!(host.token(0).unwrap().0, token);
}

#[test]
fn each_exchange_is_a_line_of_the_log_with_its_target_and_correlation_id() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    let events = host.events(Some(r#"{"types": ["log"], "log_level": "debug"}"#));
    host.sign_in(&simulator).unwrap();
    let line = events.until(|event| event["target"] == "identity");
    assert_eq!(line["level_name"], "debug");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("/devicecode") && message.contains("HTTP 200"), "{message}");
    let id = message.split(['(', ')']).nth(1).unwrap();
    assert!(uuid::Uuid::try_parse(id).is_ok(), "{message}");
    events.until(|event| event["target"] == "sign_in" && event["level_name"] == "info");
}
