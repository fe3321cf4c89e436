//! Each AADSTS number that Microsoft documents for this flow: what a host is told when a person pastes it, and what it is
//! told when the identity service gives it. The table is data, written from the documents and not from the code.

mod common;

use std::collections::BTreeMap;
use std::ptr::null_mut;

use common::{Host, c, checked, simulator, taken, until};
use myq_exchange_online::ffi::library::mxo_explain;
use serde_json::{Value as Json, json};

const TABLE: &str = include_str!("fixtures/aadsts.tsv");
/// More than any token has: asks for a refresh.
const MORE_THAN_ANY: u32 = 1_000_000;

struct Row {
    code: u32,
    class: &'static str,
    status: &'static str,
    /// Whether the same request may be repeated: "no", "yes", "later", "once", "slowly", or after so long.
    again: &'static str,
    /// Words of the remedy; none where there is nothing to do.
    remedy: Option<&'static str>,
}

fn table() -> Vec<Row> {
    let rows: Vec<_> = TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [code, _documented, class, status, again, remedy] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            let remedy = Some(remedy).filter(|remedy| *remedy != "-");
            Row { code: code.parse().unwrap(), class, status, again, remedy }
        })
        .collect();
    assert_eq!(rows.len(), 131);
    rows
}

/// The first number of each class.
fn one_of_each() -> BTreeMap<&'static str, Row> {
    table().into_iter().rev().map(|row| (row.class, row)).collect()
}

fn explain(text: &str) -> Json {
    let (mut value, mut error) = (null_mut(), null_mut());
    // SAFETY: a NUL-terminated text and valid out-pointers.
    let status = unsafe { mxo_explain(c(text).as_ptr(), &raw mut value, &raw mut error) };
    checked(status, error).unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
    taken(value)
}

fn says(told: &Json, row: &Row, where_: &str) {
    let (code, remedy) = (row.code, told["remedy"].as_str().unwrap_or_default());
    assert_eq!(told["name"], row.status, "AADSTS{code} {where_}: {told}");
    // Of a code's age the library speaks itself: it may have seen it end before the service said so.
    if row.class != "expired" || where_ == "explained" {
        assert_eq!(told["service"]["aadsts"], code, "AADSTS{code} {where_}: {told}");
    }
    let words = row.remedy.unwrap_or_default();
    assert!(remedy.to_lowercase().contains(&words.to_lowercase()), "AADSTS{code} {where_}: {words:?} in {remedy:?}");
}

#[test]
fn every_documented_number_is_explained_as_documented() {
    for row in table() {
        let code = row.code;
        for text in [format!("AADSTS{code}"), format!("AADSTS{code}: words of Microsoft\r\nTrace ID: 61a5")] {
            let told = explain(&text);
            says(&told, &row, "explained");
            assert_eq!((&told["kind"], &told["class"]), (&json!("aadsts"), &json!(row.class)), "{told}");
            assert!(told["message"].as_str().unwrap().ends_with('.'), "{told}");
            assert_eq!(told["remedy"].is_null(), row.remedy.is_none(), "{told}");
            let repeats = !matches!(row.again, "no" | "later" | "once");
            assert_eq!(told["transient"], repeats, "AADSTS{code}: {told}");
            match row.again {
                "60 s" => assert_eq!(told["retry_after_s"], 60),
                "slowly" => assert!(told["retry_after_s"].as_i64().unwrap() >= 300, "{told}"),
                _ => assert!(told["retry_after_s"].is_null(), "{told}"),
            }
        }
    }
}

#[test]
fn every_number_before_the_code_is_told_as_documented() {
    let simulator = simulator();
    let host = Host::new(&simulator);
    for row in table().iter().filter(|row| row.class != "pending") {
        let rule =
            json!({"name": "aadsts", "code": row.code, "error": "invalid_grant", "at": "devicecode", "times": 1});
        simulator.misbehave(rule);
        says(&host.start_sign_in().wait().unwrap_err().error, row, "at /devicecode");
    }
}

/// What the service calls an error of this class while a code waits or a token is refreshed.
fn error_of(class: &str) -> &'static str {
    match class {
        "code" => "bad_verification_code",
        "expired" => "expired_token",
        "declined" => "authorization_declined",
        "public_client_off" => "invalid_client",
        "app_not_found" | "app_setup" => "unauthorized_client",
        "tenant_not_found" | "bug" => "invalid_request",
        "tenant_setup" => "invalid_resource",
        _ => "invalid_grant",
    }
}

#[test]
fn a_number_of_each_class_ends_the_polling_as_documented() {
    for (class, row) in one_of_each() {
        let simulator = simulator();
        let host = Host::new(&simulator);
        let operation = host.start_sign_in();
        let code = host.code().unwrap();
        simulator
            .misbehave(json!({"name": "aadsts", "code": row.code, "error": error_of(class), "at": "poll", "times": 1}));
        if matches!(class, "wait" | "fault" | "pending") {
            // It passes: the polling goes on.
            if class != "pending" {
                until(|| simulator.requests().iter().any(|asked| asked.error.as_deref() == Some(error_of(class))));
                assert_eq!(host.sign_in_state().unwrap()["state"], "code_waiting", "{class}");
            }
            simulator.behave();
            drop(operation);
            host.cancel_sign_in().unwrap();
            continue;
        }
        let failure = operation.wait().unwrap_err();
        says(&failure.error, &row, "at a poll");
        assert_eq!(host.sign_in_state().unwrap()["name"], row.status, "{class}: {code}");
    }
}

#[test]
fn a_number_of_each_class_is_told_of_a_refresh_and_only_a_void_grant_ends_the_connection() {
    for (class, row) in one_of_each() {
        // A refresh has no code, and nobody to confirm it.
        if matches!(class, "pending" | "code" | "expired" | "declined") {
            continue;
        }
        let simulator = simulator();
        let host = Host::connected(&simulator);
        simulator.misbehave(json!({"name": "aadsts", "code": row.code, "error": error_of(class), "at": "refresh"}));
        let failure = host.token(MORE_THAN_ANY).unwrap_err();
        says(&failure.error, &row, "at a refresh");
        let ends = error_of(class) == "invalid_grant" && !matches!(class, "wait" | "fault");
        let state = if ends { "sign_in_required" } else { "connected" };
        assert_eq!(host.system()["status"]["state"], state, "{class}");
    }
}
