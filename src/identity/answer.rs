//! Answers of the identity service, as they come: bytes with an HTTP status. Lenient where servers differ (numbers as
//! texts, errors with HTTP 200, `error_codes` of numbers or texts), strict about what is secret and how long it may be.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::aadsts;
use crate::base::{ServiceWords, limits};

/// An HTTP answer.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; may hold secrets.
    pub body: Zeroizing<Vec<u8>>,
    /// `Retry-After`, RFC 9110 section 10.2.3.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Whether the service says that it is busy or broken, whatever the body holds.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.status == 429 || self.status >= 500
    }

    /// The body as an OAuth error, when it is one. Microsoft's `/devicecode` sends errors with HTTP 200 too.
    #[must_use]
    pub fn error(&self) -> Option<OAuthError> {
        serde_json::from_slice::<OAuthError>(&self.body).ok().filter(|error| !error.error.is_empty())
    }

    /// The body as what was hoped for.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

/// RFC 6749 section 5.2 with Microsoft's additions.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct OAuthError {
    /// `invalid_grant` and its like: what decides.
    #[serde(default, deserialize_with = "text")]
    pub error: String,
    /// For people.
    #[serde(default, deserialize_with = "text")]
    pub error_description: String,
    /// The AADSTS numbers.
    #[serde(default, deserialize_with = "numbers")]
    pub error_codes: Vec<u32>,
    /// Microsoft's finer error.
    #[serde(default, deserialize_with = "text")]
    pub suberror: String,
    /// For Microsoft's support.
    #[serde(default, deserialize_with = "text")]
    pub trace_id: String,
    /// For Microsoft's support.
    #[serde(default, deserialize_with = "text")]
    pub correlation_id: String,
    /// For Microsoft's support.
    #[serde(default, deserialize_with = "text")]
    pub timestamp: String,
}

impl OAuthError {
    /// The AADSTS numbers, the most specific first: that is the one in the description.
    #[must_use]
    pub fn codes(&self) -> Vec<u32> {
        let mut codes: Vec<u32> = aadsts::numbers_in(&self.error_description).take(8).collect();
        codes.extend(self.error_codes.iter().copied().filter(|code| !codes.contains(code)).collect::<Vec<_>>());
        codes
    }

    /// The error for a report. The description is left whole: it is what people paste into a search box.
    #[must_use]
    pub fn words(&self, http_status: u16) -> ServiceWords {
        // Microsoft's descriptions have several lines; nothing else of what controls a terminal belongs in them.
        let clean = |text: &str| text.replace("\r\n", "\n").replace(|c: char| c.is_control() && c != '\n', " ");
        let some = |text: &str| (!text.is_empty()).then(|| clean(cut(text, limits::SERVICE_TEXT)));
        ServiceWords {
            error: some(&self.error),
            suberror: some(&self.suberror),
            aadsts: self.codes().first().copied(),
            trace_id: some(&self.trace_id),
            correlation_id: some(&self.correlation_id),
            timestamp: some(&self.timestamp),
            http_status: Some(http_status),
            text: some(&self.error_description),
            ..ServiceWords::default()
        }
    }
}

/// RFC 8628 section 3.2, also with the names and types of older servers.
#[derive(Deserialize)]
pub struct DeviceCodeAnswer {
    /// What the library shows to the token endpoint: a secret.
    pub device_code: SecretString,
    /// What the person types.
    pub user_code: String,
    /// Where the person types it.
    #[serde(alias = "verification_url")]
    pub verification_uri: String,
    /// Microsoft's own sentence for the person.
    #[serde(default, deserialize_with = "text")]
    pub message: String,
    /// Seconds.
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Option<u64>,
    /// Seconds; 5 when absent.
    #[serde(default, deserialize_with = "seconds")]
    pub interval: Option<u64>,
}

/// RFC 6749 section 5.1.
#[derive(Deserialize)]
pub struct TokenAnswer {
    /// `Bearer`
    #[serde(default, deserialize_with = "text")]
    pub token_type: String,
    /// The token itself.
    pub access_token: SecretString,
    /// Absent in a refresh: the old one goes on.
    #[serde(default)]
    pub refresh_token: Option<SecretString>,
    /// Who signed in.
    #[serde(default)]
    pub id_token: Option<SecretString>,
    /// What was granted; absent means what was asked (RFC 6749 section 5.1).
    #[serde(default)]
    pub scope: Option<String>,
    /// Seconds.
    #[serde(default, deserialize_with = "seconds")]
    pub expires_in: Option<u64>,
}

/// At most `length` octets of a text, cut at the border of a character.
#[must_use]
pub fn cut(text: &str, length: usize) -> &str {
    text.get(..text.floor_char_boundary(length)).unwrap_or_default()
}

/// A text; anything else counts as absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => text,
        _ => String::new(),
    })
}

/// Whole seconds, as a number or as a text (v1 and other servers).
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// Numbers, as numbers or as texts; one alone counts as a list.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Array(items) => items.iter().take(32).filter_map(number).collect(),
        single => number(&single).into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: Zeroizing::new(body.as_bytes().to_vec()), retry_after: None }
    }

    #[test]
    fn error_codes_come_as_numbers_and_as_texts() {
        let error = answer(
            400,
            r#"{"error":"invalid_grant","error_description":"AADSTS70008: expired","error_codes":["70002",70008]}"#,
        )
        .error()
        .unwrap();
        assert_eq!(error.codes(), [70008, 70002]);
    }

    #[test]
    fn an_error_is_seen_whatever_the_http_status() {
        assert_eq!(answer(200, r#"{"error":"invalid_client"}"#).error().unwrap().error, "invalid_client");
        assert!(answer(400, "<html>").error().is_none());
        assert!(answer(400, r#"{"error":7}"#).error().is_none());
    }

    #[test]
    fn seconds_come_as_texts_too() {
        let code: DeviceCodeAnswer = serde_json::from_str(
            r#"{"device_code":"d","user_code":"u","verification_url":"https://x","expires_in":"900","interval":"2"}"#,
        )
        .unwrap();
        assert_eq!((code.expires_in, code.interval), (Some(900), Some(2)));
    }
}
