//! One step of a sign-in at a time: code, poll, proof. Any process may take it, under a lease, from what the store says.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::super::core::LiveSystem;
use super::super::smtp::Patience;
use super::super::tokens::{Need, check_grant};
use super::super::{Core, Level, UseError, sending};
use crate::Error;
use crate::base::clock::{signed_millis, time_until};
use crate::base::{Moment, Report, Status, limits};
use crate::identity::request::Protocol;
use crate::identity::{self, Account, App, DeviceFlow, Progress, Tokens, UserCode};
use crate::store::{Brought, Connected, Grant, PendingCode, SignIn, SignInState, Store, System, Warning};

/// How long the proof at the end may take.
const PROOF: Duration = Duration::from_secs(90);
/// How long to wait for a turn that another process takes before looking again; its news come earlier.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Takes turns until the sign-in has ended or the core ends, which breaks off no turn: an answer must not be lost.
pub(super) async fn take_all(core: &Arc<Core>, sign_in: &SignIn) {
    let mut news = core.news();
    while !core.stop.is_cancelled() {
        let Some(wait) = take(core, sign_in).await else { return };
        // A turn is news itself: a store that fails would be asked again and again without a pause.
        news.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = news.changed() => {}
            () = core.stop.cancelled() => {}
        }
    }
}

/// Takes a turn, if one is due and nobody else takes it; tells how long to wait for the next one. `None`: the sign-in
/// has ended.
pub(super) async fn take(core: &Arc<Core>, sign_in: &SignIn) -> Option<Duration> {
    let (system_id, id) = (sign_in.system_id.clone(), sign_in.id.clone());
    let look = async || {
        let (system_id, id) = (system_id.clone(), id.clone());
        let found = core.in_store(move |store| store.sign_in(&system_id, Some(&id))).await;
        found.ok().flatten().filter(|sign_in| !sign_in.state.is_final())
    };
    let seen = look().await?;
    if let Some(wait) = wait_for_poll(core, &seen) {
        return Some(wait);
    }
    // Until the answer is kept and the lease free for others. The proof can be had again.
    let exchange = (seen.state != SignInState::Proving).then(|| core.exchange());
    if core.stop.is_cancelled() {
        return Some(LOOK_AGAIN);
    }
    let lease = match core.lease(format!("sign_in:{id}")).await {
        Ok(Some(lease)) => lease,
        Ok(None) | Err(_) => return Some(LOOK_AGAIN),
    };
    // Somebody may have taken it between the look and the lease.
    let next = match look().await {
        None => None,
        Some(sign_in) if wait_for_poll(core, &sign_in).is_some() => Some(Duration::ZERO),
        Some(sign_in) => {
            let taken = take_under_lease(core, sign_in, lease.taken_over).await;
            Some(if taken { Duration::ZERO } else { LOOK_AGAIN })
        }
    };
    lease.give_back().await;
    drop(exchange);
    next
}

/// How long until the next poll, when there is one to wait for.
fn wait_for_poll(core: &Core, sign_in: &SignIn) -> Option<Duration> {
    let code = sign_in.code.as_ref().filter(|_| sign_in.state == SignInState::CodeWaiting)?;
    let left = time_until(core.clock.unix_ms(), code.next_poll_unix_ms);
    // No wait is longer than any pause: a clock may have been set back.
    (!left.is_zero() && left <= limits::POLL_INTERVAL).then_some(left)
}

/// False when the store did not let it.
async fn take_under_lease(core: &Arc<Core>, sign_in: SignIn, lost: bool) -> bool {
    let id = sign_in.system_id.clone();
    let Ok(Some(system)) = core.in_store(move |store| store.system(&id)).await else { return false };
    let title = system.title.clone();
    let turn = match system.app() {
        Ok(app) => Turn { core, app, live: core.live(&system.id), system },
        Err(error) => return end(core, sign_in, &title, error.report()).await,
    };
    let taken = match sign_in.state {
        SignInState::Starting => turn.ask_code(sign_in.clone()).await,
        SignInState::CodeWaiting => turn.poll(sign_in.clone(), lost).await,
        SignInState::Proving => turn.prove(sign_in.clone()).await,
        SignInState::Connected | SignInState::Failed => Ok(()),
    };
    match taken {
        // Whatever the store cannot do now it may do at the next turn.
        Err(error @ Error::Store(_)) => {
            core.log(Level::Error, "sign_in", &format!("sign-in of \"{title}\": {}", error.report().message));
            false
        }
        Err(error) => end(core, sign_in, &title, error.report()).await,
        Ok(()) => true,
    }
}

async fn end(core: &Arc<Core>, sign_in: SignIn, title: &str, report: Report) -> bool {
    let level = if report.status == Status::Canceled { Level::Info } else { Level::Error };
    core.log(level, "sign_in", &format!("sign-in of \"{title}\" failed: {}", report.message));
    let ended = SignIn { state: SignInState::Failed, error: Some(report), ..sign_in };
    let kept = advance(core, &ended, Brought::Nothing, None).await;
    if let Err(error) = &kept {
        core.log(Level::Error, "sign_in", &format!("a sign-in could not be kept: {}", error.report().message));
    }
    kept.is_ok()
}

/// Keeps the new state, and tells everybody. One that was ended by somebody meanwhile stays as it is.
async fn advance(
    core: &Arc<Core>,
    sign_in: &SignIn,
    brought: Brought,
    connected: Option<&Connected>,
) -> Result<(), Error> {
    let kept = sign_in.clone();
    if !core.in_store(move |store| store.advance_sign_in(&kept, brought)).await? {
        return Ok(());
    }
    core.publish_sign_in(sign_in, connected);
    match sign_in.state {
        SignInState::Connected => core.announce(&sign_in.system_id, "connected").await,
        SignInState::Failed => core.announce(&sign_in.system_id, "sign_in_failed").await,
        SignInState::Starting | SignInState::CodeWaiting | SignInState::Proving => {}
    }
    Ok(())
}

/// What a turn needs.
struct Turn<'a> {
    core: &'a Arc<Core>,
    app: App,
    live: Arc<LiveSystem>,
    system: System,
}

impl Turn<'_> {
    /// Asks for a code, and polls once before anybody sees it: that catches a registration without public client flows.
    async fn ask_code(&self, sign_in: SignIn) -> Result<(), Error> {
        let asked = self.core.ask(&self.app, &self.live, self.app.device_code_request()?).await;
        let answer = asked.map_err(|failure| failure.error)?;
        let mut flow = DeviceFlow::begin(&answer, self.core.clock.now())?;
        let tokens = self.ask_for_tokens(&mut flow).await?;
        let code = Some(self.pending_code(&flow));
        let shown = SignIn { code, state: SignInState::CodeWaiting, ..sign_in };
        match tokens {
            Some(tokens) => self.granted(shown, tokens).await,
            None => advance(self.core, &shown, Brought::DeviceCode(flow.device_code().clone()), None).await,
        }
    }

    /// Polls once. `lost`: whoever polled before did not come back, perhaps with the answer.
    async fn poll(&self, sign_in: SignIn, lost: bool) -> Result<(), Error> {
        let code = sign_in.code.as_ref().ok_or(Error::Internal("a sign-in waits without a code"))?;
        let id = sign_in.id.clone();
        let device_code = self.core.in_store(move |store| store.device_code(&id)).await?;
        let device_code = device_code.ok_or(Error::Internal("a sign-in waits without a device code"))?;
        let mut flow = self.resumed(device_code, code, lost);
        if let Some(tokens) = self.ask_for_tokens(&mut flow).await? {
            return self.granted(sign_in, tokens).await;
        }
        let polled = SignIn { code: Some(self.pending_code(&flow)), ..sign_in };
        // Nobody needs to hear of each poll.
        self.core.in_store(move |store| store.advance_sign_in(&polled, Brought::Nothing)).await?;
        Ok(())
    }

    async fn ask_for_tokens(&self, flow: &mut DeviceFlow) -> Result<Option<Tokens>, Error> {
        let polled = self.core.ask(&self.app, &self.live, flow.poll(&self.app)?).await;
        let now = self.core.clock.now();
        let tokens = match polled {
            Ok(answer) => flow.answered(&answer, &self.app, now)?,
            Err(failure) => {
                flow.failed(failure.sent, now)?;
                None
            }
        };
        Ok(tokens)
    }

    fn resumed(&self, device_code: SecretString, code: &PendingCode, lost: bool) -> DeviceFlow {
        let clock = &self.core.clock;
        let shown = UserCode {
            user_code: code.user_code.clone(),
            verification_uri: code.verification_uri.clone(),
            message: code.message.clone(),
            expires_at: clock.moment_at(code.expires_at_unix_ms),
            interval: Duration::from_secs(code.interval_s),
        };
        let progress = Progress {
            interval: Duration::from_secs(code.interval_s),
            next_poll: clock.now(),
            faults: code.faults,
            answer_lost: code.answer_lost || lost,
        };
        DeviceFlow::resume(device_code, shown, progress)
    }

    fn pending_code(&self, flow: &DeviceFlow) -> PendingCode {
        let (code, progress) = (flow.code(), flow.progress());
        let unix_ms = |moment: Moment| self.core.clock.unix_ms_at(moment);
        PendingCode {
            user_code: code.user_code.clone(),
            verification_uri: code.verification_uri.clone(),
            message: code.message.clone(),
            interval_s: progress.interval.as_secs(),
            expires_at_unix_ms: unix_ms(code.expires_at),
            next_poll_unix_ms: unix_ms(progress.next_poll),
            faults: progress.faults,
            answer_lost: progress.answer_lost,
        }
    }

    /// Checks what was granted and to whom, and makes it durable before anybody hears of it; then it is to be proven.
    async fn granted(&self, sign_in: SignIn, tokens: Tokens) -> Result<(), Error> {
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
        let before = self.core.connected_now(&self.system.id).await?;
        let now_ms = self.core.clock.unix_ms();
        let life_ms = signed_millis(tokens.expires_in);
        let connected = Connected {
            warnings: other_account(before.as_ref(), account.as_ref()).into_iter().collect(),
            account,
            login_name,
            scopes: tokens.scopes,
            connected_at_unix_s: now_ms / 1000,
            dead: None,
        };
        let grant = Grant {
            connected: connected.clone(),
            refresh_token,
            access_token: tokens.access_token,
            expires_at_unix_ms: now_ms.saturating_add(life_ms),
            obtained_at_unix_ms: now_ms,
            refreshed: false,
            pause: None,
        };
        let proving = SignIn { state: SignInState::Proving, ..sign_in };
        // A token and a connection of the account before must not carry the next mail.
        self.core.forget(&self.system.id);
        advance(self.core, &proving, Brought::Grant(Box::new(grant)), Some(&connected)).await
    }

    /// By this computer's clock or, when that is wrong, by the service's.
    fn account(&self, id_token: Option<&SecretString>) -> Result<Option<Account>, Error> {
        let read = |token, now| Account::from_id_token(token, &self.app.client_id, &self.app.tenant_id, now);
        let clock = &self.core.clock;
        let account = id_token.map(|token| match read(token, clock.unix_s()) {
            Err(identity::Error::IdTokenTime) => read(token, clock.service_unix_s()),
            account => account,
        });
        Ok(account.transpose()?)
    }

    /// Lets each protocol that the host uses log in once. One that refuses is a warning: the tokens are kept.
    /// IMAP and POP3 are proven here when receiving is built.
    async fn prove(&self, sign_in: SignIn) -> Result<(), Error> {
        if self.app.serves.contains(&Protocol::Smtp)
            && let Err(error) = self.prove_smtp().await
        {
            if self.core.stop.is_cancelled() {
                // The next process proves it.
                return Ok(());
            }
            let report = error.report();
            self.core.log(Level::Warning, "sign_in", &format!("\"{}\", SMTP: {}", self.system.title, report.message));
            let (id, warning) = (self.system.id.clone(), Warning { protocol: Some(Protocol::Smtp), report });
            self.core.in_store(move |store| add_warning(store, &id, warning)).await?;
        }
        let Some(connected) = self.core.connected_now(&self.system.id).await? else {
            return Err(UseError::Canceled { what: "The system was signed out" }.into());
        };
        let name = &connected.login_name;
        self.core.log(Level::Info, "sign_in", &format!("\"{}\" is connected as {name}", self.system.title));
        let done = SignIn { state: SignInState::Connected, ..sign_in };
        advance(self.core, &done, Brought::Nothing, Some(&connected)).await
    }

    async fn prove_smtp(&self) -> Result<(), Error> {
        let until = tokio::time::Instant::now().checked_add(PROOF);
        let patience = Patience { until, cancel: self.core.stop.clone() };
        let token = patience.wait(self.core.access_token(&self.system.id, Need::default())).await??;
        // What is kept for the system was forgotten with the tokens before.
        let live = self.core.live(&self.system.id);
        let connection = sending::open(self.core, &self.system, &live, token, &patience).await?;
        // Kept: the first mail then needs no login.
        if let Ok(mut kept) = live.mailer().try_lock() {
            *kept = Some(connection);
        }
        Ok(())
    }
}

/// Keeps the warning with whatever tokens there are by now: the proof may have refreshed them.
fn add_warning(store: &dyn Store, system_id: &str, warning: Warning) -> Result<bool, crate::store::Error> {
    let Some(mut grant) = store.grant(system_id)? else { return Ok(false) };
    let before = grant.refresh_token.clone();
    grant.connected.warnings.push(warning);
    store.renew_grant(system_id, &before, &grant)
}

/// Another account than before: that is mostly the administrator's own, signed in by mistake.
fn other_account(before: Option<&Connected>, account: Option<&Account>) -> Option<Warning> {
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
