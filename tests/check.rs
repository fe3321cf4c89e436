//! The diagnosis, through the C ABI against the simulator: each fault is named, and no other.

mod common;

use std::io::Read;
use std::net::TcpListener;
use std::ptr::{null, null_mut};
use std::time::Duration;

use common::{Host, Operation, Result, c, checked, simulator};
use exchange_simulator::Simulator;
use myq_exchange_online::ffi::check::mxo_check_start;
use myq_exchange_online::ffi::system::mxo_system_update;
use serde_json::{Value as Json, json};

fn start(host: &Host) -> Operation {
    let (mut operation, mut error) = (null_mut(), null_mut());
    // SAFETY: a live handle, a NUL-terminated text, valid out-pointers.
    let status = unsafe {
        mxo_check_start(
            host.connector,
            host.system.as_ptr(),
            null(),
            None,
            null_mut(),
            None,
            &raw mut operation,
            &raw mut error,
        )
    };
    checked(status, error).unwrap();
    Operation(operation)
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
