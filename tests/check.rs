//! The diagnosis, through the C ABI against the simulator: each fault is named, and no other.

mod common;

use std::ffi::{CStr, c_void};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};
use std::sync::Mutex;
use std::time::Duration;

use common::{Host, Operation, Result, c, checked, simulator, until};
use exchange_simulator::Simulator;
use myq_exchange_online::ffi::check::mxo_check_start;
use myq_exchange_online::ffi::system::mxo_system_update;
use myq_exchange_online::ffi::value::mxo_value_json;
use myq_exchange_online::ffi::{mxo_operation, mxo_operation_fn, mxo_value};
use serde_json::{Value as Json, json};

fn start_with(
    host: &Host,
    options: Option<&str>,
    on_change: mxo_operation_fn,
    user_data: *mut c_void,
) -> Result<Operation> {
    let (mut operation, mut error) = (null_mut(), null_mut());
    let options = options.map(c);
    // SAFETY: a live handle, NUL-terminated texts, valid out-pointers; the data outlives the operation.
    let status = unsafe {
        mxo_check_start(
            host.connector,
            host.system.as_ptr(),
            options.as_ref().map_or(null(), |options| options.as_ptr()),
            on_change,
            user_data,
            None,
            &raw mut operation,
            &raw mut error,
        )
    };
    checked(status, error).map(|_| Operation(operation))
}

fn start(host: &Host) -> Operation {
    start_with(host, None, None, null_mut()).unwrap()
}

fn check(host: &Host) -> Json {
    start(host).wait().unwrap()
}

fn states(check: &Json) -> Vec<(String, String)> {
    let steps = check["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["step"].as_str().unwrap().to_owned(), step["state"].as_str().unwrap().to_owned())).collect()
}

/// One step failed, for this reason, and the words say so; all others are well or were not tried.
#[track_caller]
fn names(check: &Json, step: &str, status: &str, words: &[&str]) {
    assert_eq!(check["verdict"], "failed", "{check:#}");
    let failed: Vec<_> =
        states(check).into_iter().filter(|(_, state)| state == "failed").map(|(step, _)| step).collect();
    assert_eq!(failed, [step], "{check:#}");
    assert_eq!(check["cause"]["step"], step);
    assert_eq!(check["cause"]["name"], status, "{check:#}");
    let told = format!("{} {}", check["cause"]["message"], check["cause"]["remedy"]);
    for word in words {
        assert!(told.contains(word), "\"{word}\" is not in: {told}");
    }
    assert!(check["text"].as_str().unwrap().contains("What to do: "), "{}", check["text"]);
}

/// A system with these settings changed.
fn with_settings(simulator: &Simulator, change: impl Fn(&mut Json)) -> Host {
    let mut settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
    change(&mut settings);
    Host::with(simulator, simulator.client_id(), simulator.tenant_id(), &settings.to_string())
}

fn with_options(simulator: &Simulator, options: Json) -> Result<Host> {
    let connector = common::open(&options.to_string())?;
    let system = common::add(connector, simulator.client_id(), simulator.tenant_id(), &simulator.settings_json())?;
    Ok(Host { connector, system })
}

fn endpoints(settings: &mut Json, authority: &str) {
    for (name, last) in [("device_authorization_endpoint", "devicecode"), ("token_endpoint", "token")] {
        settings["cloud"][name] = json!(format!("https://{authority}/{{tenant}}/oauth2/v2.0/{last}"));
    }
}

#[test]
fn when_all_is_well_each_step_says_so() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let (token, _) = host.token(0).unwrap();
    let check = check(&host);
    assert_eq!(check["verdict"], "ok", "{check:#}");
    assert_eq!(check["cause"], Json::Null);
    let steps = states(&check);
    assert_eq!(steps.len(), 13);
    assert!(steps.iter().all(|(_, state)| state == "ok"), "{check:#}");
    for step in check["steps"].as_array().unwrap() {
        assert!(step["duration_ms"].is_u64() && !step["detail"].as_str().unwrap().is_empty(), "{step}");
    }
    let facts = |name: &str| {
        let steps = check["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == name).unwrap()["facts"].clone()
    };
    assert!(facts("identity_tls")["issuer"].as_str().is_some_and(|issuer| !issuer.is_empty()), "{check:#}");
    assert_eq!(facts("permissions")["needed"].as_array().unwrap().len(), 1);
    assert_eq!(facts("account")["login_name"], simulator.account());
    let (fresh, _) = host.token(0).unwrap();
    assert_ne!(fresh, token, "the refresh was tried");
    for secret in [token, fresh] {
        assert!(!check.to_string().contains(&secret));
    }
}

#[test]
fn a_sign_in_service_that_cannot_be_resolved() {
    let simulator = simulator();
    let host = with_settings(&simulator, |settings| endpoints(settings, "login.nowhere.invalid"));
    let check = check(&host);
    names(&check, "identity_resolve", "MXO_E_NAME_RESOLUTION", &["login.nowhere.invalid", "DNS"]);
}

#[test]
fn a_firewall_that_inspects_tls_is_named() {
    let simulator = simulator();
    // Another authority's certificate for the same host: what such a firewall shows.
    let inspector = common::simulator();
    let host = with_settings(&simulator, |settings| {
        let theirs: Json = serde_json::from_str(&inspector.settings_json()).unwrap();
        for name in ["device_authorization_endpoint", "token_endpoint"] {
            settings["cloud"][name] = theirs["cloud"][name].clone();
        }
    });
    let check = check(&host);
    names(&check, "identity_tls", "MXO_E_CERTIFICATE", &["issued by", "inspects TLS", "ca_file"]);
}

#[test]
fn a_proxy_that_wants_a_password() {
    let simulator = simulator();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut asked = [0; 2048];
            let _ = stream.read(&mut asked);
            let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                          Content-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
        }
    });
    let host = with_options(&simulator, json!({"proxy": format!("http://127.0.0.1:{port}")})).unwrap();
    let check = check(&host);
    let failed: Vec<_> = states(&check).into_iter().filter(|(_, state)| state == "failed").collect();
    assert!(failed.iter().all(|(step, _)| step.ends_with("_connect")), "both roads lead through it: {check:#}");
    assert_eq!((&check["cause"]["step"], &check["cause"]["name"]), (&json!("identity_connect"), &json!("MXO_E_PROXY")));
    let told = format!("{} {}", check["cause"]["message"], check["cause"]["remedy"]);
    assert!(told.contains("user name and") && told.contains("password") && told.contains("\\\"proxy\\\""), "{told}");
}

#[test]
fn an_unknown_tenant_an_unknown_application_and_public_client_flows() {
    let simulator = simulator();
    let other = "11111111-2222-4333-8444-555555555555";
    let settings = simulator.settings_json();
    let host = Host::with(&simulator, simulator.client_id(), other, &settings);
    names(&check(&host), "application", "MXO_E_TENANT_NOT_FOUND", &["enant ID"]);
    let host = Host::with(&simulator, other, simulator.tenant_id(), &settings);
    names(&check(&host), "application", "MXO_E_APP_NOT_FOUND", &["client"]);
    simulator.set(json!({"public_client_flows": false}));
    let host = Host::new(&simulator);
    names(&check(&host), "public_client", "MXO_E_PUBLIC_CLIENT_OFF", &["Allow public client flows"]);
}

#[test]
fn consent_and_conditional_access_are_found_by_a_refresh() {
    for (code, status, words) in [(65_001, "MXO_E_CONSENT", "consent"), (53_003, "MXO_E_POLICY", "Conditional Access")]
    {
        let simulator = simulator();
        let host = Host::connected(&simulator);
        simulator.misbehave(json!({"name": "aadsts", "code": code, "at": "refresh"}));
        names(&check(&host), "token", status, &[words]);
        simulator.behave();
    }
}

#[test]
fn what_ended_the_last_sign_in_is_named() {
    for (code, status) in [(65_001, "MXO_E_CONSENT"), (53_003, "MXO_E_POLICY")] {
        let simulator = simulator();
        let host = Host::new(&simulator);
        simulator.misbehave(json!({"name": "aadsts", "code": code, "at": "poll", "times": 1}));
        host.start_sign_in().wait().unwrap_err();
        names(&check(&host), "token", status, &[]);
    }
}

#[test]
fn a_permission_that_was_not_granted() {
    let simulator = simulator();
    let host = with_settings(&simulator, |settings| settings["serves"] = json!(["smtp", "imap", "pop3"]));
    host.sign_in(&simulator).unwrap();
    simulator.misbehave(json!({"name": "scope-reduced", "scope": "IMAP.AccessAsUser.All", "at": "refresh"}));
    names(
        &check(&host),
        "permissions",
        "MXO_E_PERMISSION_MISSING",
        &["IMAP.AccessAsUser.All", "API permissions", "Grant admin consent"],
    );
}

#[test]
fn an_administrator_who_signed_in_as_himself() {
    let simulator = simulator();
    let host = with_settings(&simulator, |settings| settings["login_name"] = json!(simulator.account()));
    let operation = host.start_sign_in();
    simulator.approve_as(&host.code().unwrap(), "admin@contoso.example");
    operation.wait().unwrap();
    names(
        &check(&host),
        "smtp_login",
        "MXO_E_WRONG_ACCOUNT",
        &["admin@contoso.example signed in", simulator.account(), "Connect again and sign in as"],
    );
}

#[test]
fn an_administrator_without_a_mailbox_and_who_it_should_have_been() {
    let mut options = exchange_simulator::Options::default();
    options.accounts[1].mailbox = false;
    let simulator = Simulator::start(options).unwrap();
    simulator.set(json!({"interval_s": 1}));
    let host = with_settings(&simulator, |settings| settings["sender"] = json!(simulator.account()));
    let sign_in_as = |upn: &str| {
        let operation = host.start_sign_in();
        simulator.approve_as(&host.code().unwrap(), upn);
        operation.wait().unwrap();
    };
    sign_in_as("admin@contoso.example");
    let words = ["admin@contoso.example signed in", "sign in as print@contoso.example"];
    names(&check(&host), "smtp_login", "MXO_E_WRONG_ACCOUNT", &words);
    // Another account than before, but the right one.
    sign_in_as("print@contoso.example");
    assert_eq!(check(&host)["verdict"], "ok");
}

#[test]
fn a_sign_in_that_brought_too_little_is_told_as_such() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.misbehave(json!({"name": "scope-reduced", "scope": "SMTP.Send"}));
    let operation = host.start_sign_in();
    simulator.approve(&host.code().unwrap());
    operation.wait().unwrap_err();
    let check = check(&host);
    names(&check, "permissions", "MXO_E_PERMISSION_MISSING", &["SMTP.Send"]);
    assert_eq!(check["steps"].as_array().unwrap().len(), 13, "{check:#}");
}

#[test]
fn an_inspected_mail_server_is_named_and_its_issuer_too() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    simulator.misbehave(json!({"name": "certificate", "flaw": "unknown-issuer", "at": "smtp.tls"}));
    let check = check(&host);
    names(&check, "smtp_tls", "MXO_E_CERTIFICATE", &["Exchange simulator test authority", "inspects TLS", "ca_file"]);
    assert_eq!(step(&check, "smtp_tls")["facts"]["issuer"], "Exchange simulator test authority");
}

#[test]
fn a_port_that_is_blocked() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let patch = c(&json!({"settings": {"cloud": {"smtp": {"port": closed}}}}).to_string());
    let mut error = null_mut();
    // SAFETY: a live handle, NUL-terminated texts, a valid out-pointer.
    let status = unsafe { mxo_system_update(host.connector, host.system.as_ptr(), patch.as_ptr(), &raw mut error) };
    checked(status, error).unwrap();
    // Another cloud ends the connection.
    let operation = host.start_sign_in();
    simulator.approve(&host.code().unwrap());
    operation.wait().unwrap();
    names(&check(&host), "smtp_connect", "MXO_E_NETWORK", &[&closed.to_string(), "firewall"]);
}

#[test]
fn smtp_auth_that_is_off() {
    for (rule, words) in [("tenant-disabled", "for the whole organisation."), ("mailbox-disabled", "for the mailbox.")]
    {
        let simulator = simulator();
        let host = Host::connected(&simulator);
        simulator.misbehave(json!({"name": rule}));
        names(&check(&host), "smtp_login", "MXO_E_SMTP_AUTH_OFF", &[words]);
    }
}

#[test]
fn a_check_can_be_cancelled_in_the_middle() {
    let simulator = simulator();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let host = with_settings(&simulator, |settings| endpoints(settings, &format!("localhost:{port}")));
    let operation = start(&host);
    std::thread::sleep(Duration::from_millis(300));
    operation.cancel();
    assert_eq!(operation.wait().unwrap_err().name(), "MXO_E_CANCELED");
}

fn step<'a>(check: &'a Json, name: &str) -> &'a Json {
    check["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap()
}

fn asked_for(simulator: &Simulator, field: &str) -> usize {
    simulator.requests().iter().filter(|request| request.form.contains_key(field)).count()
}

#[test]
fn one_conversation_with_the_mail_server_ends_in_order_and_each_step_takes_its_own_time() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let before = simulator.smtp_sessions().len();
    simulator.misbehave(json!({"name": "delay", "at": "smtp.auth", "ms": 300}));
    simulator.misbehave(json!({"name": "delay", "at": "smtp.ehlo", "ms": 200, "times": 1}));
    let check = check(&host);
    assert!(step(&check, "smtp_login")["duration_ms"].as_u64().unwrap() >= 300, "{check:#}");
    assert!(step(&check, "smtp_tls")["duration_ms"].as_u64().unwrap() >= 200, "{check:#}");
    assert!(step(&check, "smtp_connect")["duration_ms"].as_u64().unwrap() < 200, "{check:#}");
    let sessions = simulator.smtp_sessions().split_off(before);
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(sessions[0].commands.last().map(String::as_str), Some("QUIT"), "{sessions:?}");
}

#[test]
fn a_connected_system_is_asked_for_no_code_and_not_refreshed_in_a_loop() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let codes = asked_for(&simulator, "scope") - asked_for(&simulator, "refresh_token");
    for _ in 0..3 {
        let check = check(&host);
        assert_eq!(check["verdict"], "ok", "{check:#}");
    }
    assert_eq!(asked_for(&simulator, "refresh_token"), 1, "Microsoft takes more for a loop (AADSTS50196)");
    assert_eq!(asked_for(&simulator, "scope") - 1, codes, "a code that nobody needs");
    // The last of them said why it did not ask.
    let check = check(&host);
    assert_eq!(step(&check, "application")["state"], "skipped", "{check:#}");
}

#[test]
fn a_reason_that_is_gone_is_not_named() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.set(json!({"public_client_flows": false}));
    host.start_sign_in().wait().unwrap_err();
    simulator.set(json!({"public_client_flows": true}));
    names(&check(&host), "token", "MXO_E_SIGN_IN_REQUIRED", &["not connected", "start the sign-in"]);
}

#[test]
fn a_permission_to_send_that_is_missing_is_not_called_a_refused_login_too() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    simulator.misbehave(json!({"name": "scope-reduced", "scope": "SMTP.Send", "at": "refresh"}));
    names(&check(&host), "permissions", "MXO_E_PERMISSION_MISSING", &["SMTP.Send", "API permissions"]);
}

#[test]
fn a_service_that_is_disturbed_says_nothing_of_public_client_flows() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.misbehave(json!({"name": "http", "status": 503, "body": "html", "at": "poll"}));
    let check = check(&host);
    assert_eq!(check["cause"]["name"], "MXO_E_IDENTITY_BUSY", "{check:#}");
    assert_ne!(step(&check, "public_client")["state"], "ok", "{check:#}");
}

#[test]
fn a_token_that_the_server_repeats_is_not_told() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    // Refreshed just now, so that the check uses this one.
    let (token, _) = host.token(1_000_000).unwrap();
    simulator.misbehave(json!({"name": "reply", "at": "smtp.auth", "text": format!("535 5.7.3 no good: {token}")}));
    let check = check(&host);
    names(&check, "smtp_login", "MXO_E_LOGIN_REFUSED", &[]);
    assert!(!check.to_string().contains(&token) && check.to_string().contains("(secret)"), "{check:#}");
}

#[test]
fn a_check_that_is_cancelled_loses_no_refresh_token() {
    let simulator = simulator();
    simulator.set(json!({"rotation": "revoking"}));
    let host = Host::connected(&simulator);
    simulator.misbehave(json!({"name": "delay", "at": "refresh", "ms": 1000, "times": 1, "when": "unanswered"}));
    let operation = start(&host);
    until(|| asked_for(&simulator, "refresh_token") == 1);
    operation.cancel();
    assert_eq!(operation.wait().unwrap_err().name(), "MXO_E_CANCELED");
    host.token(1_000_000).unwrap();
    assert_eq!(host.system()["status"]["state"], "connected");
}

#[test]
fn a_port_that_swallows_everything_is_blocked_too() {
    let simulator = simulator();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // SAFETY: it is a listening socket, and listening again only changes the length of its queue.
    assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
    let address = listener.local_addr().unwrap();
    // When the queue is full, the system drops whatever else knocks.
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queue.push(stream);
        assert!(queue.len() < 100, "the queue does not fill");
    }
    let mut settings: Json = serde_json::from_str(&simulator.settings_json()).unwrap();
    settings["cloud"]["smtp"]["port"] = json!(address.port());
    let host = Host::opened(&simulator, &json!({"proxy": "none", "timeouts": {"connect_s": 1}}), &settings.to_string());
    host.sign_in(&simulator).unwrap();
    names(
        &check(&host),
        "smtp_connect",
        "MXO_E_NETWORK",
        &["did not answer", "firewall", &format!("port {}", address.port())],
    );
}

#[test]
fn the_list_grows_step_by_step_and_then_the_end_is_told() {
    unsafe extern "C" fn keep(user_data: *mut c_void, _: *mut mxo_operation, change: *const mxo_value) {
        // SAFETY: what `start_with` was given, and a value that is lent for the call.
        let (told, json) = unsafe { (&*user_data.cast::<Mutex<Vec<Json>>>(), CStr::from_ptr(mxo_value_json(change))) };
        told.lock().unwrap().push(serde_json::from_slice(json.to_bytes()).unwrap());
    }
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let told: Mutex<Vec<Json>> = Mutex::default();
    let operation = start_with(&host, None, Some(keep), (&raw const told).cast_mut().cast()).unwrap();
    let result = operation.wait().unwrap();
    until(|| told.lock().unwrap().last().is_some_and(|last| last.get("operation_id").is_some()));
    let told = told.lock().unwrap();
    let (end, lists) = told.split_last().unwrap();
    assert_eq!(end["status"], 0);
    assert_eq!(lists.len(), 13);
    for (index, list) in lists.iter().enumerate() {
        assert_eq!(list["verdict"], "pending", "{list:#}");
        assert_eq!(list["steps"].as_array().unwrap()[..], result["steps"].as_array().unwrap()[..=index]);
    }
}

#[test]
fn options_are_checked() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    for (options, word) in [(r#"{"colour": 1}"#, "colour"), ("[]", "object"), (r#"{"timeout_s": 0}"#, "timeout_s")] {
        let failure = start_with(&host, Some(options), None, null_mut()).err().unwrap();
        assert!(failure.name() == "MXO_E_ARGUMENT" && failure.message().contains(word), "{}", failure.error);
    }
}

#[test]
fn when_the_time_is_over_nothing_else_is_tried() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    simulator.misbehave(json!({"name": "delay", "at": "devicecode", "ms": 5000}));
    let operation = start_with(&host, Some(r#"{"timeout_s": 1}"#), None, null_mut()).unwrap();
    names(&operation.wait().unwrap(), "identity_answer", "MXO_E_TIMEOUT", &[]);
}
