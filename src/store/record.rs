//! The records that a store keeps.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::base::Report;
use crate::identity::Account;
use crate::identity::request::Protocol;

/// An external system, as the administrator added it.
#[derive(Debug, Clone)]
pub struct System {
    /// A UUID.
    pub id: String,
    /// What the administrator calls it.
    pub title: String,
    /// Application (client) ID.
    pub client_id: String,
    /// Directory (tenant) ID or domain.
    pub tenant_id: String,
    /// The rest.
    pub settings: Settings,
    /// Counts the changes, so that two administrators do not overwrite each other unseen.
    pub revision: u64,
}

/// What a confirmed sign-in brought.
#[derive(Clone)]
pub struct Grant {
    /// Who signed in, when known.
    pub account: Option<Account>,
    /// The login name for the mail protocols.
    pub login_name: String,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// For the next refresh.
    pub refresh_token: SecretString,
    /// For the mail servers.
    pub access_token: SecretString,
    /// When the access token ends.
    pub expires_at_unix_ms: i64,
    /// When the person signed in.
    pub connected_at_unix_s: i64,
    /// Why the grant cannot be used any more.
    pub dead: Option<Report>,
    /// What refused although the sign-in worked: "connected, but".
    pub warnings: Vec<Warning>,
}

/// Something that an administrator should know of a connected system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Warning {
    /// The protocol that refused, if it is one.
    pub protocol: Option<Protocol>,
    /// Why.
    pub report: Report,
}

/// Where a sign-in stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInState {
    /// The code is being asked for.
    Starting,
    /// A person is to type the code.
    CodeWaiting,
    /// Confirmed; the mail servers are being tried.
    Proving,
    /// Done, and proven.
    Connected,
    /// Ended without success.
    Failed,
}

impl SignInState {
    /// The name in values and events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CodeWaiting => "code_waiting",
            Self::Proving => "proving",
            Self::Connected => "connected",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Connected | Self::Failed)
    }
}

/// The code that a person is to type.
#[derive(Debug, Clone)]
pub struct PendingCode {
    /// What to type.
    pub user_code: String,
    /// Where to type it.
    pub verification_uri: String,
    /// Both in a sentence.
    pub message: String,
    /// Pause between polls.
    pub interval_s: u64,
    /// When its time is over.
    pub expires_at_unix_ms: i64,
}

/// A sign-in, running or over; outcomes are kept.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// A UUID in the order of time (version 7).
    pub id: String,
    /// Whose.
    pub system_id: String,
    /// Where it stands.
    pub state: SignInState,
    /// From `CodeWaiting` on.
    pub code: Option<PendingCode>,
    /// When it has failed.
    pub error: Option<Report>,
}
