//! The steps of a check, in the order of the road: the sign-in service, the tokens, the mail server.

use std::sync::Arc;

use oauth2::url::Url;
use serde_json::json;

use super::CheckOptions;
use super::report::{Found, Name, Walk};
use crate::Error;
use crate::base::{Report, Status};
use crate::connector::core::{LiveSystem, Network};
use crate::connector::smtp::{Connection, OpenError, Patience};
use crate::connector::tokens::{AccessToken, Need};
use crate::connector::{Core, UseError};
use crate::identity::request::Protocol;
use crate::identity::{self, App, DeviceFlow};
use crate::net::Stream;
use crate::protocol::sasl;
use crate::store::{Connected, Overview};

const RESOLVE: Name = ("identity_resolve", "Name of the sign-in service");
const CONNECT: Name = ("identity_connect", "Connection to the sign-in service");
const TLS: Name = ("identity_tls", "Certificate of the sign-in service");
const ANSWER: Name = ("identity_answer", "Answer of the sign-in service");
const APPLICATION: Name = ("application", "Tenant and application");
const PUBLIC_CLIENT: Name = ("public_client", "Public client flows");
const TOKEN: Name = ("token", "Access token");
const PERMISSIONS: Name = ("permissions", "Permissions");
const ACCOUNT: Name = ("account", "Account and mailbox");
const SMTP_RESOLVE: Name = ("smtp_resolve", "Name of the SMTP server");
const SMTP_CONNECT: Name = ("smtp_connect", "Connection to the SMTP server");
const SMTP_TLS: Name = ("smtp_tls", "Encryption with the SMTP server");
const SMTP_LOGIN: Name = ("smtp_login", "Login to the SMTP server");

const NETWORK_ONLY: &str = "Not asked for: only the network is looked at.";

/// What the steps go by.
pub(super) struct Road<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) live: &'a Arc<LiveSystem>,
    pub(super) app: &'a App,
    pub(super) overview: &'a Overview,
    pub(super) patience: &'a Patience,
}

impl Road<'_> {
    async fn network(&self) -> Result<Network, Error> {
        self.patience.wait(self.core.network(self.live, &self.app.cloud)).await?
    }

    /// Name resolution, which a proxy does for us if there is one.
    async fn resolve(&self, walk: &mut Walk<'_>, name: Name, host: &str, port: u16) -> Result<(), Error> {
        let network = match self.network().await {
            Ok(network) => network,
            // A "ca_file" that cannot be read and its like: the first thing that does not work.
            Err(error) => return walk.step(name, &[], async { Err::<((), Found), _>(error) }).await.map(drop),
        };
        if let Ok(Some(proxy)) = network.road.proxies.toward(host, port) {
            walk.skip(name, &format!("The proxy {proxy} does it."));
            return Ok(());
        }
        let resolve = async {
            let found = self.patience.wait(network.road.resolve(host, port)).await??;
            let addresses: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
            let words = format!("{host} is {}.", addresses.join(", "));
            Ok(((), Found::new(words, json!({"host": host, "addresses": addresses}))))
        };
        walk.step(name, &[], resolve).await.map(drop)
    }

    async fn connect(&self, host: &str, port: u16) -> Result<(Stream, Found), Error> {
        let network = self.network().await?;
        let stream = self.patience.wait(Stream::connect(&network.road, host, port)).await??;
        let proxy = network.road.proxies.toward(host, port)?.map(|proxy| proxy.to_string());
        let by = proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
        let facts = json!({"host": host, "port": port, "proxy": proxy});
        Ok((stream, Found::new(format!("{host}:{port} can be reached{by}."), facts)))
    }

    /// The sign-in service: can it be reached, is it itself, does it know the application.
    pub(super) async fn identity(&self, walk: &mut Walk<'_>, options: CheckOptions) -> Result<(), Error> {
        let endpoint = self.app.token_endpoint();
        let url = Url::parse(&endpoint).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().to_owned();
        let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or(443);
        self.resolve(walk, RESOLVE, &host, port).await?;
        let stream = walk.step(CONNECT, &[RESOLVE], self.connect(&host, port)).await?;
        let tls = async {
            let stream = stream.ok_or(Error::Internal("a step was taken without the one before"))?;
            let road = self.network().await?.road;
            let stream = self.patience.wait(stream.begin_tls(&road, &host)).await??;
            let issuer = stream.issuer();
            let words = match &issuer {
                Some(issuer) => format!("Trusted; issued by {issuer}."),
                None => "Trusted.".to_owned(),
            };
            Ok(((), Found::new(words, json!({"issuer": issuer}))))
        };
        walk.step(TLS, &[RESOLVE, CONNECT], tls).await?;
        if options.network_only {
            [ANSWER, APPLICATION, PUBLIC_CLIENT].into_iter().for_each(|name| walk.skip(name, NETWORK_ONLY));
            return Ok(());
        }
        let now = self.core.clock.unix_ms();
        if self.overview.sign_in.as_ref().is_some_and(|sign_in| sign_in.is_running(now)) {
            let why = "A sign-in is running, which asks the same.";
            [ANSWER, APPLICATION, PUBLIC_CLIENT].into_iter().for_each(|name| walk.skip(name, why));
            return Ok(());
        }
        self.application(walk).await
    }

    /// Asks for a code that nobody will see, and once for its tokens: so the service tells what it thinks of the app.
    async fn application(&self, walk: &mut Walk<'_>) -> Result<(), Error> {
        let ask = async {
            let request = self.app.device_code_request()?;
            let asked = self.patience.wait(self.core.ask(self.app, self.live, request)).await?;
            let answer = asked.map_err(|failure| failure.error)?;
            let words = format!("It answers (HTTP {}).", answer.status);
            Ok((answer, Found::new(words, json!({}))))
        };
        let before = [RESOLVE, CONNECT, TLS];
        let answer = walk.step(ANSWER, &before, ask).await?;
        let begin = async {
            let answer = answer.ok_or(Error::Internal("a step was taken without the one before"))?;
            let flow = DeviceFlow::begin(&answer, self.core.clock.now())?;
            let words = format!("The tenant {} knows the application {}.", self.app.tenant_id, self.app.client_id);
            Ok((flow, Found::new(words, json!({}))))
        };
        let flow = walk.step(APPLICATION, &[RESOLVE, CONNECT, TLS, ANSWER], begin).await?;
        let poll = async {
            let mut flow = flow.ok_or(Error::Internal("a step was taken without the one before"))?;
            let request = flow.poll(self.app)?;
            let asked = self.patience.wait(self.core.ask(self.app, self.live, request)).await?;
            let answer = asked.map_err(|failure| failure.error)?;
            flow.answered(&answer, self.app, self.core.clock.now())?;
            Ok(((), Found::new("They are allowed.", json!({}))))
        };
        walk.step(PUBLIC_CLIENT, &[RESOLVE, CONNECT, TLS, ANSWER, APPLICATION], poll).await.map(drop)
    }

    /// The grant: is there one, does it still bring tokens, are they enough, and whose are they.
    pub(super) async fn tokens(&self, walk: &mut Walk<'_>, options: CheckOptions) -> Result<(), Error> {
        if options.network_only {
            [TOKEN, PERMISSIONS, ACCOUNT].into_iter().for_each(|name| walk.skip(name, NETWORK_ONLY));
            return Ok(());
        }
        let before = [RESOLVE, CONNECT, TLS, ANSWER, APPLICATION, PUBLIC_CLIENT];
        let connected = walk.step(TOKEN, &before, self.refreshed()).await?;
        let permissions = async {
            let connected = connected.as_ref().ok_or(Error::Internal("a step was taken without the one before"))?;
            let needed = self.app.mail_scopes();
            let has = |scope: &String| connected.scopes.iter().any(|one| one.eq_ignore_ascii_case(scope));
            let missing: Vec<_> = needed.iter().filter(|scope| !has(scope)).cloned().collect();
            if !missing.is_empty() {
                return Err(identity::Error::ScopeMissing { missing }.into());
            }
            let facts = json!({"granted": connected.scopes, "needed": needed});
            Ok(((), Found::new(format!("Granted: {}.", connected.scopes.join(", ")), facts)))
        };
        let before = [&before[..], &[TOKEN]].concat();
        walk.step(PERMISSIONS, &before, permissions).await?;
        let account = async {
            let connected = connected.as_ref().ok_or(Error::Internal("a step was taken without the one before"))?;
            self.account(connected)
        };
        walk.step(ACCOUNT, &before, account).await.map(drop)
    }

    /// A refresh, whatever the token at hand has left: only that shows whether the connection will last.
    async fn refreshed(&self) -> Result<(Connected, Found), Error> {
        let id = self.overview.system.id.clone();
        let Some(connected) = &self.overview.connected else {
            // The last sign-in says more than that there is none.
            let failed = self.overview.sign_in.as_ref().and_then(|sign_in| sign_in.error.clone());
            let failed = failed.filter(|report| report.status != Status::Canceled);
            return Err(failed.map_or_else(|| UseError::NotConnected.into(), Error::from));
        };
        if let Some(dead) = &connected.dead {
            return Err(dead.clone().into());
        }
        let stored = id.clone();
        let grant = self.core.in_store(move |store| store.grant(&stored)).await?.ok_or(UseError::NotConnected)?;
        let need = Need { newer_than: Some(grant.obtained_at_unix_ms), ..Need::default() };
        let token = self.patience.wait(self.core.access_token(&id, need)).await??;
        let left_s = self.core.clock.now().until(token.expires_at).as_secs();
        let found = self.core.in_store(move |store| store.overviews(Some(&id))).await?;
        let connected = found.into_iter().next().and_then(|overview| overview.connected);
        let words = format!("Refreshed; it lives for {} minutes.", left_s / 60);
        Ok((connected.ok_or(UseError::NotConnected)?, Found::new(words, json!({"expires_in_s": left_s}))))
    }

    fn account(&self, connected: &Connected) -> Result<((), Found), Error> {
        if let Some(warning) = connected.warnings.iter().find(|one| one.report.status == Status::WrongAccount) {
            return Err(warning.report.clone().into());
        }
        let login_name = self.overview.system.settings.login_name.as_ref().unwrap_or(&connected.login_name);
        let username = connected.account.as_ref().map(|account| account.username.as_str());
        let words = match username {
            Some(username) if !username.eq_ignore_ascii_case(login_name) => {
                format!("{username} signed in, and uses the mailbox {login_name}.")
            }
            _ => format!("The mailbox is {login_name}."),
        };
        Ok(((), Found::new(words, json!({"account": connected.account, "login_name": login_name}))))
    }

    /// The SMTP server: can it be reached, does it speak TLS, does it let the mailbox in.
    pub(super) async fn smtp(&self, walk: &mut Walk<'_>, options: CheckOptions) -> Result<(), Error> {
        let server = &self.app.cloud.smtp;
        let all = [SMTP_RESOLVE, SMTP_CONNECT, SMTP_TLS, SMTP_LOGIN];
        if !self.app.serves.contains(&Protocol::Smtp) {
            all.into_iter().for_each(|name| walk.skip(name, "The system does not serve SMTP."));
            return Ok(());
        }
        self.resolve(walk, SMTP_RESOLVE, &server.host, server.port).await?;
        walk.step(SMTP_CONNECT, &[SMTP_RESOLVE], self.connect(&server.host, server.port)).await?;
        if options.network_only {
            [SMTP_TLS, SMTP_LOGIN].into_iter().for_each(|name| walk.skip(name, NETWORK_ONLY));
            return Ok(());
        }
        let before = [SMTP_RESOLVE, SMTP_CONNECT, TOKEN, ANSWER, APPLICATION, PUBLIC_CLIENT, RESOLVE, CONNECT, TLS];
        if !walk.passed(&before) {
            let nothing = async { Err::<((), Found), _>(Error::Internal("a step was taken without the one before")) };
            walk.step(SMTP_TLS, &before, nothing).await?;
            let nothing = async { Err::<((), Found), _>(Error::Internal("a step was taken without the one before")) };
            return walk.step(SMTP_LOGIN, &before, nothing).await.map(drop);
        }
        let token = self.patience.wait(self.core.access_token(&self.overview.system.id, Need::default())).await??;
        // One conversation tells both.
        let (encrypted, login) = match self.log_in(&token).await {
            Ok(issuer) => {
                let words = issuer.as_ref().map_or("TLS.".to_owned(), |issuer| format!("TLS; issued by {issuer}."));
                (Ok(((), Found::new(words, json!({"issuer": issuer})))), Ok(()))
            }
            Err(OpenError::Login(refusal)) => {
                (Ok(((), Found::new("TLS.", json!({})))), Err(self.refused(refusal.report, &token)))
            }
            Err(OpenError::Other(error)) => (Err(error), Ok(())),
        };
        walk.step(SMTP_TLS, &before, async { encrypted }).await?;
        let login = async {
            let words = format!("{} is let in.", token.login_name);
            login.map(|()| ((), Found::new(words, json!({"login_name": token.login_name}))))
        };
        walk.step(SMTP_LOGIN, &[SMTP_TLS], login).await.map(drop)
    }

    async fn log_in(&self, token: &AccessToken) -> Result<Option<String>, OpenError> {
        let network = self.network().await?;
        let response = sasl::xoauth2(&token.login_name, &token.token).map_err(Error::from)?;
        let opened = Connection::open(self.core, &network, &self.app.cloud.smtp, response, self.patience).await?;
        let issuer = opened.issuer();
        opened.quit().await;
        Ok(issuer)
    }

    /// A login that is refused to somebody who is not the mailbox: mostly the administrator's own account.
    fn refused(&self, report: Report, token: &AccessToken) -> Error {
        let account = self.overview.connected.as_ref().and_then(|connected| connected.account.as_ref());
        match account {
            Some(account)
                if report.status == Status::LoginRefused
                    && !account.username.eq_ignore_ascii_case(&token.login_name) =>
            {
                let mut wrong = Report::new(
                    Status::WrongAccount,
                    format!(
                        "{} signed in, and the server does not let this account use the mailbox {}.",
                        account.username, token.login_name
                    ),
                )
                .remedy(format!(
                    "Connect again and sign in as {name}, best in a private browser window. If {name} is a shared \
                     mailbox, give {user} the rights Full Access and Send As on it.",
                    name = token.login_name,
                    user = account.username
                ));
                wrong.service = report.service;
                wrong.into()
            }
            _ => report.into(),
        }
    }
}
