//! What can go wrong with sign-in and tokens.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::aadsts::Verdict;
use crate::base::{Report, ServiceWords, Status};

/// A failure of the identity layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The service refused, in its own words.
    #[error("the identity service refused: {}", .0.words.text.as_deref().or(.0.words.error.as_deref()).unwrap_or_default())]
    Refused(Box<Refused>),
    /// Neither an error nor what was asked for.
    #[error("the identity service answered with HTTP {status} and a body that is not understood")]
    NotUnderstood {
        /// HTTP status.
        status: u16,
        /// 429 or 5xx.
        busy: bool,
        /// When it may be asked again.
        retry_after: Option<Duration>,
    },
    /// The code's time is over.
    #[error("the code was not confirmed in time")]
    Expired,
    /// The answer to a poll was lost, and the code is used up now.
    #[error("the answer to the sign-in was lost on its way")]
    AnswerLost,
    /// The service granted less than was asked.
    #[error("the sign-in did not grant {}", .missing.join(", "))]
    ScopeMissing {
        /// The scopes that are missing.
        missing: Vec<String>,
    },
    /// Without one the connection would end within the hour.
    #[error("the sign-in brought no refresh token")]
    NoRefreshToken,
    /// A token that is no bearer token, or longer than any known.
    #[error("the access token cannot be used: {reason}")]
    Token {
        /// Why.
        reason: &'static str,
    },
    /// The id token is not one.
    #[error("the id token cannot be used: {reason}")]
    IdToken {
        /// Why.
        reason: &'static str,
    },
    /// The id token is of another time than this computer's.
    #[error("the id token is not valid at the time that this computer's clock shows")]
    IdTokenTime,
    /// An outlook.com account and its like.
    #[error("{username} is a personal Microsoft account")]
    PersonalAccount {
        /// Who signed in.
        username: String,
    },
    /// Somebody of another organisation.
    #[error("{username} belongs to another organisation ({tenant})")]
    OtherTenant {
        /// Who signed in.
        username: String,
        /// Whose tenant.
        tenant: String,
    },
    /// The account's name cannot serve as a login name.
    #[error("the login name of the mailbox is not known")]
    NoMailName {
        /// What the account is called.
        username: String,
    },
    /// The cloud record holds an endpoint that is no address.
    #[error("{name} is not an address")]
    Endpoint {
        /// Member of the cloud record.
        name: &'static str,
    },
}

/// A refusal of the service.
#[derive(Debug)]
pub struct Refused {
    /// What it means.
    pub verdict: Verdict,
    /// What the service said.
    pub words: ServiceWords,
    /// When it may be asked again.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Refused(refused) => {
                let mut report = refused.verdict.report(refused.words.clone());
                report.retry_after = report.retry_after.max(refused.retry_after);
                report
            }
            Self::NotUnderstood { status, busy, retry_after } => {
                let mut report = if *busy {
                    Report::new(
                        Status::IdentityBusy,
                        format!("The sign-in service is busy or disturbed (HTTP {status})."),
                    )
                    .transient()
                    .remedy("Try again in a few minutes; nothing needs to be changed.")
                } else {
                    Report::new(
                        Status::Protocol,
                        format!("What answered in place of the sign-in service is not understood (HTTP {status})."),
                    )
                    .remedy(
                        "Check that no proxy or firewall answers in its place, and that the endpoints of the cloud are right.",
                    )
                };
                report.retry_after = *retry_after;
                report.service.http_status = Some(*status);
                report
            }
            Self::Expired => Report::new(Status::SignInExpired, "Nobody confirmed the code within its time.").remedy(
                "Start again and enter the code within 15 minutes. If the browser showed an AADSTS number, look that \
                 number up: most refusals are shown only there.",
            ),
            Self::AnswerLost => {
                let mut report = Report::new(
                    Status::SignInRequired,
                    "The sign-in was confirmed, but the answer was lost on the network.",
                )
                .remedy("Please sign in again with a new code.");
                report.sign_in_required = true;
                report
            }
            Self::ScopeMissing { missing } => Report::new(
                Status::PermissionMissing,
                format!("The sign-in worked, but these permissions were not granted: {}.", missing.join(", ")),
            )
            .remedy(
                "In the Entra admin center, open the app registration, API permissions, add the missing delegated \
                 permissions of Microsoft Graph, press \"Grant admin consent\", then connect again.",
            ),
            Self::NoRefreshToken => Report::new(
                Status::PermissionMissing,
                "The sign-in worked, but brought no refresh token, so the connection would end within the hour.",
            )
            .remedy(
                "Add the delegated permission offline_access to the app registration (API permissions), grant consent, \
                 then connect again.",
            ),
            Self::Token { reason } | Self::IdToken { reason } => Report::new(
                Status::Protocol,
                format!("The sign-in service sent a token that cannot be used: {reason}."),
            )
            .remedy("Check the endpoints of the cloud; if they are right, report this with the log."),
            Self::IdTokenTime => Report::new(
                Status::Protocol,
                "The clock of this computer and that of the sign-in service are more than 5 minutes apart.",
            )
            .remedy("Set this computer's clock and time zone, then connect again."),
            Self::PersonalAccount { username } => Report::new(
                Status::Account,
                format!("{} is a personal Microsoft account, not one of an organisation.", name_of(username)),
            )
            .remedy("Sign in with the work or school account of the mailbox, best in a private browser window."),
            Self::OtherTenant { username, tenant } => Report::new(
                Status::WrongAccount,
                format!("{} belongs to another organisation (tenant {tenant}).", name_of(username)),
            )
            .remedy(
                "Sign in with an account of the tenant that the system names, best in a private browser window, or \
                 correct the tenant ID.",
            ),
            Self::NoMailName { username } => Report::new(
                Status::Account,
                if username.is_empty() {
                    "The sign-in does not tell the login name of the mailbox.".to_owned()
                } else {
                    format!("{username} cannot serve as the login name of a mailbox.")
                },
            )
            .remedy(
                "Give the mailbox's login name (UPN) in the setting \"login_name\" of the system, then connect again.",
            ),
            Self::Endpoint { name } => {
                Report::new(Status::Argument, format!("The cloud's {name} is not an https address."))
                    .remedy(format!("Correct \"cloud\" / \"{name}\" in the settings of the system."))
            }
        }
    }

    /// The same without a secret that the service repeated in its own words.
    #[must_use]
    pub fn hiding(mut self, secret: &SecretString) -> Self {
        if let Self::Refused(refused) = &mut self {
            refused.words.hide(secret.expose_secret());
        }
        self
    }

    /// Whether the same request should be made once more before the refusal is believed.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        matches!(self, Self::Refused(refused) if refused.verdict.retry_once)
    }
}

fn name_of(username: &str) -> &str {
    if username.is_empty() { "The account" } else { username }
}
