//! Sending mail: compose, log in, hand over, and say truthfully what became of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::ExposeSecret;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::core::LiveSystem;
use super::smtp::{Connection, Delivered, OpenError, Patience};
use super::tokens::{AccessToken, Need};
use super::{Core, Level, Operation, Success};
use crate::Error;
use crate::base::{Report, Status};
use crate::identity::Account;
use crate::mime::{Composed, Mail, compose};
use crate::protocol::sasl;
use crate::protocol::smtp::{Refusal, Stage};
use crate::store::System;

/// The connection ended between the final dot and its answer.
#[must_use]
pub fn unknown() -> Error {
    Report::new(
        Status::SendUnknown,
        "The connection ended after the whole mail was handed over and before the server answered.",
    )
    .remedy("The mail may have been sent. Look in the mailbox's Sent Items before sending it again.")
    .into()
}

/// Sends a mail now.
pub async fn send(
    core: Arc<Core>,
    system_id: String,
    mail: Mail,
    time: Option<Duration>,
    operation: Arc<Operation>,
) -> Result<Success, Error> {
    let patience =
        Patience { until: time.and_then(|time| Instant::now().checked_add(time)), cancel: operation.cancel.clone() };
    let id = system_id.clone();
    let system = core.in_store(move |store| store.system(&id)).await?;
    let system = system.ok_or_else(|| super::UseError::NotFound { what: "system", id: system_id.clone() })?;
    let token = patience.wait(core.access_token(&system_id, Need::default())).await??;
    let sender = system.settings.sender.clone().unwrap_or_else(|| token.login_name.clone());
    let composing = core.handle().spawn_blocking(move || compose(&mail, Some(&sender), SystemTime::now()));
    let composed = patience.wait(composing).await?.map_err(|_| Error::Internal("composing failed"))??;

    let live = core.live(&system_id);
    let mailer = live.mailer();
    let mut kept = patience.wait(mailer.lock()).await?;
    let job = Job { core: &core, system: &system, live: &live, mail: &composed, operation: &operation };
    let delivered = job.deliver(&mut kept, token, &patience).await;
    drop(kept);
    let delivered = delivered?;
    let report = told(&composed, &delivered);
    match delivered.outcome {
        Ok(accepted) => {
            let partial = delivered.recipients.iter().any(Result::is_err);
            core.log(Level::Info, "sending", &format!("sent {}: {}", composed.message_id, accepted.reply.text()));
            Ok(Success { status: if partial { Status::Partial } else { Status::Ok }, value: Arc::new(report.into()) })
        }
        Err(refusal) => {
            core.log(
                Level::Warning,
                "sending",
                &format!("{} was refused: {}", composed.message_id, refusal.report.message),
            );
            Err(refusal.report.into())
        }
    }
}

/// One mail on its way.
struct Job<'a> {
    core: &'a Arc<Core>,
    system: &'a System,
    live: &'a Arc<LiveSystem>,
    mail: &'a Composed,
    operation: &'a Operation,
}

impl Job<'_> {
    /// Over the kept connection if there is a good one. One that turns out to be dead before anything can have been
    /// taken is replaced, once.
    async fn deliver(
        &self,
        kept: &mut Option<Connection>,
        token: AccessToken,
        patience: &Patience,
    ) -> Result<Delivered, Error> {
        if let Some(mut connection) = kept.take()
            && connection.is_fresh(self.core.clock.now()).await
        {
            let delivered = connection.deliver(self.core, self.mail, self.operation, patience).await;
            if connection.is_ready() {
                *kept = Some(connection);
                return delivered;
            }
            let given_up = match &delivered {
                Err(error) => connection.is_not_sent() && is_of_the_connection(error),
                // A goodbye before the body was handed over. After it nothing is sent twice, whatever the server says.
                Ok(delivered) => delivered
                    .outcome
                    .as_ref()
                    .is_err_and(|refusal| is_goodbye(&refusal.report) && refusal.stage != Stage::Message),
            };
            if !given_up {
                return delivered;
            }
            self.core.log(Level::Debug, "sending", "the kept SMTP connection was dead; connecting anew");
        }
        let mut connection = open(self.core, self.system, self.live, token, patience).await?;
        let delivered = connection.deliver(self.core, self.mail, self.operation, patience).await;
        if connection.is_ready() {
            *kept = Some(connection);
        }
        delivered
    }
}

/// Whether the failure is that of a connection which the server had given up.
fn is_of_the_connection(error: &Error) -> bool {
    match error {
        Error::Net(_) | Error::Smtp(_) => true,
        Error::Told(report) => is_goodbye(report),
        Error::Use(_)
        | Error::Identity(_)
        | Error::Sasl(_)
        | Error::Mime(_)
        | Error::Store(_)
        | Error::Internal(_)
        | Error::Panicked(_) => false,
    }
}

/// RFC 5321 section 3.8: the server shuts the connection down.
fn is_goodbye(report: &Report) -> bool {
    report.service.smtp_code == Some(421)
}

/// Connects and logs in. A token that the server refuses is replaced once; then the refusal stands.
pub(super) async fn open(
    core: &Arc<Core>,
    system: &System,
    live: &Arc<LiveSystem>,
    token: AccessToken,
    patience: &Patience,
) -> Result<Connection, Error> {
    let app = system.app()?;
    let network = patience.wait(core.network(live, &app.cloud)).await??;
    let response = |token: &AccessToken| sasl::xoauth2(&token.login_name, &token.token).map_err(Error::from);
    let login =
        async |token: &AccessToken| Connection::open(core, &network, &app.cloud.smtp, response(token)?, patience).await;
    let refusal = match hiding(&token, login(&token).await) {
        Err(OpenError::Login(refusal)) if refusal.report.status == Status::LoginRefused => refusal,
        other => return other.map_err(Error::from),
    };
    let need = Need { refused: Some(token.token.clone()), ..Need::default() };
    let refusal = match patience.wait(core.access_token(&system.id, need)).await? {
        Err(_) => refusal,
        Ok(fresh) => match hiding(&token, hiding(&fresh, login(&fresh).await)) {
            Err(OpenError::Login(refusal)) => refusal,
            other => return other.map_err(Error::from),
        },
    };
    let connected = core.connected_now(&system.id).await.ok().flatten();
    let account = connected.and_then(|connected| connected.account);
    Err(login_refused(system, account.as_ref(), &token.login_name, refusal.report).into())
}

/// A login that is refused to somebody who is not the mailbox: mostly the administrator's own account.
pub(super) fn login_refused(system: &System, account: Option<&Account>, login_name: &str, report: Report) -> Report {
    let settings = &system.settings;
    let meant = settings.login_name.as_deref().or(settings.sender.as_deref()).unwrap_or(login_name);
    let other = account.filter(|account| !account.username.eq_ignore_ascii_case(meant));
    let Some(Account { username, .. }) = other.filter(|_| report.status == Status::LoginRefused) else { return report };
    let message =
        format!("{username} signed in, while the mailbox meant is {meant}; the server does not let this account in.");
    let remedy = format!(
        "Connect again and sign in as {meant}, best in a private browser window. If {meant} is a shared mailbox, give \
         {username} the rights Full Access and Send As on it."
    );
    Report { service: report.service, ..Report::new(Status::WrongAccount, message).remedy(remedy) }
}

/// The same without a token that the server repeated in its refusal.
fn hiding(token: &AccessToken, mut opened: Result<Connection, OpenError>) -> Result<Connection, OpenError> {
    if let Err(OpenError::Login(refusal)) = &mut opened {
        refusal.report.service.hide(token.token.expose_secret());
    }
    opened
}

/// The report of a mail: what became of each recipient, and what the server said.
fn told(mail: &Composed, delivered: &Delivered) -> Json {
    let recipients = mail.envelope.to().iter().zip(&delivered.recipients).map(|(address, outcome)| match outcome {
        Ok(()) => json!({"address": address.to_string(), "accepted": true}),
        Err(Refusal { report, .. }) => json!({
            "address": address.to_string(), "accepted": false, "error": report.to_json(),
            "reply": report.service.text, "enhanced_code": report.service.enhanced_code,
        }),
    });
    let accepted = delivered.outcome.as_ref().ok();
    json!({
        "message_id": mail.message_id,
        "server_message_id": accepted.and_then(|accepted| accepted.message_id.clone()),
        "reply_code": accepted.map(|accepted| accepted.reply.code()),
        "enhanced_code": accepted.and_then(|accepted| accepted.reply.enhanced_code()),
        "reply": accepted.map(|accepted| accepted.reply.text()),
        "size": mail.data.size(),
        "accepted": delivered.recipients.iter().filter(|outcome| outcome.is_ok()).count(),
        "refused": delivered.recipients.iter().filter(|outcome| outcome.is_err()).count(),
        "recipients": recipients.collect::<Vec<_>>(),
    })
}
