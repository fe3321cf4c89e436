//! Access tokens: from memory while they live, else from the store, else by refresh. One refresh at a time for a
//! system, in this process and among all that have the store open; its failures are shared too.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::core::LiveSystem;
use super::{Core, Level, UseError};
use crate::Error;
use crate::base::clock::{signed_millis, time_until};
use crate::base::{Moment, Report, limits};
use crate::identity::{self, Answer, App, Request, Tokens};
use crate::net::http::Failure;
use crate::store::{Connected, Grant, Pause, System};

/// A token that ends within this time counts as ended, when a new one can be had (as MSAL does).
const EXPIRY_MARGIN: Duration = Duration::from_secs(300);
/// A token that was refreshed within this time is not refreshed again: Microsoft takes that for a loop (AADSTS50196).
pub(super) const YOUNG: Duration = Duration::from_secs(60);
/// Pause before the one repetition of a refresh that failed for a passing reason.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The first pause after a refresh that failed for a passing reason, for everybody; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// How long to wait before looking again whether another process has refreshed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// An access token.
#[derive(Clone)]
pub struct AccessToken {
    /// Opaque.
    pub token: SecretString,
    /// The login name that belongs to it.
    pub login_name: String,
    /// When it ends.
    pub expires_at: Moment,
    /// The same in epoch seconds, for hosts.
    pub expires_at_unix_s: i64,
    obtained_at_unix_ms: i64,
    /// Until then it is not refreshed again.
    new_until: Moment,
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
    /// It must have come after this, in epoch milliseconds: a refresh ahead of need.
    pub newer_than: Option<i64>,
}

/// What the store has of a token.
enum Stored {
    /// One that serves.
    Good(AccessToken),
    /// It takes a refresh.
    Stale(Box<Grant>),
}

impl AccessToken {
    fn lives_for(&self, time: Duration, now: Moment) -> bool {
        now.until(self.expires_at) > time
    }

    fn serves(&self, need: &Need, now: Moment) -> bool {
        let refused = need.refused.as_ref().is_some_and(|refused| is_same(refused, &self.token))
            || need.newer_than.is_some_and(|known| self.obtained_at_unix_ms <= known);
        let is_new = now < self.new_until;
        // A short-lived token that is new is used up first; one that was just refreshed is all that there is to be had.
        let ahead = if is_new { Duration::ZERO } else { EXPIRY_MARGIN };
        let wanted = if self.refreshed && is_new { Duration::ZERO } else { need.min_validity };
        !refused && self.lives_for(wanted.max(ahead), now)
    }
}

fn is_same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

impl Core {
    /// The token in memory, if it meets the need: no copy, no task, no store.
    pub fn with_warm_token<T>(&self, system_id: &str, need: &Need, take: impl FnOnce(&AccessToken) -> T) -> Option<T> {
        self.with_token(system_id, |token| token.serves(need, self.clock.about_now()).then(|| take(token)))
    }

    /// An access token of a system that meets the need. A token that was just refreshed counts whatever it has left.
    pub async fn access_token(self: &Arc<Self>, system_id: &str, need: Need) -> Result<AccessToken, Error> {
        if let Some(token) = self.with_warm_token(system_id, &need, AccessToken::clone) {
            return Ok(token);
        }
        // A task of its own: a caller that loses patience must not lose the answer, which may hold the only refresh token
        // that is still good.
        let (core, id) = (Arc::clone(self), system_id.to_owned());
        let got = self.handle().spawn(async move { core.cold_token(&id, need).await }).await;
        got.map_err(|failed| match failed.try_into_panic() {
            Ok(payload) => Error::panicked(&*payload),
            Err(_) => UseError::Closed.into(),
        })?
    }

    /// The same when there is none in memory.
    async fn cold_token(self: &Arc<Self>, system_id: &str, need: Need) -> Result<AccessToken, Error> {
        let id = system_id.to_owned();
        let system = self.in_store(move |store| store.system(&id)).await?;
        let system = system.ok_or_else(|| UseError::NotFound { what: "system", id: system_id.to_owned() })?;
        if !system.settings.enabled {
            return Err(UseError::Disabled.into());
        }
        let live = self.live(system_id);
        let _one_at_a_time = live.refreshing.lock().await;
        if let Some(token) = self.with_warm_token(system_id, &need, AccessToken::clone) {
            return Ok(token);
        }
        loop {
            if let Stored::Good(token) = self.token_of_store(&system, &live, &need).await? {
                return Ok(token);
            }
            // Until the answer is kept and the lease free for others.
            let exchange = self.exchange();
            if self.stop.is_cancelled() {
                return Err(UseError::Closed.into());
            }
            let Some(lease) = self.lease(format!("refresh:{system_id}")).await? else {
                drop(exchange);
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            // Somebody may have refreshed between the look and the lease.
            let settled = match self.token_of_store(&system, &live, &need).await {
                Ok(Stored::Good(token)) => Ok(Some(token)),
                Ok(Stored::Stale(grant)) => self.refresh(&system, &live, *grant).await,
                Err(error) => Err(error),
            };
            lease.give_back().await;
            drop(exchange);
            match settled {
                Ok(Some(token)) => return Ok(token),
                // Somebody signed out or in meanwhile: what is stored now counts.
                Ok(None) => {}
                Err(error) => return self.or_what_lives(error, system_id, &need),
            }
        }
    }

    /// What the store says; an error is the reason why there is no token and no refresh either.
    async fn token_of_store(&self, system: &System, live: &Arc<LiveSystem>, need: &Need) -> Result<Stored, Error> {
        let grant = self.grant(&system.id).await?.ok_or(UseError::NotConnected)?;
        if let Some(dead) = &grant.connected.dead {
            return Err(dead.clone().into());
        }
        let stored = self.stored_token(system, &grant);
        self.hold_token(&system.id, live, stored.clone());
        if stored.serves(need, self.clock.now()) {
            return Ok(Stored::Good(stored));
        }
        if let Some(pause) = &grant.pause {
            let left = time_until(self.clock.unix_ms(), pause.until_unix_ms);
            if !left.is_zero() {
                let report = Report { retry_after: Some(left), ..pause.report.clone() };
                return self.or_what_lives(report.into(), &system.id, need).map(Stored::Good);
            }
        }
        Ok(Stored::Stale(Box::new(grant)))
    }

    /// A refresh that failed for a passing reason is no failure while the token lives.
    fn or_what_lives(&self, error: Error, system_id: &str, need: &Need) -> Result<AccessToken, Error> {
        if !error.report().transient || need.refused.is_some() || need.newer_than.is_some() {
            return Err(error);
        }
        let usable = |token: &AccessToken| token.lives_for(need.min_validity, self.clock.now()).then(|| token.clone());
        self.with_token(system_id, usable).ok_or(error)
    }

    /// No token is believed for longer than its own life: the clock may have been set back.
    fn stored_token(&self, system: &System, grant: &Grant) -> AccessToken {
        let now_ms = self.clock.unix_ms();
        let life = time_until(grant.obtained_at_unix_ms, grant.expires_at_unix_ms);
        let new_until_ms = grant.obtained_at_unix_ms.saturating_add(signed_millis(YOUNG));
        let now = self.clock.now();
        AccessToken {
            token: grant.access_token.clone(),
            login_name: login_name(system, &grant.connected),
            expires_at: now.after(time_until(now_ms, grant.expires_at_unix_ms).min(life)),
            expires_at_unix_s: grant.expires_at_unix_ms / 1000,
            obtained_at_unix_ms: grant.obtained_at_unix_ms,
            new_until: now.after(time_until(now_ms, new_until_ms).min(YOUNG)),
            refreshed: grant.refreshed,
        }
    }

    async fn grant(&self, system_id: &str) -> Result<Option<Grant>, Error> {
        let id = system_id.to_owned();
        self.in_store(move |store| store.grant(&id)).await
    }

    /// Refreshes, durable before it is used: strict servers refuse the old refresh token from then on. `None` when the
    /// grant is another one by now.
    async fn refresh(
        &self,
        system: &System,
        live: &Arc<LiveSystem>,
        grant: Grant,
    ) -> Result<Option<AccessToken>, Error> {
        let before = grant.refresh_token.clone();
        let refreshed = self.refresh_patiently(system, live, &grant).await;
        let after = match &refreshed {
            Ok(tokens) => self.renewed(grant, tokens),
            Err(error) => match self.failed(grant, error.report()) {
                Some(grant) => grant,
                None => return refreshed.map(|_| None),
            },
        };
        let (id, died, kept) = (system.id.clone(), after.connected.dead.is_some(), after.clone());
        if !self.in_store(move |store| store.renew_grant(&id, &before, &kept)).await? {
            return Ok(None);
        }
        if died {
            self.announce(&system.id, "sign_in_required").await;
        }
        refreshed?;
        let token = self.stored_token(system, &after);
        self.hold_token(&system.id, live, token.clone());
        self.log(Level::Info, "tokens", &format!("refreshed the token of \"{}\"", system.title));
        Ok(Some(token))
    }

    /// Asks, and once more when the first answer is doubtful or the fault may be over in a moment.
    async fn refresh_patiently(&self, system: &System, live: &Arc<LiveSystem>, grant: &Grant) -> Result<Tokens, Error> {
        let app = system.app()?;
        let error = match self.refresh_once(&app, live, grant).await {
            Ok(tokens) => return Ok(tokens),
            Err(error) => error,
        };
        let report = error.report();
        self.log(Level::Warning, "tokens", &format!("refresh for \"{}\" failed: {}", system.title, report.message));
        let doubtful = matches!(&error, Error::Identity(error) if error.is_doubtful());
        let may_be_over = report.transient && report.retry_after.is_none();
        if !(doubtful || may_be_over) {
            return Err(error);
        }
        tokio::time::sleep(jittered(RETRY_PAUSE)).await;
        self.refresh_once(&app, live, grant).await
    }

    async fn refresh_once(&self, app: &App, live: &Arc<LiveSystem>, grant: &Grant) -> Result<Tokens, Error> {
        let request = app.refresh_request(&grant.refresh_token)?;
        let answer = self.ask(app, live, request).await.map_err(|failure| failure.error)?;
        Ok(Tokens::from_answer(&answer, app).map_err(|error| error.hiding(&grant.refresh_token))?)
    }

    fn renewed(&self, grant: Grant, tokens: &Tokens) -> Grant {
        let now = self.clock.unix_ms();
        let life = signed_millis(tokens.expires_in);
        Grant {
            refresh_token: tokens.refresh_token.clone().unwrap_or(grant.refresh_token),
            access_token: tokens.access_token.clone(),
            expires_at_unix_ms: now.saturating_add(life),
            obtained_at_unix_ms: now,
            refreshed: true,
            pause: None,
            connected: Connected { scopes: tokens.scopes.clone(), ..grant.connected },
        }
    }

    /// What a failure leaves: a dead grant with its reason, or a pause for everybody. `None`: nothing.
    fn failed(&self, grant: Grant, report: Report) -> Option<Grant> {
        if report.sign_in_required {
            return Some(Grant { connected: Connected { dead: Some(report), ..grant.connected }, ..grant });
        }
        report.transient.then(|| {
            let failures = grant.pause.as_ref().map_or(0, |pause| pause.failures).saturating_add(1);
            let backoff = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(failures.min(8)).unwrap_or(256) / 2);
            let pause = jittered(backoff.min(limits::REFRESH_BACKOFF)).max(report.retry_after.unwrap_or_default());
            let pause_ms = signed_millis(pause);
            let until_unix_ms = self.clock.unix_ms().saturating_add(pause_ms);
            Grant { pause: Some(Pause { until_unix_ms, failures, report }), ..grant }
        })
    }

    /// One exchange with the identity service.
    pub(super) async fn ask(&self, app: &App, live: &Arc<LiveSystem>, request: Request) -> Result<Answer, AskFailure> {
        let network = self.network(live, &app.cloud).await.map_err(|error| AskFailure { error, sent: false })?;
        let correlation_id = uuid::Uuid::new_v4().to_string();
        let posted = network.http.post(&request.url, &request.form, &correlation_id).await;
        let told = match &posted {
            Ok(answer) => {
                self.clock.compare(answer.date_unix_s);
                format!("HTTP {}", answer.status)
            }
            Err(failure) => failure.error.to_string(),
        };
        self.log(Level::Debug, "identity", &format!("POST {} ({correlation_id}): {told}", request.url));
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
fn login_name(system: &System, connected: &Connected) -> String {
    system.settings.login_name.clone().unwrap_or_else(|| connected.login_name.clone())
}

/// Up to a fifth longer, so that many do not come back at the same moment.
fn jittered(pause: Duration) -> Duration {
    let chance = u32::try_from(uuid::Uuid::new_v4().as_u128() % 200).unwrap_or(0);
    pause.saturating_add(pause.saturating_mul(chance) / 1000)
}
