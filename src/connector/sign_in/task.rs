//! The work of one sign-in: code, polls, tokens, checks, proof.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::base::{Report, Status, Value};
use crate::connector::core::LiveSystem;
use crate::connector::events::Kind;
use crate::connector::operation::Change;
use crate::connector::smtp::Patience;
use crate::connector::tokens::{AccessToken, Need, check_grant};
use crate::connector::{Core, Event, Level, UseError, lock, sending};
use crate::identity::request::Protocol;
use crate::identity::{self, Account, App, DeviceFlow, Tokens};
use crate::store::{Grant, PendingCode, SignIn, SignInState, Store, System, Warning};

/// How long the proof at the end may take.
const PROOF: Duration = Duration::from_secs(90);

/// The work of one sign-in.
pub(super) struct Task {
    pub(super) core: Arc<Core>,
    pub(super) app: App,
    pub(super) system: System,
    pub(super) live: Arc<LiveSystem>,
    pub(super) cancel: CancellationToken,
    pub(super) why: Arc<std::sync::Mutex<&'static str>>,
    pub(super) changes: broadcast::Sender<(Change, SignIn)>,
}

impl Task {
    /// Runs it to its end, whatever that is; everybody is told.
    pub(super) async fn run(self, mut sign_in: SignIn) {
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
        let token = patience.wait(self.core.access_token(&self.system.id, Need::default())).await??;
        let connection = sending::open(&self.core, &self.system, &self.live, token, patience).await?;
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
