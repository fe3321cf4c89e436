//! The SMTP server: can it be reached, does it speak TLS, does it let the mailbox in. One conversation, ended in order.

use secrecy::ExposeSecret;
use serde_json::json;

use super::CheckOptions;
use super::identity::Login;
use super::report::{Found, Walk};
use super::steps::{NETWORK_ONLY, Road, SMTP_CONNECT, SMTP_LOGIN, SMTP_RESOLVE, SMTP_TLS};
use crate::Error;
use crate::connector::sending::login_refused;
use crate::connector::smtp::{Connection, OpenError};
use crate::identity::request::Protocol;
use crate::protocol::sasl;

impl Road<'_> {
    /// From the name of the server to the login.
    pub(super) async fn smtp(
        &self,
        walk: &mut Walk<'_>,
        options: CheckOptions,
        login: Option<Login>,
    ) -> Result<(), Error> {
        let server = &self.app.cloud.smtp;
        if !self.app.serves.contains(&Protocol::Smtp) {
            let all = [SMTP_RESOLVE, SMTP_CONNECT, SMTP_TLS, SMTP_LOGIN];
            all.into_iter().for_each(|name| walk.skip(name, "The system does not serve SMTP."));
            return Ok(());
        }
        self.resolve(walk, SMTP_RESOLVE, &server.host, server.port).await?;
        let connect = async {
            let network = self.network().await?;
            let connection = Connection::connect(self.core, &network, server, self.patience).await?;
            let found = Self::reached(&network, &server.host, server.port);
            Ok(((network, connection), found))
        };
        let connected = walk.step(SMTP_CONNECT, &[SMTP_RESOLVE], connect).await?;
        if options.network_only {
            [SMTP_TLS, SMTP_LOGIN].into_iter().for_each(|name| walk.skip(name, NETWORK_ONLY));
            return Ok(());
        }
        let Some((network, connection)) = connected else {
            walk.block_rest(&[SMTP_TLS, SMTP_LOGIN]);
            return Ok(());
        };
        let secure = async {
            let connection = connection.secure(&network, self.patience).await?;
            let found = self.certified(&connection.issuers());
            Ok((connection, found))
        };
        let Some(connection) = walk.step(SMTP_TLS, &[SMTP_CONNECT], secure).await? else {
            walk.block_rest(&[SMTP_LOGIN]);
            return Ok(());
        };
        let Some(login) = login else {
            connection.quit().await;
            walk.block_rest(&[SMTP_LOGIN]);
            return Ok(());
        };
        if let Some(connection) = walk.step(SMTP_LOGIN, &[], self.log_in(connection, &login)).await? {
            connection.quit().await;
        }
        Ok(())
    }

    async fn log_in(&self, connection: Connection, login: &Login) -> Result<(Connection, Found), Error> {
        let token = &login.token;
        let response = sasl::xoauth2(&token.login_name, &token.token)?;
        match connection.login(response, self.patience).await {
            Ok(connection) => {
                let facts = json!({"login_name": token.login_name});
                Ok((connection, Found::new(format!("{} is let in.", token.login_name), facts)))
            }
            Err(OpenError::Login(mut refusal)) => {
                refusal.report.service.hide(token.token.expose_secret());
                let account = login.connected.account.as_ref();
                Err(login_refused(&self.overview.system, account, &token.login_name, refusal.report).into())
            }
            Err(OpenError::Other(error)) => Err(error),
        }
    }
}
