//! The sign-in service: can it be reached, is it itself, does it know the application, and what does it grant.

use oauth2::url::Url;
use serde_json::json;
use tokio::time::Instant;

use super::report::{Found, Name, Walk};
use super::steps::{
    ACCOUNT, ANSWER, APPLICATION, CONNECT, NETWORK_ONLY, PERMISSIONS, PUBLIC_CLIENT, RESOLVE, Road, TLS, TOKEN,
};
use super::{CheckOptions, millis};
use crate::Error;
use crate::base::clock::signed_millis;
use crate::base::{Report, Status};
use crate::connector::UseError;
use crate::connector::tokens::{AccessToken, Need, YOUNG};
use crate::identity::aadsts::Action;
use crate::identity::request::Protocol;
use crate::identity::{self, DeviceFlow, Tokens, token};
use crate::net::Stream;
use crate::store::{Connected, Grant, SignInState};

/// What must work before a token is asked for.
const BEFORE_TOKEN: [Name; 6] = [RESOLVE, CONNECT, TLS, ANSWER, APPLICATION, PUBLIC_CLIENT];

/// With what the mail server is asked to let us in.
pub(super) struct Login {
    pub(super) token: AccessToken,
    pub(super) connected: Connected,
}

impl Road<'_> {
    /// From the name of the service to a token that may do what is needed.
    pub(super) async fn identity(&self, walk: &mut Walk<'_>, options: CheckOptions) -> Result<Option<Login>, Error> {
        self.reach(walk).await?;
        if options.network_only {
            let rest = [ANSWER, APPLICATION, PUBLIC_CLIENT, TOKEN, PERMISSIONS, ACCOUNT];
            rest.into_iter().for_each(|name| walk.skip(name, NETWORK_ONLY));
            return Ok(None);
        }
        let login = self.login(walk).await?;
        walk.block_rest(&[ANSWER, APPLICATION, PUBLIC_CLIENT, TOKEN, PERMISSIONS, ACCOUNT]);
        Ok(login)
    }

    async fn login(&self, walk: &mut Walk<'_>) -> Result<Option<Login>, Error> {
        let Some(token) = self.token(walk).await? else { return Ok(None) };
        let connected = self.connected().await?;
        walk.step(PERMISSIONS, &[TOKEN], async { self.permissions(&connected) }).await?;
        walk.step(ACCOUNT, &[TOKEN], async { self.account(&connected) }).await?;
        let missing = token::missing_scopes(&connected.scopes, self.app);
        let may_send = !missing.iter().any(|scope| scope.ends_with(Protocol::Smtp.permission()));
        Ok(may_send.then_some(Login { token, connected }))
    }

    async fn reach(&self, walk: &mut Walk<'_>) -> Result<(), Error> {
        let url = Url::parse(&self.app.token_endpoint()).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or(443);
        self.resolve(walk, RESOLVE, host, port).await?;
        let connect = async {
            let network = self.network().await?;
            let stream = self.patience.wait(Stream::connect(&network.road, host, port)).await??;
            let found = Self::reached(&network, host, port);
            Ok(((network, stream), found))
        };
        let Some((network, stream)) = walk.step(CONNECT, &[RESOLVE], connect).await? else {
            walk.block_rest(&[TLS]);
            return Ok(());
        };
        let tls = async {
            let stream = self.patience.wait(stream.begin_tls(&network.road, host)).await??;
            Ok(((), self.certified(&stream.issuers())))
        };
        walk.step(TLS, &[RESOLVE, CONNECT], tls).await.map(drop)
    }

    /// A fresh token of a connected system: that shows all the rest too, and nothing less shows whether the connection
    /// will last. Where there is none, a code is asked for and thrown away.
    async fn token(&self, walk: &mut Walk<'_>) -> Result<Option<AccessToken>, Error> {
        if !walk.is_ok(TLS) {
            return Ok(None);
        }
        let id = self.overview.system.id.clone();
        let grant = self.core.in_store(move |store| store.grant(&id)).await?;
        let now_ms = self.core.clock.unix_ms();
        let paused = |grant: &Grant| grant.pause.as_ref().is_some_and(|pause| pause.until_unix_ms > now_ms);
        let begun = Instant::now();
        if let Some(grant) = grant.as_ref().filter(|grant| grant.connected.dead.is_none() && !paused(grant)) {
            let age_ms = now_ms.saturating_sub(grant.obtained_at_unix_ms);
            if grant.refreshed && (0..signed_millis(YOUNG)).contains(&age_ms) {
                let age_s = age_ms / 1000;
                self.not_asked(walk, &format!("It gave a token {age_s} s ago, and takes more for a loop."));
            } else {
                let refreshed = self.refreshed(grant.obtained_at_unix_ms).await;
                let token = self.judge(walk, begun, refreshed, "as a fresh token shows")?;
                let Some(token) = token else { return Ok(None) };
                let found = self.lives(&token, "Refreshed");
                return walk.enter(TOKEN, millis(begun.elapsed()), Ok((token, found)));
            }
        } else if self.overview.sign_in.as_ref().is_some_and(|sign_in| sign_in.is_running(now_ms)) {
            self.not_asked(walk, "A sign-in is running, which asks the same.");
        } else {
            let asked = self.patience.wait(self.ask_for_code()).await.map_err(Error::from).and_then(|asked| asked);
            if self.judge(walk, begun, asked, "as a sign-in code shows, which was thrown away")?.is_none() {
                return Ok(None);
            }
        }
        if grant.is_none() {
            let (name, error) = self.not_connected(walk);
            for before in [TOKEN, PERMISSIONS].into_iter().take_while(|before| *before != name) {
                walk.skip(before, "The last sign-in brought a token that could not be used.");
            }
            return walk.enter(name, 0, Err(error));
        }
        let at_hand = async {
            let getting = self.core.access_token(&self.overview.system.id, Need::default());
            let token = self.patience.wait(getting).await??;
            let found = self.lives(&token, "At hand");
            Ok((token, found))
        };
        walk.step(TOKEN, &BEFORE_TOKEN, at_hand).await
    }

    fn not_asked(&self, walk: &mut Walk<'_>, why: &str) {
        [ANSWER, APPLICATION, PUBLIC_CLIENT].into_iter().for_each(|name| walk.skip(name, why));
    }

    fn lives(&self, token: &AccessToken, how: &str) -> Found {
        let left_s = self.core.clock.now().until(token.expires_at).as_secs();
        Found::new(format!("{how}; it lives for {} minutes.", left_s / 60), json!({"expires_in_s": left_s}))
    }

    async fn refreshed(&self, obtained_at_unix_ms: i64) -> Result<AccessToken, Error> {
        let need = Need { newer_than: Some(obtained_at_unix_ms), ..Need::default() };
        self.patience.wait(self.core.access_token(&self.overview.system.id, need)).await?
    }

    /// As a sign-in begins: a code, and one poll, at which a registration without public client flows is refused.
    async fn ask_for_code(&self) -> Result<(), Error> {
        let ask = async |request| self.core.ask(self.app, self.live, request).await.map_err(|failure| failure.error);
        let flow = DeviceFlow::begin(&ask(self.app.device_code_request()?).await?, self.core.clock.now())?;
        match Tokens::from_answer(&ask(flow.poll(self.app)?).await?, self.app) {
            Ok(_) => Ok(()),
            Err(identity::Error::Refused(refused))
                if matches!(refused.verdict.action, Action::KeepPolling | Action::SlowDown) =>
            {
                Ok(())
            }
            Err(error) => Err(error.hiding(flow.device_code()).into()),
        }
    }

    /// Enters what an answer of the service says of the steps up to the token.
    fn judge<T>(
        &self,
        walk: &mut Walk<'_>,
        begun: Instant,
        asked: Result<T, Error>,
        how: &str,
    ) -> Result<Option<T>, Error> {
        let (tenant, client) = (&self.app.tenant_id, &self.app.client_id);
        let steps = [
            (ANSWER, "It answers".to_owned()),
            (APPLICATION, format!("The tenant {tenant} knows the application {client}")),
            (PUBLIC_CLIENT, "They are allowed".to_owned()),
        ];
        let duration_ms = millis(begun.elapsed());
        let (result, fault) = match asked {
            Ok(result) => (Some(result), None),
            Err(error) => (None, Some((at_most_token(place(&error.report())), error))),
        };
        let how = if fault.is_some() { "as its refusal shows" } else { how };
        for (name, words) in steps {
            if fault.as_ref().is_some_and(|(at, _)| *at == name) {
                break;
            }
            let duration_ms = if name == ANSWER { duration_ms } else { 0 };
            walk.enter(name, duration_ms, Ok(((), Found::new(format!("{words}, {how}."), json!({})))))?;
        }
        if let Some((name, error)) = fault {
            walk.enter::<()>(name, duration_ms, Err(error))?;
        }
        Ok(result)
    }

    /// Why nobody is connected. The last sign-in says more than that, unless its reason was seen to be gone.
    fn not_connected(&self, walk: &Walk<'_>) -> (Name, Error) {
        let last = self.overview.sign_in.as_ref().filter(|sign_in| sign_in.state == SignInState::Failed);
        let is_gone = |report: &Report| {
            let at = place(report);
            report.status == Status::Canceled || report.transient || (at != TOKEN && walk.is_ok(at))
        };
        let report = last.and_then(|sign_in| sign_in.error.clone()).filter(|report| !is_gone(report));
        match report {
            None => (TOKEN, UseError::NotConnected.into()),
            Some(report) => {
                let at = place(&report);
                (if [PERMISSIONS, ACCOUNT].contains(&at) { at } else { TOKEN }, report.into())
            }
        }
    }

    async fn connected(&self) -> Result<Connected, Error> {
        let connected = self.core.connected_now(&self.overview.system.id).await?;
        Ok(connected.ok_or(UseError::NotConnected)?)
    }

    /// What the last answer of the service granted, against what is needed.
    fn permissions(&self, connected: &Connected) -> Result<((), Found), Error> {
        let missing = token::missing_scopes(&connected.scopes, self.app);
        if !missing.is_empty() {
            return Err(identity::Error::ScopeMissing { missing }.into());
        }
        let facts = json!({"granted": connected.scopes, "needed": self.app.mail_scopes()});
        Ok(((), Found::new(format!("Granted: {}.", connected.scopes.join(", ")), facts)))
    }

    fn account(&self, connected: &Connected) -> Result<((), Found), Error> {
        let settings = &self.overview.system.settings;
        let login_name = settings.login_name.as_ref().unwrap_or(&connected.login_name);
        let meant = settings.login_name.as_ref().or(settings.sender.as_ref());
        let username = connected.account.as_ref().map(|account| account.username.as_str());
        let is_meant = username.is_some_and(|username| meant.is_some_and(|meant| meant.eq_ignore_ascii_case(username)));
        // What a mail server refused is seen at its own step.
        let mut warnings =
            connected.warnings.iter().filter(|warning| warning.protocol.is_none()).map(|warning| &warning.report);
        // Whom the settings name is right, whoever it was before.
        if let Some(report) = warnings.find(|report| report.status == Status::WrongAccount && !is_meant) {
            return Err(report.clone().into());
        }
        let words = match username {
            Some(username) if !username.eq_ignore_ascii_case(login_name) => {
                format!("{username} signed in, and uses the mailbox {login_name}.")
            }
            _ => format!("The mailbox is {login_name}."),
        };
        Ok(((), Found::new(words, json!({"account": connected.account, "login_name": login_name}))))
    }
}

/// What lies behind the token is seen in the token, and not in a refusal to give one.
fn at_most_token(name: Name) -> Name {
    if [PERMISSIONS, ACCOUNT].contains(&name) { TOKEN } else { name }
}

/// The step at which a failure of the sign-in service belongs.
fn place(report: &Report) -> Name {
    match report.status {
        Status::Network
        | Status::NameResolution
        | Status::Tls
        | Status::Certificate
        | Status::Proxy
        | Status::Protocol
        | Status::IdentityBusy
        | Status::CallTimeout => ANSWER,
        Status::TenantNotFound | Status::AppNotFound | Status::AppSetup | Status::TenantSetup => APPLICATION,
        Status::PublicClientOff => PUBLIC_CLIENT,
        Status::PermissionMissing => PERMISSIONS,
        Status::WrongAccount => ACCOUNT,
        Status::SignInRequired
        | Status::SignInDeclined
        | Status::SignInExpired
        | Status::Consent
        | Status::Policy
        | Status::Account
        | Status::IdentityRefused
        | Status::Disabled
        | Status::Ok
        | Status::Pending
        | Status::Timeout
        | Status::End
        | Status::Partial
        | Status::Argument
        | Status::Handle
        | Status::Closed
        | Status::Forked
        | Status::WouldDeadlock
        | Status::NotFound
        | Status::Canceled
        | Status::Limit
        | Status::Settled
        | Status::LeaseLost
        | Status::StarttlsMissing
        | Status::LoginRefused
        | Status::SmtpAuthOff
        | Status::LoginBlocked
        | Status::SenderRefused
        | Status::RecipientsRefused
        | Status::MessageRefused
        | Status::MessageTooBig
        | Status::MailBusy
        | Status::Quota
        | Status::SenderBlocked
        | Status::SendUnknown
        | Status::Mailbox
        | Status::Store
        | Status::StoreBusy
        | Status::StoreVersion
        | Status::StoreDamaged
        | Status::StoreAccess
        | Status::StoreKey
        | Status::DiskFull
        | Status::File
        | Status::Internal => TOKEN,
    }
}
