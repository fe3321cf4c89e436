//! Settings of the service that can change while it runs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything that `set` can set; `set` takes an object with some of these names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Knobs {
    // Identity.
    pub(crate) device_code_lifetime_s: u64,
    pub(crate) interval_s: u64,
    /// Send `slow_down` to a client that polls faster than the interval. Microsoft does not.
    pub(crate) slow_down: bool,
    /// HTTP status of an error answer of /devicecode: 400, or 200 as some answers of Microsoft have.
    pub(crate) devicecode_error_status: u16,
    /// `None` draws 60 to 90 minutes, as Microsoft does.
    pub(crate) access_token_lifetime_s: Option<u64>,
    pub(crate) refresh_token_lifetime_s: u64,
    pub(crate) access_token_octets: usize,
    pub(crate) refresh_token_octets: usize,
    pub(crate) rotation: Rotation,
    /// For so long after its first use a refresh token works on, unless the rotation is lenient anyway.
    pub(crate) rotation_grace_s: u64,
    /// *Allow public client flows* of the app registration; off gives AADSTS7000218.
    pub(crate) public_client_flows: bool,
    /// The app serves one tenant only: `common` and `organizations` are refused.
    pub(crate) single_tenant: bool,
    /// AADSTS50196 for a client with more than so many token requests in so many seconds.
    pub(crate) loop_breaker: Option<LoopBreaker>,
    pub(crate) verification_uri: Option<String>,
    // SMTP.
    /// Refuse command lines of more than 512 octets (RFC 5321 section 4.5.3.1.4).
    pub(crate) command_line_limit: bool,
    pub(crate) auth_failure: AuthFailure,
    /// How long a refused login waits for its answer; Microsoft takes 5 to 8 seconds.
    pub(crate) auth_failure_delay_ms: u64,
    pub(crate) close_after_auth_failure: bool,
    pub(crate) size_limit: usize,
    pub(crate) recipients_per_mail: usize,
    /// At once, by one account. Microsoft allows 3.
    pub(crate) connections_per_account: Option<usize>,
    /// By one account. Microsoft allows 30.
    pub(crate) mails_per_minute: Option<usize>,
    pub(crate) rate_mode: RateMode,
    pub(crate) idle_timeout_ms: u64,
    /// EHLO keywords that are not offered.
    pub(crate) hide_extensions: Vec<String>,
    /// The final reply names a new Message-ID, as consumer Outlook.com does.
    pub(crate) rewrite_message_id: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Rotation {
    /// Microsoft: a new refresh token with each use, and the old ones live on.
    Lenient,
    /// Each refresh token works once, and on for the grace.
    Strict,
    /// As strict, and a second use of an old one ends the whole grant.
    Revoking,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AuthFailure {
    /// Microsoft: 535 at once.
    Direct,
    /// Google and others: 334 with JSON, an empty line, then 535.
    Challenge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RateMode {
    Reject,
    Delay,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoopBreaker {
    pub(crate) requests: usize,
    pub(crate) seconds: u64,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            device_code_lifetime_s: 900,
            interval_s: 5,
            slow_down: false,
            devicecode_error_status: 400,
            access_token_lifetime_s: None,
            refresh_token_lifetime_s: 90 * 24 * 3600,
            access_token_octets: 2000,
            refresh_token_octets: 1200,
            rotation: Rotation::Lenient,
            rotation_grace_s: 0,
            public_client_flows: true,
            single_tenant: true,
            loop_breaker: None,
            verification_uri: None,
            command_line_limit: true,
            auth_failure: AuthFailure::Direct,
            auth_failure_delay_ms: 0,
            close_after_auth_failure: false,
            size_limit: 157_286_400,
            recipients_per_mail: 500,
            connections_per_account: None,
            mails_per_minute: None,
            rate_mode: RateMode::Reject,
            idle_timeout_ms: 300_000,
            hide_extensions: Vec::new(),
            rewrite_message_id: false,
        }
    }
}

impl Knobs {
    /// These knobs with some of them changed; an unknown name or a wrong type changes nothing.
    pub(crate) fn with(&self, changes: &Map<String, Value>) -> Result<Self, String> {
        let mut all = serde_json::to_value(self).map_err(|error| error.to_string())?;
        if let Value::Object(all) = &mut all {
            all.extend(changes.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        let knobs: Self = serde_json::from_value(all).map_err(|error| error.to_string())?;
        if hyper::StatusCode::from_u16(knobs.devicecode_error_status).is_err() {
            return Err("devicecode_error_status is no HTTP status".into());
        }
        Ok(knobs)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_knob_is_refused_and_a_known_one_changes_alone() {
        let knobs = Knobs::default();
        assert!(knobs.with(json!({"intervall_s": 1}).as_object().unwrap()).is_err());
        assert!(knobs.with(json!({"interval_s": "1"}).as_object().unwrap()).is_err());
        let changed = knobs.with(json!({"interval_s": 1, "rotation": "strict"}).as_object().unwrap()).unwrap();
        assert_eq!((changed.interval_s, changed.rotation), (1, Rotation::Strict));
        assert_eq!(changed.device_code_lifetime_s, 900);
    }
}
