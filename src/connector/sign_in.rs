//! Signing in: the device flow run to its end, and the proof that the connection works.
//!
//! A sign-in belongs to the system, not to the operation that began it: the operation may be let go, others may join.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::core::LiveSystem;
use super::events::Kind;
use super::operation::Change;
use super::smtp::Patience;
use super::systems::warnings_json;
use super::tokens::{AccessToken, check_grant};
use super::{Connector, Core, Event, Level, Operation, Success, UseError, lock};
use crate::Error;
use crate::base::{Report, Status, Value};
use crate::identity::request::Protocol;
use crate::identity::{self, Account, App, DeviceFlow, Tokens};
use crate::store::{Grant, PendingCode, SignIn, SignInState, Store, System, Warning};

/// Changes that wait for an operation that watches.
const CHANGES: usize = 16;
/// How long the proof at the end may take.
const PROOF: Duration = Duration::from_secs(90);

/// The options of a start. Schema: `docs/schema/sign-in-options.schema.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SignInOptions {
    /// What happens to a sign-in of the system that still runs.
    pub if_pending: IfPending,
}

/// What happens to a sign-in that still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IfPending {
    /// It is joined.
    #[default]
    Join,
    /// It is cancelled, and a new one begins.
    Replace,
}

/// A sign-in that runs in this process.
pub struct RunningSignIn {
    id: String,
    cancel: CancellationToken,
    why: Arc<std::sync::Mutex<&'static str>>,
    changes: broadcast::Sender<(Change, SignIn)>,
}

impl RunningSignIn {
    /// Ends it; a poll that is under way is awaited.
    pub fn cancel(&self, why: &'static str) {
        *lock(&self.why) = why;
        self.cancel.cancel();
    }
}

impl Connector {
    /// Begins a sign-in or joins the one that runs; `operation` follows it.
    pub fn start_sign_in(
        self: &Arc<Self>,
        system_id: &str,
        options: SignInOptions,
        operation: &Arc<Operation>,
    ) -> Result<(), Error> {
        let core = &self.core;
        let system = core.system(system_id)?;
        let live = core.live(system_id);
        let mut running = lock(&live.sign_in);
        if options.if_pending == IfPending::Replace
            && let Some(old) = running.take()
        {
            old.cancel("A newer sign-in took its place");
        }
        if running.is_none() {
            *running = Some(core.begin_sign_in(system, &live)?);
        }
        let Some(joined) = running.as_ref() else { return Err(Error::Internal("a sign-in vanished")) };
        let (id, news) = (joined.id.clone(), joined.changes.subscribe());
        drop(running);
        let (core, system_id, following) = (Arc::clone(core), system_id.to_owned(), Arc::clone(operation));
        self.run(operation, async move { follow(&core, &system_id, &id, news, &following).await });
        Ok(())
    }

    /// Where a sign-in stands; `None` means the latest.
    pub fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<SignIn, Error> {
        self.check_open()?;
        self.core.sign_in(system_id, sign_in_id)
    }

    /// The same as values tell it, with the account once it is connected.
    pub fn sign_in_state(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<Json, Error> {
        let sign_in = self.sign_in(system_id, sign_in_id)?;
        let connected = sign_in.state == SignInState::Connected;
        let grant = if connected { self.core.store().grant(system_id)? } else { None };
        Ok(self.core.sign_in_json(&sign_in, grant.as_ref()))
    }

    /// Waits until there is a code to show. A sign-in that failed before gives its failure.
    pub fn sign_in_code(
        &self,
        system_id: &str,
        sign_in_id: Option<&str>,
        time: Option<Duration>,
    ) -> Result<Option<SignIn>, Error> {
        self.core.wait_for(time, || {
            let sign_in = self.sign_in(system_id, sign_in_id)?;
            match (&sign_in.code, &sign_in.error) {
                (_, Some(error)) => Err(error.clone().into()),
                (Some(_), None) => Ok(Some(sign_in)),
                (None, None) => Ok(None),
            }
        })
    }

    /// Cancels a sign-in; one that has ended stays as it is.
    pub fn cancel_sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<(), Error> {
        let sign_in = self.sign_in(system_id, sign_in_id)?;
        self.core.cancel_running(system_id, &sign_in.id);
        Ok(())
    }
}

/// Follows a sign-in for an operation.
async fn follow(
    core: &Core,
    system_id: &str,
    sign_in_id: &str,
    mut news: broadcast::Receiver<(Change, SignIn)>,
    operation: &Operation,
) -> Result<Success, Error> {
    // A joiner is told first where it stands.
    let (mut change, mut sign_in) = core.sign_in_now(system_id, sign_in_id).await?;
    let mut told = None;
    loop {
        if sign_in.state.is_final() {
            operation.changes_last(&change);
        } else if told != Some(sign_in.state) && sign_in.state != SignInState::Starting {
            told = Some(sign_in.state);
            operation.changed(&change);
        }
        match (sign_in.state, &sign_in.error) {
            (SignInState::Connected, _) => return Ok(Success { status: Status::Ok, value: change }),
            (SignInState::Failed, Some(error)) => return Err(error.clone().into()),
            (SignInState::Failed, None) => return Err(Error::Internal("a sign-in failed without a reason")),
            (SignInState::Starting | SignInState::CodeWaiting | SignInState::Proving, _) => {}
        }
        tokio::select! {
            biased;
            next = news.recv() => (change, sign_in) = match next {
                Ok(next) => next,
                // Too many changes at once, or the end: the record has the rest.
                Err(_) => core.sign_in_now(system_id, sign_in_id).await?,
            },
            () = operation.cancel.cancelled() => {
                // A connector that closes takes its operations along, not the sign-in that others may follow.
                let error = if operation.was_canceled() {
                    core.cancel_running(system_id, sign_in_id);
                    UseError::Canceled { what: "The sign-in was cancelled" }
                } else {
                    UseError::Closed
                };
                let ended = SignIn { state: SignInState::Failed, error: Some(error.report()), ..sign_in };
                operation.changes_last(&Arc::new(core.sign_in_json(&ended, None).into()));
                return Err(error.into());
            }
        }
    }
}

impl Core {
    /// A sign-in of the store.
    pub fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<SignIn, Error> {
        self.system(system_id)?;
        let found = self.store().sign_in(system_id, sign_in_id)?;
        let id = sign_in_id.unwrap_or("(the latest)").to_owned();
        Ok(found.ok_or(UseError::NotFound { what: "sign-in", id })?)
    }

    /// A sign-in as it stands, with the account once it is connected.
    async fn sign_in_now(&self, system_id: &str, sign_in_id: &str) -> Result<(Change, SignIn), Error> {
        let (system, id) = (system_id.to_owned(), sign_in_id.to_owned());
        let (sign_in, grant) =
            self.in_store(move |store| Ok((store.sign_in(&system, Some(&id))?, store.grant(&system)?))).await?;
        let sign_in = sign_in.ok_or(UseError::Canceled { what: "The system was removed" })?;
        let grant = grant.filter(|_| sign_in.state == SignInState::Connected);
        Ok((Arc::new(self.sign_in_json(&sign_in, grant.as_ref()).into()), sign_in))
    }

    fn cancel_running(&self, system_id: &str, sign_in_id: &str) {
        let live = self.live(system_id);
        if let Some(running) = lock(&live.sign_in).as_ref().filter(|running| running.id == sign_in_id) {
            running.cancel("The sign-in was cancelled");
        }
    }

    fn begin_sign_in(self: &Arc<Self>, system: System, live: &Arc<LiveSystem>) -> Result<RunningSignIn, Error> {
        let id = Uuid::now_v7().to_string();
        let sign_in = SignIn {
            id: id.clone(),
            system_id: system.id.clone(),
            state: SignInState::Starting,
            code: None,
            error: None,
        };
        self.store().put_sign_in(sign_in.clone())?;
        let running = RunningSignIn {
            id: id.clone(),
            cancel: self.stop.child_token(),
            why: Arc::new(std::sync::Mutex::new("The sign-in was cancelled")),
            changes: broadcast::channel(CHANGES).0,
        };
        let task = Task {
            core: Arc::clone(self),
            app: system.app()?,
            system,
            live: Arc::clone(live),
            cancel: running.cancel.clone(),
            why: Arc::clone(&running.why),
            changes: running.changes.clone(),
        };
        self.spawn(task.run(sign_in));
        Ok(running)
    }

    /// A sign-in as values and events tell it.
    #[must_use]
    pub fn sign_in_json(&self, sign_in: &SignIn, grant: Option<&Grant>) -> Json {
        let now_ms = self.clock.unix_s().saturating_mul(1000);
        let status = match (sign_in.state, &sign_in.error) {
            (SignInState::Connected, _) => Status::Ok,
            (SignInState::Failed, Some(error)) => error.status,
            (SignInState::Failed, None) => Status::Internal,
            (SignInState::Starting | SignInState::CodeWaiting | SignInState::Proving, _) => Status::Pending,
        };
        let code = sign_in.code.as_ref().filter(|_| !sign_in.state.is_final()).map(|code| {
            json!({
                "user_code": code.user_code,
                "verification_uri": code.verification_uri,
                "message": code.message,
                "interval_s": code.interval_s,
                "expires_in_s": code.expires_at_unix_ms.saturating_sub(now_ms).max(0) / 1000,
                "expires_at_unix_s": code.expires_at_unix_ms / 1000,
            })
        });
        let mut json = json!({
            "system_id": sign_in.system_id,
            "sign_in_id": sign_in.id,
            "state": sign_in.state.name(),
            "status": status,
            "name": status.name(),
            "code": code,
            "error": sign_in.error.as_ref().map(Report::to_json),
        });
        if let (Some(grant), Some(members)) = (grant, json.as_object_mut()) {
            members.insert("account".to_owned(), json!(grant.account));
            members.insert("login_name".to_owned(), json!(grant.login_name));
            members.insert("scopes".to_owned(), json!(grant.scopes));
            members.insert("warnings".to_owned(), warnings_json(Some(grant)));
        }
        json
    }
}

/// The work of one sign-in.
struct Task {
    core: Arc<Core>,
    app: App,
    system: System,
    live: Arc<LiveSystem>,
    cancel: CancellationToken,
    why: Arc<std::sync::Mutex<&'static str>>,
    changes: broadcast::Sender<(Change, SignIn)>,
}

impl Task {
    async fn run(self, mut sign_in: SignIn) {
        self.core.log(Level::Info, &format!("sign-in of \"{}\" begins", self.system.title));
        let ended = match self.connect(&mut sign_in).await {
            Ok(grant) => {
                sign_in.state = SignInState::Connected;
                self.core.log(Level::Info, &format!("\"{}\" is connected as {}", self.system.title, grant.login_name));
                Ok(grant)
            }
            Err(error) => {
                let report = error.report();
                let level = if report.status == Status::Canceled { Level::Info } else { Level::Error };
                self.core.log(level, &format!("sign-in of \"{}\" failed: {}", self.system.title, report.message));
                sign_in.state = SignInState::Failed;
                sign_in.error = Some(report);
                Err(())
            }
        };
        self.no_longer_runs(&sign_in);
        self.changed(&sign_in, ended.as_ref().ok()).await;
        self.core.system_changed(&self.system.id, if ended.is_ok() { "connected" } else { "sign_in_failed" });
    }

    fn no_longer_runs(&self, sign_in: &SignIn) {
        let mut running = lock(&self.live.sign_in);
        if running.as_ref().is_some_and(|running| running.id == sign_in.id) {
            *running = None;
        }
    }

    async fn connect(&self, sign_in: &mut SignIn) -> Result<Grant, Error> {
        let tokens = self.device_flow(sign_in).await?;
        let grant = self.keep(tokens).await?;
        sign_in.state = SignInState::Proving;
        self.changed(sign_in, Some(&grant)).await;
        let grant = self.prove(grant).await?;
        // Signed out or removed while it was proven.
        self.check_cancel()?;
        Ok(grant)
    }

    async fn device_flow(&self, sign_in: &mut SignIn) -> Result<Tokens, Error> {
        let request = self.app.device_code_request()?;
        let asked = self.core.ask(&self.app, &self.live, request).await;
        self.check_cancel()?;
        let answer = asked.map_err(|failure| failure.error)?;
        let mut flow = DeviceFlow::begin(&answer, self.core.clock.now())?;
        loop {
            let pause = self.core.clock.now().until(flow.next_poll());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => {}
            }
            self.check_cancel()?;
            // The timer stands still while the computer is suspended, the clock does not: look before asking.
            if self.core.clock.now() < flow.next_poll() {
                continue;
            }
            let polled = self.core.ask(&self.app, &self.live, flow.poll(&self.app)?).await;
            let now = self.core.clock.now();
            match polled {
                Ok(answer) => {
                    if let Some(tokens) = flow.answered(&answer, &self.app, now)? {
                        return Ok(tokens);
                    }
                }
                Err(failure) => flow.failed(failure.sent, now)?,
            }
            self.check_cancel()?;
            if sign_in.code.is_none() {
                sign_in.code = Some(self.pending_code(&flow));
                sign_in.state = SignInState::CodeWaiting;
                self.changed(sign_in, None).await;
            }
        }
    }

    fn pending_code(&self, flow: &DeviceFlow) -> PendingCode {
        let code = flow.code();
        PendingCode {
            user_code: code.user_code.clone(),
            verification_uri: code.verification_uri.clone(),
            message: code.message.clone(),
            interval_s: code.interval.as_secs(),
            expires_at_unix_ms: self.core.clock.unix_s_at(code.expires_at).saturating_mul(1000),
        }
    }

    /// Checks what was granted and to whom, and makes it durable before anybody hears of it.
    async fn keep(&self, tokens: Tokens) -> Result<Grant, Error> {
        let refresh_token = check_grant(&tokens, &self.app)?;
        let account = self.account(tokens.id_token.as_ref())?;
        let login_name = match (&self.system.settings.login_name, &account) {
            (Some(name), _) => name.clone(),
            (None, Some(account)) if account.has_mail_name() => account.username.clone(),
            (None, account) => {
                let username = account.as_ref().map(|account| account.username.clone()).unwrap_or_default();
                return Err(identity::Error::NoMailName { username }.into());
            }
        };
        let id = self.system.id.clone();
        let before = self.core.in_store(move |store| store.grant(&id)).await?;
        let now = self.core.clock.now();
        let expires_at = now.after(tokens.expires_in);
        let grant = Grant {
            warnings: other_account(before.as_ref(), account.as_ref()).into_iter().collect(),
            account,
            login_name: login_name.clone(),
            scopes: tokens.scopes,
            refresh_token,
            access_token: tokens.access_token.clone(),
            expires_at_unix_ms: self.core.clock.unix_s_at(expires_at).saturating_mul(1000),
            connected_at_unix_s: self.core.clock.unix_s(),
            dead: None,
        };
        self.put(&grant).await?;
        self.live.token.put(AccessToken::signed_in(tokens.access_token, login_name, expires_at, now));
        // A connection of the account before must not carry the next mail.
        self.live.renew_mailer();
        Ok(grant)
    }

    fn account(&self, id_token: Option<&SecretString>) -> Result<Option<Account>, Error> {
        let read =
            |token| Account::from_id_token(token, &self.app.client_id, &self.app.tenant_id, self.core.clock.unix_s());
        Ok(id_token.map(read).transpose()?)
    }

    async fn put(&self, grant: &Grant) -> Result<(), Error> {
        let (id, kept) = (self.system.id.clone(), grant.clone());
        if self.core.in_store(move |store| store.put_grant(&id, Some(kept))).await? {
            Ok(())
        } else {
            Err(UseError::Canceled { what: "The system was removed" }.into())
        }
    }

    /// Lets each protocol that the host uses log in once. One that refuses is a warning: the tokens are kept.
    /// IMAP and POP3 are proven here when receiving is built.
    async fn prove(&self, mut grant: Grant) -> Result<Grant, Error> {
        if !self.app.serves.contains(&Protocol::Smtp) {
            return Ok(grant);
        }
        let until = tokio::time::Instant::now().checked_add(PROOF);
        let patience = Patience { until, cancel: self.cancel.clone() };
        match self.prove_smtp(&patience).await {
            Ok(()) => {}
            Err(_) if self.cancel.is_cancelled() => {}
            Err(error) => {
                let report = error.report();
                self.core.log(Level::Warning, &format!("\"{}\", SMTP: {}", self.system.title, report.message));
                grant.warnings.push(Warning { protocol: Some(Protocol::Smtp), report });
                let (id, warned) = (self.system.id.clone(), grant.warnings.clone());
                self.core.in_store(move |store| add_warnings(store, &id, warned)).await?;
            }
        }
        Ok(grant)
    }

    async fn prove_smtp(&self, patience: &Patience) -> Result<(), Error> {
        let token = patience.wait(self.core.access_token(&self.system.id, super::tokens::Need::default())).await??;
        let connection = super::sending::open(&self.core, &self.system, &self.live, token, patience).await?;
        // Kept: the first mail then needs no login.
        if let Ok(mut kept) = self.live.mailer().try_lock() {
            *kept = Some(connection);
        }
        Ok(())
    }

    fn check_cancel(&self) -> Result<(), UseError> {
        if self.cancel.is_cancelled() { Err(UseError::Canceled { what: *lock(&self.why) }) } else { Ok(()) }
    }

    /// Keeps the new state, and tells everybody.
    async fn changed(&self, sign_in: &SignIn, grant: Option<&Grant>) {
        let kept = sign_in.clone();
        if let Err(error) = self.core.in_store(move |store| store.put_sign_in(kept)).await {
            self.core.log(Level::Error, &format!("a sign-in could not be kept: {}", error.report().message));
        }
        let json = self.core.sign_in_json(sign_in, grant);
        let mut event = json.clone();
        if let Some(members) = event.as_object_mut() {
            members.insert("type".to_owned(), json!("sign_in"));
        }
        let change: Change = Arc::new(Value::from(json));
        // Nobody may be listening: the operation was let go.
        let _ = self.changes.send((change, sign_in.clone()));
        self.core.publish(&Event::of_system(Kind::SignIn, &self.system.id, event));
        self.core.wake();
    }
}

/// Keeps the warnings with whatever tokens there are by now: the proof may have refreshed them.
fn add_warnings(store: &dyn Store, system_id: &str, warnings: Vec<Warning>) -> Result<bool, crate::store::Error> {
    let Some(grant) = store.grant(system_id)? else { return Ok(false) };
    let before = grant.refresh_token.clone();
    store.renew_grant(system_id, &before, Grant { warnings, ..grant })
}

/// Another account than before: that is mostly the administrator's own, signed in by mistake.
fn other_account(before: Option<&Grant>, account: Option<&Account>) -> Option<Warning> {
    let before = before?.account.as_ref()?;
    let account = account.filter(|account| !account.is(before))?;
    let report = Report::new(
        Status::WrongAccount,
        format!("{} signed in, where it was {} before.", account.username, before.username),
    )
    .remedy(format!(
        "If that was not meant, connect again and sign in as {}, best in a private browser window.",
        before.username
    ));
    Some(Warning { protocol: None, report })
}
