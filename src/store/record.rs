//! The records that a store keeps.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Settings;
use crate::base::clock::signed_millis;
use crate::base::{Report, limits};
use crate::identity::Account;
use crate::identity::request::Protocol;

/// How long after a code's end its last poll may still come.
const LAST_POLL_MS: i64 = 60_000;

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

/// Who connected a system, and what became of it. No secret.
#[derive(Debug, Clone)]
pub struct Connected {
    /// Who signed in, when known.
    pub account: Option<Account>,
    /// The login name for the mail protocols.
    pub login_name: String,
    /// Granted scopes.
    pub scopes: Vec<String>,
    /// When the person signed in.
    pub connected_at_unix_s: i64,
    /// Why the grant cannot be used any more.
    pub dead: Option<Report>,
    /// What refused although the sign-in worked: "connected, but".
    pub warnings: Vec<Warning>,
}

/// What a confirmed sign-in brought.
#[derive(Clone)]
pub struct Grant {
    /// Whose it is.
    pub connected: Connected,
    /// For the next refresh.
    pub refresh_token: SecretString,
    /// For the mail servers.
    pub access_token: SecretString,
    /// When the access token ends.
    pub expires_at_unix_ms: i64,
    /// When it came.
    pub obtained_at_unix_ms: i64,
    /// By a refresh, and not by the sign-in.
    pub refreshed: bool,
    /// A refresh failed for a passing reason: nobody asks again before this is over.
    pub pause: Option<Pause>,
}

/// Why a refresh is not tried just now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pause {
    /// Until when.
    pub until_unix_ms: i64,
    /// How often it failed in a row.
    pub failures: u32,
    /// The last failure.
    pub report: Report,
}

/// The life of the access token of a grant that lives, in epoch milliseconds.
#[derive(Debug, Clone)]
pub struct Living {
    /// Whose.
    pub system_id: String,
    /// When the token came.
    pub obtained_at_unix_ms: i64,
    /// When it ends.
    pub expires_at_unix_ms: i64,
    /// Until when no refresh is tried.
    pub paused_until_unix_ms: i64,
}

/// A system as lists show it.
#[derive(Debug, Clone)]
pub struct Overview {
    /// The system.
    pub system: System,
    /// Its connection, if it was ever connected.
    pub connected: Option<Connected>,
    /// Its latest sign-in.
    pub sign_in: Option<SignIn>,
}

/// What goes when a system changes or is signed out. The report says why, to whoever follows a sign-in of it.
#[derive(Debug)]
pub enum Forget {
    /// All stays.
    Nothing,
    /// A sign-in that runs is ended.
    SignIn(Report),
    /// The same, and the tokens are forgotten.
    Everything(Report),
}

/// What a sign-in brought with its new state.
pub enum Brought {
    /// Only that.
    Nothing,
    /// The device code that belongs to the code shown.
    DeviceCode(SecretString),
    /// Tokens, which take the place of those before.
    Grant(Box<Grant>),
}

/// What came of asking for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Somebody else has it.
    Held,
    /// It is ours now, or still.
    Taken,
    /// It is ours now, and whoever had it did not give it back.
    TakenOver,
}

/// A change that other processes made.
#[derive(Debug, Clone)]
pub struct News {
    /// Counts the changes of a store.
    pub number: i64,
    /// Of which system.
    pub system_id: String,
    /// Which sign-in went on, when it is that.
    pub sign_in_id: Option<String>,
    /// What happened to the system, as events call it.
    pub change: String,
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

    /// The state of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Starting, Self::CodeWaiting, Self::Proving, Self::Connected, Self::Failed]
            .into_iter()
            .find(|state| state.name() == name)
    }

    /// Whether nothing will change any more.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Connected | Self::Failed)
    }
}

/// The code that a person is to type, and how far the asking has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// When the next poll is due.
    pub next_poll_unix_ms: i64,
    /// Polls in a row that were not answered.
    pub faults: u32,
    /// A poll went out and its answer was lost.
    pub answer_lost: bool,
}

/// A sign-in, running or over; outcomes are kept.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// A UUID in the order of time (version 7).
    pub id: String,
    /// Whose.
    pub system_id: String,
    /// When it began.
    pub started_at_unix_ms: i64,
    /// Where it stands.
    pub state: SignInState,
    /// From `CodeWaiting` on.
    pub code: Option<PendingCode>,
    /// When it has failed.
    pub error: Option<Report>,
}

impl SignIn {
    /// Whether it can still come to something. One whose time ran out while no process looked at it cannot.
    #[must_use]
    pub fn is_running(&self, now_unix_ms: i64) -> bool {
        let life = signed_millis(limits::DEVICE_CODE_LIFE);
        let end = match (self.state, &self.code) {
            (SignInState::Connected | SignInState::Failed, _) => return false,
            (SignInState::CodeWaiting, Some(code)) => code.expires_at_unix_ms.saturating_add(LAST_POLL_MS),
            (SignInState::Starting | SignInState::CodeWaiting | SignInState::Proving, _) => {
                self.started_at_unix_ms.saturating_add(life)
            }
        };
        now_unix_ms < end
    }
}
