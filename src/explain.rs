//! Explains what a person pastes from a browser or a log, from the same tables that judge live answers.

use serde_json::{Value as Json, json};

use crate::base::Report;
use crate::identity::aadsts;
use crate::protocol::smtp;

/// The explanation, if anything in the text is known.
#[must_use]
pub fn explain(text: &str) -> Option<Json> {
    let aadsts = aadsts::explain(text).map(|entry| {
        let mut json = with_kind("aadsts", &entry.report());
        if let Some(members) = json.as_object_mut() {
            members.insert("class".to_owned(), json!(entry.class.name()));
        }
        json
    });
    aadsts.or_else(|| smtp::explain(text).map(|refusal| with_kind("smtp", &refusal.report)))
}

fn with_kind(kind: &str, report: &Report) -> Json {
    let mut json = report.to_json();
    if let Some(members) = json.as_object_mut() {
        members.insert("kind".to_owned(), json!(kind));
    }
    json
}
