//! Access tokens: from memory while they live, else by refresh, one at a time for a system.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::core::LiveSystem;
use super::{Core, Level, UseError, lock};
use crate::Error;
use crate::base::{Moment, Report};
use crate::identity::{self, Answer, App, Request, Tokens};
use crate::net::http::Failure;
use crate::store::{Grant, System};

/// A token that ends within this time counts as ended, when a new one can be had (as MSAL does).
const EXPIRY_MARGIN: Duration = Duration::from_secs(300);
/// A token that was refreshed within this time is not refreshed again: Microsoft takes that for a loop (AADSTS50196).
const REFRESH_PAUSE: Duration = Duration::from_secs(60);
/// Pause before the one repetition of a refresh that failed for a passing reason.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The access token in memory.
#[derive(Default)]
pub struct TokenCache {
    current: Mutex<Option<AccessToken>>,
    refreshing: tokio::sync::Mutex<()>,
}

/// An access token.
#[derive(Clone)]
pub struct AccessToken {
    /// Opaque.
    pub token: SecretString,
    /// The login name that belongs to it.
    pub login_name: String,
    /// When it ends.
    pub expires_at: Moment,
    obtained_at: Moment,
    /// By a refresh, and not by the sign-in.
    refreshed: bool,
}

/// What a caller needs of a token.
#[derive(Default)]
pub struct Need {
    /// It must live for this long.
    pub min_validity: Duration,
    /// This one was refused by a mail server: another one is needed.
    pub refused: Option<SecretString>,
}

impl TokenCache {
    /// Takes the token of a sign-in that has just been confirmed.
    pub fn put(&self, token: AccessToken) {
        *lock(&self.current) = Some(token);
    }

    fn get(&self) -> Option<AccessToken> {
        lock(&self.current).clone()
    }
}

impl AccessToken {
    /// The token of a sign-in.
    #[must_use]
    pub fn signed_in(token: SecretString, login_name: String, expires_at: Moment, obtained_at: Moment) -> Self {
        Self { token, login_name, expires_at, obtained_at, refreshed: false }
    }

    fn lives_for(&self, time: Duration, now: Moment) -> bool {
        now.until(self.expires_at) > time
    }

    fn serves(&self, need: &Need, now: Moment) -> bool {
        let refused = need.refused.as_ref().is_some_and(|refused| is_same(refused, &self.token));
        let recent = |at: Moment| now < at.after(REFRESH_PAUSE);
        // A short-lived token that is new is used up first; one that was just refreshed is all that there is to be had.
        let ahead = if recent(self.obtained_at) { Duration::ZERO } else { EXPIRY_MARGIN };
        let wanted = if self.refreshed && recent(self.obtained_at) { Duration::ZERO } else { need.min_validity };
        !refused && self.lives_for(wanted.max(ahead), now)
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

impl Core {
    /// An access token of a system that meets the need. A token that was just refreshed counts whatever it has left.
    pub async fn access_token(self: &Arc<Self>, system_id: &str, need: Need) -> Result<AccessToken, Error> {
        let id = system_id.to_owned();
        let system = self.in_store(move |store| store.system(&id)).await?;
        let system = system.ok_or_else(|| UseError::NotFound { what: "system", id: system_id.to_owned() })?;
        let live = self.live(system_id);
        if let Some(token) = live.token.get().filter(|token| token.serves(&need, self.clock.now())) {
            return Ok(token);
        }
        let _one_at_a_time = live.token.refreshing.lock().await;
        if let Some(token) = live.token.get().filter(|token| token.serves(&need, self.clock.now())) {
            return Ok(token);
        }
        let grant = self.grant(system_id).await?.ok_or(UseError::NotConnected)?;
        if let Some(dead) = grant.dead {
            return Err(dead.into());
        }
        if live.token.get().is_none() {
            // Another process, or this one before the system's settings changed, may have left a good one.
            let stored = self.stored_token(&system, &grant);
            live.token.put(stored.clone());
            if stored.serves(&need, self.clock.now()) {
                return Ok(stored);
            }
        }
        let refreshed = self.refresh(&system, &live, grant).await;
        // A refresh that failed for a passing reason is no failure while the token lives.
        match refreshed {
            Err(error) if error.report().transient && need.refused.is_none() => {
                let usable = |token: &AccessToken| token.lives_for(need.min_validity, self.clock.now());
                live.token.get().filter(usable).ok_or(error)
            }
            other => other,
        }
    }

    fn stored_token(&self, system: &System, grant: &Grant) -> AccessToken {
        let left_ms = grant.expires_at_unix_ms.saturating_sub(self.clock.unix_s().saturating_mul(1000));
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        AccessToken {
            token: grant.access_token.clone(),
            login_name: login_name(system, grant),
            expires_at: self.clock.now().after(left),
            obtained_at: Moment(0),
            refreshed: false,
        }
    }

    async fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error> {
        let id = system_id.to_owned();
        self.in_store(move |store| store.grant(&id)).await
    }

    async fn refresh(&self, system: &System, live: &Arc<LiveSystem>, grant: Grant) -> Result<AccessToken, Error> {
        let app = system.app()?;
        let mut repeated = false;
        let tokens = loop {
            let error = match self.refresh_once(&app, live, &grant).await {
                Ok(tokens) => break tokens,
                Err(error) => error,
            };
            let report = error.report();
            self.log(Level::Warning, &format!("refresh for \"{}\" failed: {}", system.title, report.message));
            let doubtful = matches!(&error, Error::Identity(error) if error.is_doubtful());
            if !repeated && (doubtful || (report.transient && report.retry_after.is_none())) {
                repeated = true;
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            if report.sign_in_required {
                self.bury(&system.id, &grant, report).await?;
            }
            return Err(error);
        };
        let now = self.clock.now();
        let expires_at = now.after(tokens.expires_in);
        let login_name = login_name(system, &grant);
        let expires_in_ms = i64::try_from(tokens.expires_in.as_millis()).unwrap_or(i64::MAX);
        let before = grant.refresh_token.clone();
        let renewed = Grant {
            refresh_token: tokens.refresh_token.unwrap_or(grant.refresh_token),
            access_token: tokens.access_token.clone(),
            expires_at_unix_ms: (self.clock.unix_s() * 1000).saturating_add(expires_in_ms),
            ..grant
        };
        // Durable before it is used: strict servers refuse the old refresh token from now on.
        let id = system.id.clone();
        if !self.in_store(move |store| store.renew_grant(&id, &before, renewed)).await? {
            // Somebody signed out or in meanwhile: what is stored now counts.
            let stored = self.grant(&system.id).await?.ok_or(UseError::NotConnected)?;
            return Ok(self.stored_token(system, &stored));
        }
        let token =
            AccessToken { token: tokens.access_token, login_name, expires_at, obtained_at: now, refreshed: true };
        live.token.put(token.clone());
        self.log(Level::Info, &format!("refreshed the token of \"{}\"", system.title));
        Ok(token)
    }

    async fn refresh_once(&self, app: &App, live: &Arc<LiveSystem>, grant: &Grant) -> Result<Tokens, Error> {
        let request = app.refresh_request(&grant.refresh_token)?;
        let answer = self.ask(app, live, request).await.map_err(|failure| failure.error)?;
        Ok(Tokens::from_answer(&answer, app).map_err(|error| error.hiding(&grant.refresh_token))?)
    }

    /// The grant is dead: kept with its reason, so that the administrator is told why, and everybody hears of it.
    async fn bury(&self, system_id: &str, grant: &Grant, reason: Report) -> Result<(), Error> {
        let (id, before) = (system_id.to_owned(), grant.refresh_token.clone());
        let buried = Grant { dead: Some(reason), ..grant.clone() };
        if self.in_store(move |store| store.renew_grant(&id, &before, buried)).await? {
            self.system_changed(system_id, "sign_in_required");
        }
        Ok(())
    }

    /// One exchange with the identity service.
    pub(super) async fn ask(&self, app: &App, live: &Arc<LiveSystem>, request: Request) -> Result<Answer, AskFailure> {
        let network = self.network(live, &app.cloud).await.map_err(|error| AskFailure { error, sent: false })?;
        let correlation_id = uuid::Uuid::new_v4().to_string();
        let posted = network.http.post(&request.url, &request.form, &correlation_id).await;
        let told = match &posted {
            Ok(answer) => format!("HTTP {}", answer.status),
            Err(failure) => failure.error.to_string(),
        };
        self.log(Level::Debug, &format!("POST {} ({correlation_id}): {told}", request.url));
        match posted {
            Ok(answer) => Ok(Answer { status: answer.status, body: answer.body, retry_after: answer.retry_after }),
            Err(Failure { error, sent }) => Err(AskFailure { error: error.into(), sent }),
        }
    }
}

/// Why there is no answer, and whether the question may have arrived.
pub(super) struct AskFailure {
    pub(super) error: Error,
    pub(super) sent: bool,
}

/// Checks a fresh grant: everything that was asked must be there, or the connection would fail later, and in silence.
pub(super) fn check_grant(tokens: &Tokens, app: &App) -> Result<SecretString, identity::Error> {
    let missing = tokens.missing_scopes(app);
    if !missing.is_empty() {
        return Err(identity::Error::ScopeMissing { missing });
    }
    tokens.refresh_token.clone().ok_or(identity::Error::NoRefreshToken)
}

/// The setting goes before the account that signed in (a shared mailbox).
fn login_name(system: &System, grant: &Grant) -> String {
    system.settings.login_name.clone().unwrap_or_else(|| grant.login_name.clone())
}
