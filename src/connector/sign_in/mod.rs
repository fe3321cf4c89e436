//! Signing in: the device flow run to its end, and the proof that the connection works.
//!
//! A sign-in belongs to the system, not to the operation that began it: the operation may be let go, others may join.

mod task;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::core::LiveSystem;
use super::operation::Change;
use super::systems::warnings_json;
use super::{Connector, Core, Operation, Success, UseError, lock};
use crate::Error;
use crate::base::{Report, Status};
use crate::store::{Grant, SignIn, SignInState, System};
use task::Task;

/// Changes that wait for an operation that watches.
const CHANGES: usize = 16;

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
