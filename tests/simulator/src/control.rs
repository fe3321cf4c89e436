//! The control API under `/simulator/`: the Rust API over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, Asked};
use crate::state::State;

pub(crate) fn answer(state: &State, asked: &Asked) -> Answer {
    let path: Vec<&str> = asked.path.trim_matches('/').split('/').skip(1).collect();
    match (asked.method.as_str(), path.as_slice()) {
        ("POST", [verb]) => match serde_json::from_slice(if asked.body.is_empty() { b"{}" } else { &asked.body }) {
            Ok(body) => match act(state, verb, &body) {
                Some(Ok(())) => Answer::json(200, &json!({"ok": true})),
                Some(Err(error)) => refuse(400, &error),
                None => refuse(404, "no such verb"),
            },
            Err(error) => refuse(400, &format!("the body is no JSON: {error}")),
        },
        ("GET", ["knobs"]) => Answer::json(200, &json!(state.knobs())),
        ("GET", ["rules"]) => Answer::json(200, &json!(state.inner().rules.list())),
        ("GET", ["settings"]) => Answer::json(200, state.settings.get().unwrap_or(&Value::Null)),
        ("GET", ["accounts"]) => Answer::json(200, &json!(state.options.accounts)),
        ("GET", ["mails"]) => Answer::json(200, &mails(state)),
        ("GET", ["mails", number, "raw"]) => {
            let inner = state.inner();
            match number.parse::<usize>().ok().and_then(|number| inner.mails.get(number)) {
                Some(mail) => Answer::of(200, "message/rfc822", mail.data.clone()),
                None => refuse(404, "no such mail"),
            }
        }
        ("GET", ["requests"]) => Answer::json(200, &json!(state.inner().requests)),
        ("GET", ["sessions"]) => Answer::json(200, &json!(state.inner().sessions)),
        _ => refuse(404, "no such thing here; see tests/simulator/README.md"),
    }
}

/// The envelopes; the octets have an address of their own.
fn mails(state: &State) -> Value {
    let inner = state.inner();
    let mails = inner.mails.iter().map(|mail| {
        let mut envelope = json!(mail);
        envelope["octets"] = json!(mail.data.len());
        envelope
    });
    mails.collect()
}

fn act(state: &State, verb: &str, body: &Value) -> Option<Result<(), String>> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).ok_or_else(|| format!("\"{name}\" is missing"));
    let default_upn = || state.options.accounts.first().map(|account| account.upn.as_str()).unwrap_or_default();
    Some(match verb {
        "set" => state.set(body),
        "misbehave" => state.misbehave(body),
        "behave" => {
            state.inner().rules.clear();
            Ok(())
        }
        "approve" => text("user_code").and_then(|code| state.approve(code, text("upn").unwrap_or(default_upn()))),
        "decline" => text("user_code").and_then(|code| state.decline(code)),
        "revoke" => state.revoke(text("upn").unwrap_or(default_upn())),
        "advance" => match body.get("seconds").and_then(Value::as_u64) {
            Some(seconds) => {
                state.clock.push(Duration::from_secs(seconds));
                Ok(())
            }
            None => Err("\"seconds\" is missing".into()),
        },
        _ => return None,
    })
}

fn refuse(status: u16, error: &str) -> Answer {
    Answer::json(status, &json!({"error": error}))
}
