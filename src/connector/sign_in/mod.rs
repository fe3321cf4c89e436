//! Signing in: the device flow run to its end, and the proof that the connection works.
//!
//! A sign-in belongs to the system, not to the operation or the process that began it: its state is in the store, and
//! whoever has the store open may follow it, see it through or cancel it.

mod turn;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::events::Kind;
use super::operation::Change;
use super::systems::warnings_json;
use super::{Connector, Core, Event, Level, Operation, Success, UseError, lock};
use crate::Error;
use crate::base::{Report, Status};
use crate::store::{Brought, Connected, SignIn, SignInState};

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
        if !system.settings.enabled {
            return Err(UseError::Disabled.into());
        }
        let new = SignIn {
            id: Uuid::now_v7().to_string(),
            system_id: system_id.to_owned(),
            started_at_unix_ms: core.clock.unix_ms(),
            state: SignInState::Starting,
            code: None,
            error: None,
        };
        let id = new.id.clone();
        let why = UseError::Canceled { what: "A newer sign-in took its place" }.report();
        let replace = (options.if_pending == IfPending::Replace).then_some(&why);
        let not_found = || UseError::NotFound { what: "system", id: system_id.to_owned() };
        let sign_in = core.store().begin_sign_in(new, replace)?.ok_or_else(not_found)?;
        if sign_in.id == id {
            core.log(Level::Info, "sign_in", &format!("sign-in of \"{}\" begins", system.title));
        }
        core.wake();
        core.drive(&sign_in);
        let (core, following) = (Arc::clone(core), Arc::clone(operation));
        self.run(operation, async move { follow(&core, sign_in, &following).await });
        Ok(())
    }

    /// Where a sign-in stands; `None` means the latest.
    pub fn sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<SignIn, Error> {
        self.check_open()?;
        self.core.sign_in(system_id, sign_in_id)
    }

    /// The same as values tell it, with the account once it is connected. With `time` it takes a turn itself, if one is
    /// due and nobody else takes it: a poll that was sent is awaited, the rest only for so long.
    pub fn sign_in_state(
        self: &Arc<Self>,
        system_id: &str,
        sign_in_id: Option<&str>,
        time: Option<Duration>,
    ) -> Result<Json, Error> {
        let mut sign_in = self.sign_in(system_id, sign_in_id)?;
        if !time.is_some_and(|time| time.is_zero()) && sign_in.is_running(self.core.clock.unix_ms()) {
            self.take_turn(&sign_in, time);
            sign_in = self.sign_in(system_id, Some(&sign_in.id))?;
        }
        let connected = self.core.connected_by(&sign_in)?;
        Ok(self.core.sign_in_json(&sign_in, connected.as_ref()))
    }

    /// Waits until there is a code to show. A sign-in that failed before gives its failure.
    pub fn sign_in_code(
        self: &Arc<Self>,
        system_id: &str,
        sign_in_id: Option<&str>,
        time: Option<Duration>,
    ) -> Result<Option<SignIn>, Error> {
        self.core.wait_for(time, || {
            let sign_in = self.sign_in(system_id, sign_in_id)?;
            match (&sign_in.code, &sign_in.error) {
                (_, Some(error)) => Err(error.clone().into()),
                (Some(_), None) => Ok(Some(sign_in)),
                (None, None) => {
                    // Whoever began it may be gone.
                    if !time.is_some_and(|time| time.is_zero()) {
                        self.core.drive(&sign_in);
                    }
                    Ok(None)
                }
            }
        })
    }

    /// Cancels a sign-in, whichever process began it; one that has ended stays as it is.
    pub fn cancel_sign_in(&self, system_id: &str, sign_in_id: Option<&str>) -> Result<(), Error> {
        let sign_in = self.sign_in(system_id, sign_in_id)?;
        self.core.cancel(sign_in)
    }

    /// Takes one turn on the library's threads, and waits for it.
    fn take_turn(self: &Arc<Self>, sign_in: &SignIn, time: Option<Duration>) {
        let proves = sign_in.state == SignInState::Proving;
        let (core, sign_in) = (Arc::clone(&self.core), sign_in.clone());
        let (done, ended) = std::sync::mpsc::sync_channel(1);
        self.core.spawn(async move {
            turn::take(&core, &sign_in).await;
            let _ = done.send(());
        });
        // An answer that is under way must not be lost by a host that closes now. The proof can be had again.
        let for_answer = if proves { Duration::ZERO } else { self.core.options().timeouts.http() };
        let _ = ended.recv_timeout(time.unwrap_or(Duration::MAX).max(for_answer));
    }
}

/// Follows a sign-in for an operation.
async fn follow(core: &Core, mut sign_in: SignIn, operation: &Operation) -> Result<Success, Error> {
    let mut news = core.news();
    let mut told = SignInState::Starting;
    let (system_id, id) = (sign_in.system_id.clone(), sign_in.id.clone());
    loop {
        news.mark_unchanged();
        let connected;
        (sign_in, connected) = core.sign_in_now(&system_id, &id).await?;
        let change: Change = Arc::new(core.sign_in_json(&sign_in, connected.as_ref()).into());
        if sign_in.state.is_final() {
            operation.changes_last(&change);
        } else if told != sign_in.state {
            told = sign_in.state;
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
            _ = news.changed() => {}
            () = operation.cancel.cancelled() => {
                // A connector that closes takes its operations along, not the sign-in that others may follow.
                let error = if operation.was_canceled() {
                    core.cancel(sign_in.clone())?;
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

    /// Whom a sign-in that has ended well connected.
    fn connected_by(&self, sign_in: &SignIn) -> Result<Option<Connected>, Error> {
        if sign_in.state != SignInState::Connected {
            return Ok(None);
        }
        let overviews = self.store().overviews(Some(&sign_in.system_id))?;
        Ok(overviews.into_iter().next().and_then(|overview| overview.connected))
    }

    /// A sign-in as it stands, and whom it connected.
    pub(super) async fn sign_in_now(
        &self,
        system_id: &str,
        sign_in_id: &str,
    ) -> Result<(SignIn, Option<Connected>), Error> {
        let (system, id) = (system_id.to_owned(), sign_in_id.to_owned());
        let (sign_in, overviews) = self
            .in_store(move |store| Ok((store.sign_in(&system, Some(&id))?, store.overviews(Some(&system))?)))
            .await?;
        let sign_in = sign_in.ok_or(UseError::Canceled { what: "The system was removed" })?;
        let connected = overviews.into_iter().next().and_then(|overview| overview.connected);
        let connected = connected.filter(|_| sign_in.state == SignInState::Connected);
        Ok((sign_in, connected))
    }

    fn cancel(&self, sign_in: SignIn) -> Result<(), Error> {
        let error = UseError::Canceled { what: "The sign-in was cancelled" }.report();
        let ended = SignIn { state: SignInState::Failed, error: Some(error), ..sign_in };
        if self.store().advance_sign_in(&ended, Brought::Nothing)? {
            self.publish_sign_in(&ended, None);
            self.system_changed(&ended.system_id, "sign_in_failed");
        }
        Ok(())
    }

    /// Tells everybody where a sign-in stands.
    pub(super) fn publish_sign_in(&self, sign_in: &SignIn, connected: Option<&Connected>) {
        let mut event = self.sign_in_json(sign_in, connected);
        if let Some(members) = event.as_object_mut() {
            members.insert("type".to_owned(), json!("sign_in"));
        }
        self.publish(&Event::of_system(Kind::SignIn, &sign_in.system_id, event));
        self.wake();
    }

    /// Sees a sign-in through to its end, together with all others that do.
    pub(super) fn drive(self: &Arc<Self>, sign_in: &SignIn) {
        if !lock(&self.driven).insert(sign_in.id.clone()) {
            return;
        }
        let (core, sign_in) = (Arc::clone(self), sign_in.clone());
        self.spawn(async move {
            turn::take_all(&core, &sign_in).await;
            lock(&core.driven).remove(&sign_in.id);
        });
    }

    /// Sees the sign-ins that others left through to their ends, if a connector was opened for that.
    pub(super) async fn drive_unfinished(self: &Arc<Self>) {
        if !self.any_connector(|options| options.run_sign_ins) {
            return;
        }
        if let Ok(unfinished) = self.in_store(|store| store.unfinished_sign_ins()).await {
            unfinished.iter().for_each(|sign_in| self.drive(sign_in));
        }
    }

    /// A sign-in as values and events tell it.
    #[must_use]
    pub fn sign_in_json(&self, sign_in: &SignIn, connected: Option<&Connected>) -> Json {
        let now_ms = self.clock.unix_ms();
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
        if let (Some(connected), Some(members)) = (connected, json.as_object_mut()) {
            members.insert("account".to_owned(), json!(connected.account));
            members.insert("login_name".to_owned(), json!(connected.login_name));
            members.insert("scopes".to_owned(), json!(connected.scopes));
            members.insert("warnings".to_owned(), warnings_json(Some(connected)));
        }
        json
    }
}
