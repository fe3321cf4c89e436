//! Token sets: what a granted sign-in or a refresh brings, and whether it is enough.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::aadsts;
use super::answer::{Answer, TokenAnswer};
use super::error::Refused;
use super::{App, Error};
use crate::base::limits;

/// How long a token lives when the service does not say (RFC 6749 section 5.1 leaves it open): Microsoft's usual hour.
const DEFAULT_LIFE: Duration = Duration::from_secs(3_600);

/// A token set, counted from its receipt.
pub struct Tokens {
    /// For the mail servers. Opaque: never taken apart.
    pub access_token: SecretString,
    /// How long it lives from now on.
    pub expires_in: Duration,
    /// For the next refresh; `None` means that the old one goes on.
    pub refresh_token: Option<SecretString>,
    /// Who signed in, when asked.
    pub id_token: Option<SecretString>,
    /// The mail scopes that were granted.
    pub scopes: Vec<String>,
}

impl Tokens {
    /// Reads an answer of the token endpoint: tokens, or the error in it.
    pub fn from_answer(answer: &Answer, app: &App) -> Result<Self, Error> {
        if let Some(error) = answer.error() {
            return Err(refused(&error, answer));
        }
        let not_understood =
            || Error::NotUnderstood { status: answer.status, busy: answer.is_busy(), retry_after: answer.retry_after };
        if answer.status != 200 {
            return Err(not_understood());
        }
        let tokens: TokenAnswer = answer.json().map_err(|_| not_understood())?;
        if !tokens.token_type.eq_ignore_ascii_case("bearer") {
            return Err(Error::Token { reason: "it is no bearer token" });
        }
        check_token(&tokens.access_token)?;
        if let Some(refresh_token) = &tokens.refresh_token {
            check_token(refresh_token)?;
        }
        Ok(Self {
            access_token: tokens.access_token,
            expires_in: tokens.expires_in.map_or(DEFAULT_LIFE, Duration::from_secs),
            refresh_token: tokens.refresh_token.filter(|token| !token.expose_secret().is_empty()),
            id_token: tokens.id_token,
            scopes: granted(tokens.scope.as_deref(), app),
        })
    }

    /// The asked scopes that were not granted.
    #[must_use]
    pub fn missing_scopes(&self, app: &App) -> Vec<String> {
        missing_scopes(&self.scopes, app)
    }
}

/// The asked scopes that are not among the granted ones.
#[must_use]
pub fn missing_scopes(granted: &[String], app: &App) -> Vec<String> {
    app.mail_scopes().into_iter().filter(|asked| !granted.iter().any(|one| same_scope(one, asked))).collect()
}

/// The scopes that the answer names; an answer without `scope` grants what was asked (RFC 6749 section 5.1).
fn granted(scope: Option<&str>, app: &App) -> Vec<String> {
    match scope {
        Some(scope) => scope.split_ascii_whitespace().take(64).map(String::from).collect(),
        None => app.mail_scopes(),
    }
}

/// Microsoft's answers differ in letter case.
fn same_scope(granted: &str, asked: &str) -> bool {
    granted.eq_ignore_ascii_case(asked)
}

/// A token goes into a header-like line: it must be printable ASCII and of a bearable length.
fn check_token(token: &SecretString) -> Result<(), Error> {
    let text = token.expose_secret();
    if text.len() > limits::TOKEN {
        return Err(Error::Token { reason: "it is too long" });
    }
    if !text.bytes().all(|byte| (0x21..=0x7e).contains(&byte)) {
        return Err(Error::Token { reason: "it holds characters that no token has" });
    }
    Ok(())
}

/// The service's refusal with its meaning.
pub(super) fn refused(error: &super::answer::OAuthError, answer: &Answer) -> Error {
    let suberror = (!error.suberror.is_empty()).then_some(error.suberror.as_str());
    Error::Refused(Box::new(Refused {
        verdict: aadsts::judge(&error.error, suberror, &error.codes(), answer.status),
        words: error.words(answer.status),
        retry_after: answer.retry_after,
    }))
}
