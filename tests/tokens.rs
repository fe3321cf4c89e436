//! Tokens, through the C ABI against the simulator.

mod common;

use std::ffi::CStr;
use std::ptr::{null, null_mut};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{Host, Mail, checked, simulator, until};
use exchange_simulator::Simulator;
use myq_exchange_online::ffi::string::mxo_string_free;
use myq_exchange_online::ffi::token::{mxo_access_token_start, mxo_xoauth2};
use serde_json::json;

/// More than any token has: asks for a refresh.
const MORE_THAN_ANY: u32 = 1_000_000;

fn refreshes(simulator: &Simulator) -> usize {
    simulator.requests().iter().filter(|request| request.form.contains_key("refresh_token")).count()
}

#[test]
fn a_token_is_served_from_memory_and_refreshed_on_demand_but_not_in_a_loop() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let (first, expires_at) = host.token(0).unwrap();
    assert_eq!(host.token(600).unwrap().0, first);
    assert_eq!(refreshes(&simulator), 0);
    let (second, later) = host.token(MORE_THAN_ANY).unwrap();
    assert_ne!(second, first);
    assert!(later + 3600 > expires_at);
    assert_eq!(host.token(MORE_THAN_ANY).unwrap().0, second, "Microsoft takes more for a loop (AADSTS50196)");
    assert_eq!(refreshes(&simulator), 1);
}

#[test]
fn a_refresh_is_single_flight_across_threads() {
    let simulator = simulator();
    simulator.set(json!({"rotation": "strict"}));
    let host = Host::connected(&simulator);
    let tokens: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..32).map(|_| scope.spawn(|| host.token(MORE_THAN_ANY).unwrap().0)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(refreshes(&simulator), 1);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
}

#[test]
fn a_passing_fault_is_no_failure_while_the_token_lives() {
    let simulator = simulator();
    // Less than the five minutes before its end at which a token is refreshed ahead.
    simulator.set(json!({"access_token_lifetime_s": 200}));
    let host = Host::new(&simulator);
    host.sign_in(&simulator).unwrap();
    simulator.misbehave(json!({"name": "http", "status": 503, "body": "html", "at": "refresh"}));
    assert!(host.token(100).is_ok());
    let failure = host.token(250).unwrap_err();
    assert_eq!(failure.name(), "MXO_E_IDENTITY_BUSY", "250 s are more than it has: {}", failure.error);
    assert_eq!(failure.error["transient"], true);
    assert!(host.token(100).is_ok(), "it lives, though it could not be refreshed");
    assert_eq!(host.system()["status"]["state"], "connected");
    simulator.behave();
    assert!(host.token(0).is_ok());
}

#[test]
fn the_loop_breaker_does_not_end_a_connection() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    simulator.misbehave(json!({"name": "aadsts", "code": 50196, "at": "refresh"}));
    let throttled = host.token(MORE_THAN_ANY).unwrap_err();
    assert_eq!(throttled.name(), "MXO_E_IDENTITY_BUSY", "{}", throttled.error);
    assert!(throttled.error["retry_after_s"].as_i64().unwrap() >= 60);
    assert_eq!(refreshes(&simulator), 1, "no second try right after");
    assert_eq!(host.system()["status"]["state"], "connected");
    let again = host.token(MORE_THAN_ANY).unwrap_err();
    assert_eq!(again.name(), "MXO_E_IDENTITY_BUSY", "{}", again.error);
    let left = again.error["retry_after_s"].as_i64().unwrap();
    assert!((50..=75).contains(&left), "{left}");
    assert_eq!(refreshes(&simulator), 1, "nor before the pause is over");
    assert!(host.token(0).is_ok(), "it lives, though it could not be refreshed");
}

#[test]
fn a_revocation_ends_a_connection_and_says_so() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    simulator.revoke(simulator.account());
    let events = host.events(None);
    let dead = host.token(MORE_THAN_ANY).unwrap_err();
    assert_eq!(dead.name(), "MXO_E_SIGN_IN_REQUIRED", "{}", dead.error);
    assert_eq!(dead.error["sign_in_required"], true);
    let status = host.system()["status"].clone();
    assert_eq!(status["state"], "sign_in_required");
    assert_eq!(status["error"]["message"], dead.message());
    events.until(|event| event["type"] == "system" && event["state"] == "sign_in_required");
    let asked = refreshes(&simulator);
    assert_eq!(host.token(MORE_THAN_ANY).unwrap_err().name(), "MXO_E_SIGN_IN_REQUIRED");
    assert_eq!(refreshes(&simulator), asked, "a dead grant is not asked for again");
    assert!(host.token(0).is_ok(), "the token that is there lives to its end");

    assert_eq!(host.sign_in(&simulator).unwrap()["state"], "connected");
    assert!(host.token(0).is_ok());
}

#[test]
fn a_refresh_answer_without_refresh_token_keeps_the_old_one() {
    let simulator = simulator();
    simulator.set(json!({"access_token_lifetime_s": 1}));
    simulator.misbehave(json!({"name": "no-refresh-token", "at": "refresh"}));
    let host = Host::new(&simulator);
    host.sign_in(&simulator).unwrap();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1_100));
        host.token(0).unwrap();
    }
    let sent: Vec<_> = simulator.requests().iter().filter_map(|one| one.form.get("refresh_token").cloned()).collect();
    assert!(sent.len() >= 2 && sent.iter().all(|one| *one == sent[0]));
}

#[test]
fn a_refresh_token_that_is_doubted_once_is_tried_again() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    simulator.misbehave(json!({"name": "aadsts", "code": 70000, "at": "refresh", "times": 1}));
    assert!(host.token(MORE_THAN_ANY).is_ok());
    assert_eq!(refreshes(&simulator), 2);
}

#[test]
fn nobody_signed_in_is_said_so() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    let failure = host.token(0).unwrap_err();
    assert_eq!(failure.name(), "MXO_E_SIGN_IN_REQUIRED");
    assert!(failure.remedy().contains("Connect it"), "{}", failure.remedy());
}

#[test]
fn xoauth2_is_one_line_of_base64() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let (token, _) = host.token(0).unwrap();
    let response = |mailbox: Option<&CStr>| {
        let (mut text, mut error) = (null_mut(), null_mut());
        let mailbox = mailbox.map_or(null(), CStr::as_ptr);
        // SAFETY: live handles, NUL-terminated texts, valid out-pointers.
        let decoded = unsafe {
            let status =
                mxo_xoauth2(host.connector, host.system.as_ptr(), mailbox, 10_000, &raw mut text, &raw mut error);
            checked(status, error).unwrap();
            let decoded = STANDARD.decode(CStr::from_ptr(text).to_bytes()).unwrap();
            mxo_string_free(text);
            decoded
        };
        String::from_utf8(decoded).unwrap()
    };
    assert_eq!(response(None), format!("user={}\u{1}auth=Bearer {token}\u{1}\u{1}", simulator.account()));
    assert!(response(Some(c"shared@contoso.example")).starts_with("user=shared@contoso.example\u{1}"));
}

#[test]
fn a_token_comes_as_the_result_of_an_operation_too_and_never_in_an_event() {
    let simulator = simulator();
    let host = Host::connected(&simulator);
    let events = host.events(None);
    let (mut operation, mut error) = (null_mut(), null_mut());
    // SAFETY: live handles, NUL-terminated texts, valid out-pointers.
    let status = unsafe {
        mxo_access_token_start(
            host.connector,
            host.system.as_ptr(),
            0,
            None,
            null_mut(),
            None,
            &raw mut operation,
            &raw mut error,
        )
    };
    checked(status, error).unwrap();
    let operation = common::Operation(operation);
    let result = operation.wait().unwrap();
    assert_eq!(result["access_token"], host.token(0).unwrap().0.as_str());
    let completion = events.until(|event| event["type"] == "completion");
    assert_eq!(completion["status"], 0);
    assert!(!completion.to_string().contains(result["access_token"].as_str().unwrap()));
    until(|| operation.wait_for(0).is_ok());
}

#[test]
fn a_caller_that_loses_patience_loses_no_refresh_token() {
    let simulator = simulator();
    // Whoever lost the answer to a refresh has lost the connection.
    simulator.set(json!({"rotation": "revoking", "access_token_lifetime_s": 1}));
    let host = Host::new(&simulator);
    host.sign_in(&simulator).unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    simulator.set(json!({"access_token_lifetime_s": 3600}));
    simulator.misbehave(json!({"name": "delay", "at": "refresh", "ms": 1000, "times": 1, "when": "unanswered"}));
    let failure = host.send_within(&Mail::to_alice(), 300).unwrap_err();
    assert_eq!(failure.name(), "MXO_E_TIMEOUT", "{}", failure.error);
    host.token(0).unwrap();
    assert_eq!(host.system()["status"]["state"], "connected");
    assert_eq!(refreshes(&simulator), 1);
}
