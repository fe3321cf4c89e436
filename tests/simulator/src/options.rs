//! What a simulated tenant is made of before it starts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::ids;

/// How a simulator is to be started. `Options::default()` is a whole tenant on free ports.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port of the identity half on 127.0.0.1; 0 takes a free one.
    pub identity_port: u16,
    /// Port of SMTP submission on 127.0.0.1; 0 takes a free one.
    pub smtp_port: u16,
    /// Where `ca.pem` goes. `None` is a fresh temporary directory that goes away with the simulator.
    /// A directory that holds the `ca.pem` and `ca-key.pem` of an earlier run keeps that CA.
    pub directory: Option<PathBuf>,
    /// Tenant GUID.
    pub tenant_id: String,
    /// Verified domain names of the tenant: each is as good as the GUID in a request.
    pub domains: Vec<String>,
    /// GUID of the app registration.
    pub client_id: String,
    /// Name of the app registration, as the confirmation page shows it.
    pub app_name: String,
    /// People and mailboxes. The first one is [`crate::Simulator::account`].
    pub accounts: Vec<Account>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            identity_port: 0,
            smtp_port: 0,
            directory: None,
            tenant_id: "6f1c0a52-8f5e-4c1b-9a55-2d9f4be0a7d1".into(),
            domains: vec!["contoso.example".into(), "contoso.onmicrosoft.example".into()],
            client_id: "b3d1f8a4-52c7-4d6e-8e0f-71a9c2e45b90".into(),
            app_name: "MyQ Print Server".into(),
            accounts: vec![
                Account::new("print@contoso.example", "Print Server").alias("printer@contoso.example"),
                Account::new("admin@contoso.example", "Ada Admin"),
            ],
        }
    }
}

/// One account of the tenant, with a mailbox unless told otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// User principal name: what `preferred_username` and XOAUTH2's `user` hold.
    pub upn: String,
    /// Display name.
    pub name: String,
    /// Object id, a GUID.
    pub oid: String,
    /// The `email` claim. `None` leaves it out, as Microsoft mostly does.
    pub email: Option<String>,
    /// Further addresses that this account may write in `From`: aliases and SendAs rights.
    pub aliases: Vec<String>,
    /// Has a mailbox; without one every login is `535 5.7.3`.
    pub mailbox: bool,
    /// SMTP AUTH is on for the mailbox.
    pub smtp_auth: bool,
    /// May sign in; a blocked account gets AADSTS50057 on the page and at each refresh.
    pub enabled: bool,
}

impl Account {
    /// An enabled account with a mailbox and an oid that follows from its name.
    #[must_use]
    pub fn new(upn: &str, name: &str) -> Self {
        Self {
            upn: upn.into(),
            name: name.into(),
            oid: ids::guid_of(upn),
            email: None,
            aliases: Vec::new(),
            mailbox: true,
            smtp_auth: true,
            enabled: true,
        }
    }

    /// The same account, which may also write `address` in `From`.
    #[must_use]
    pub fn alias(mut self, address: &str) -> Self {
        self.aliases.push(address.into());
        self
    }

    /// The same account with an `email` claim.
    #[must_use]
    pub fn email(mut self, address: &str) -> Self {
        self.email = Some(address.into());
        self
    }

    pub(crate) fn may_send_as(&self, address: &str) -> bool {
        std::iter::once(&self.upn).chain(&self.aliases).any(|own| own.eq_ignore_ascii_case(address))
    }
}
