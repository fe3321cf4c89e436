//! A cloud: where the identity service and the mail servers of one world are.
//!
//! Microsoft's clouds are records by name; any other OAuth and mail server is a record in a system's settings.
//! Endpoints: learn.microsoft.com/entra/identity-platform/authentication-national-cloud.

use serde::{Deserialize, Serialize};

/// The placeholder in an endpoint that the tenant ID takes.
pub const TENANT: &str = "{tenant}";

/// How a mail connection is secured. There is no mode without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// STARTTLS, and nothing is said before it that matters (RFC 3207).
    Starttls,
}

/// One mail server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailServer {
    /// DNS name, to which the certificate must belong.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How TLS begins.
    pub tls: TlsMode,
}

/// The record of a cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cloud {
    /// RFC 8628 section 3.1; may hold `{tenant}`.
    pub device_authorization_endpoint: String,
    /// RFC 6749 section 3.2; may hold `{tenant}`.
    pub token_endpoint: String,
    /// RFC 6749 section 3.1; may hold `{tenant}`.
    pub authorization_endpoint: String,
    /// What stands before `SMTP.Send` and its like in a scope.
    pub scope_prefix: String,
    /// Outgoing mail.
    pub smtp: MailServer,
    /// Incoming mail.
    pub imap: MailServer,
    /// Incoming mail.
    pub pop3: MailServer,
    /// A PEM file with certificate authorities to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
}

/// Names of Microsoft's clouds, as the settings take them; the first is the default.
pub const NAMES: [&str; 4] = ["worldwide", "us-gov-high", "us-gov-dod", "china"];

impl Cloud {
    /// The record of one of Microsoft's clouds.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let (authority, scopes, mail, smtp) = match name {
            "worldwide" => (
                "login.microsoftonline.com",
                "https://outlook.office.com/",
                "outlook.office365.com",
                "smtp.office365.com",
            ),
            "us-gov-high" => (
                "login.microsoftonline.us",
                "https://outlook.office365.us/",
                "outlook.office365.us",
                "smtp.office365.us",
            ),
            "us-gov-dod" => (
                "login.microsoftonline.us",
                "https://outlook-dod.office365.us/",
                "outlook-dod.office365.us",
                "outlook-dod.office365.us",
            ),
            "china" => (
                "login.partner.microsoftonline.cn",
                "https://partner.outlook.cn/",
                "partner.outlook.cn",
                "smtp.partner.outlook.cn",
            ),
            _ => return None,
        };
        let endpoint = |last: &str| format!("https://{authority}/{TENANT}/oauth2/v2.0/{last}");
        let server = |host: &str, port, tls| MailServer { host: host.into(), port, tls };
        Some(Self {
            device_authorization_endpoint: endpoint("devicecode"),
            token_endpoint: endpoint("token"),
            authorization_endpoint: endpoint("authorize"),
            scope_prefix: scopes.into(),
            smtp: server(smtp, 587, TlsMode::Starttls),
            imap: server(mail, 993, TlsMode::Implicit),
            pop3: server(mail, 995, TlsMode::Implicit),
            ca_file: None,
        })
    }

    /// What is wrong with the record, as the member's name and a reason.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let endpoints = [
            ("device_authorization_endpoint", &self.device_authorization_endpoint),
            ("token_endpoint", &self.token_endpoint),
            ("authorization_endpoint", &self.authorization_endpoint),
        ];
        for (name, endpoint) in endpoints {
            let url = endpoint.replace(TENANT, "tenant");
            if !url.starts_with("https://") || oauth2::TokenUrl::new(url).is_err() {
                return Some((name, "must be an https address"));
            }
        }
        let printable = |text: &str| text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        if !printable(&self.scope_prefix) {
            return Some(("scope_prefix", "must hold printable ASCII only"));
        }
        for (name, server) in [("smtp", &self.smtp), ("imap", &self.imap), ("pop3", &self.pop3)] {
            if server.host.is_empty() || rustls_pki_types::ServerName::try_from(server.host.as_str()).is_err() {
                return Some((name, "host must be a DNS name"));
            }
            if server.port == 0 {
                return Some((name, "port must not be 0"));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microsofts_clouds_are_sound() {
        for name in NAMES {
            let cloud = Cloud::named(name).unwrap();
            assert_eq!(cloud.fault(), None, "{name}");
            assert!(cloud.token_endpoint.contains(TENANT));
            assert_eq!(serde_json::from_value::<Cloud>(serde_json::to_value(&cloud).unwrap()).unwrap(), cloud);
        }
        assert_eq!(Cloud::named("germany"), None);
    }

    #[test]
    fn clear_text_endpoints_are_refused() {
        let mut cloud = Cloud::named("worldwide").unwrap();
        cloud.token_endpoint = "http://login.example/token".into();
        assert_eq!(cloud.fault().unwrap().0, "token_endpoint");
    }
}
