//! What a host is told of a failure: the same shape whatever layer it comes from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Status;

/// A failure in the words of an administrator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The status that crosses the ABI.
    pub status: Status,
    /// One sentence: what happened.
    pub message: String,
    /// What to do about it, naming the exact setting; `None` where nothing can be done but wait.
    pub remedy: Option<String>,
    /// The same request may work later without anybody doing anything.
    pub transient: bool,
    /// Do not try again before this much time has passed, as the service said.
    pub retry_after: Option<Duration>,
    /// Somebody must sign in before it can work.
    pub sign_in_required: bool,
    /// What the service itself said.
    pub service: ServiceWords,
}

/// The service's own words, for its support and for a search box.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceWords {
    /// The OAuth error (`invalid_grant`), RFC 6749 section 5.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Microsoft's finer error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suberror: Option<String>,
    /// The number of an `AADSTS…` error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aadsts: Option<u32>,
    /// Microsoft's trace id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Microsoft's correlation id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// When Microsoft said it, as it wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// The HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// The SMTP reply code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp_code: Option<u16>,
    /// The enhanced status code (RFC 3463), such as `5.7.139`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enhanced_code: Option<String>,
    /// The text of the answer, cut to `limits::SERVICE_TEXT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl ServiceWords {
    /// Cuts out a secret that the service repeated.
    pub fn hide(&mut self, secret: &str) {
        /// Shorter ones are no secrets, and stand in ordinary words.
        const SHORTEST: usize = 8;
        if secret.len() < SHORTEST {
            return;
        }
        for text in [&mut self.text, &mut self.error, &mut self.suberror].into_iter().flatten() {
            if text.contains(secret) {
                *text = text.replace(secret, "(secret)");
            }
        }
    }
}

impl Report {
    /// A failure that will not pass by itself and has no remedy yet.
    #[must_use]
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            remedy: None,
            transient: false,
            retry_after: None,
            sign_in_required: false,
            service: ServiceWords::default(),
        }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, marked as passing by itself.
    #[must_use]
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// The report as JSON, with the members that `mxo_error_json` documents.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "status": self.status.code(),
            "name": self.status.name(),
            "message": self.message,
            "remedy": self.remedy,
            "transient": self.transient,
            "retry_after_s": self.retry_after.map(|wait| wait.as_secs()),
            "sign_in_required": self.sign_in_required,
            "service": self.service,
        })
    }
}
