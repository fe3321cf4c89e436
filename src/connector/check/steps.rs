//! The steps of a check, in the order of the road: the sign-in service, the tokens, the mail server.

use std::sync::Arc;

use serde_json::json;

use super::report::{Found, Name, Walk};
use crate::Error;
use crate::connector::Core;
use crate::connector::core::{LiveSystem, Network};
use crate::connector::smtp::Patience;
use crate::identity::App;
use crate::store::Overview;

pub(super) const RESOLVE: Name = ("identity_resolve", "Name of the sign-in service");
pub(super) const CONNECT: Name = ("identity_connect", "Connection to the sign-in service");
pub(super) const TLS: Name = ("identity_tls", "Certificate of the sign-in service");
pub(super) const ANSWER: Name = ("identity_answer", "Answer of the sign-in service");
pub(super) const APPLICATION: Name = ("application", "Tenant and application");
pub(super) const PUBLIC_CLIENT: Name = ("public_client", "Public client flows");
pub(super) const TOKEN: Name = ("token", "Access token");
pub(super) const PERMISSIONS: Name = ("permissions", "Permissions");
pub(super) const ACCOUNT: Name = ("account", "Account and mailbox");
pub(super) const SMTP_RESOLVE: Name = ("smtp_resolve", "Name of the SMTP server");
pub(super) const SMTP_CONNECT: Name = ("smtp_connect", "Connection to the SMTP server");
pub(super) const SMTP_TLS: Name = ("smtp_tls", "Encryption with the SMTP server");
pub(super) const SMTP_LOGIN: Name = ("smtp_login", "Login to the SMTP server");

pub(super) const NETWORK_ONLY: &str = "Not asked for: only the network is looked at.";

/// What the steps go by.
pub(super) struct Road<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) live: &'a Arc<LiveSystem>,
    pub(super) app: &'a App,
    pub(super) overview: &'a Overview,
    pub(super) patience: &'a Patience,
}

impl Road<'_> {
    pub(super) async fn network(&self) -> Result<Network, Error> {
        self.patience.wait(self.core.network(self.live, &self.app.cloud)).await?
    }

    /// Name resolution, which a proxy does for us if there is one.
    pub(super) async fn resolve(&self, walk: &mut Walk<'_>, name: Name, host: &str, port: u16) -> Result<(), Error> {
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

    /// What is told of a connection that works.
    pub(super) fn reached(network: &Network, host: &str, port: u16) -> Found {
        let proxy = network.road.proxies.toward(host, port).ok().flatten().map(|proxy| proxy.to_string());
        let by = proxy.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
        let facts = json!({"host": host, "port": port, "proxy": proxy});
        Found::new(format!("{host}:{port} can be reached{by}."), facts)
    }

    /// What is told of certificates that are trusted.
    pub(super) fn certified(&self, issuers: &[String]) -> Found {
        /// Who issues those of Microsoft's servers: a part of the name.
        const AUTHORITIES: [&str; 5] = ["DigiCert", "Microsoft", "GlobalSign", "Entrust", "Baltimore"];
        let Some(issuer) = issuers.first() else { return Found::new("Trusted.", json!({})) };
        let is_usual = issuers.iter().any(|issuer| AUTHORITIES.iter().any(|authority| issuer.contains(authority)));
        let note = if self.overview.system.settings.is_microsoft() && !is_usual {
            " That is none of Microsoft's usual authorities: a firewall seems to inspect TLS here."
        } else {
            ""
        };
        Found::new(format!("Trusted; issued by {issuer}.{note}"), json!({"issuer": issuer, "issuers": issuers}))
    }
}
