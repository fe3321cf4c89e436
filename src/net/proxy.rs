//! Which proxy stands between us and a host. The rules are hyper-util's, which reqwest follows too, so mail and sign-in
//! take the same road.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::Error;

/// What an administrator chose.
#[derive(Debug, Clone, Default)]
pub enum Choice {
    /// What the environment says, or else the system (Windows, macOS).
    #[default]
    System,
    /// None.
    Direct,
    /// This address, which may hold user and password.
    Address(SecretString),
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) | (Self::Direct, Self::Direct) => true,
            (Self::Address(one), Self::Address(other)) => one.expose_secret() == other.expose_secret(),
            (Self::System | Self::Direct | Self::Address(_), _) => false,
        }
    }
}

impl Eq for Choice {}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = SecretString::deserialize(deserializer)?;
        Ok(match text.expose_secret() {
            "system" => Self::System,
            "none" => Self::Direct,
            _ => Self::Address(text),
        })
    }
}

impl Choice {
    /// Whether it can be used. Never told with the address, which may hold the password.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        match self {
            Self::System | Self::Direct => true,
            Self::Address(address) => {
                let address = address.expose_secret();
                let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
                // A "/", "#" or second "@" that was not encoded would cut the password, or make it the host.
                let is_whole = rest.is_some_and(|rest| {
                    let rest = rest.strip_suffix('/').unwrap_or(rest);
                    !rest.contains(['/', '?', '#']) && rest.matches('@').count() <= 1
                });
                is_whole && matches!(Proxies::new(self).toward("proxy.invalid", 443), Ok(Some(_)))
            }
        }
    }
}

/// The proxies of a connector, as they were when it opened.
pub struct Proxies(Option<Matcher>);

impl Proxies {
    /// Reads the environment, and on Windows and macOS the system's settings, if those are chosen.
    #[must_use]
    pub fn new(choice: &Choice) -> Self {
        Self(match choice {
            Choice::System => Some(Matcher::from_system()),
            Choice::Direct => None,
            Choice::Address(address) => Some(Matcher::builder().all(address.expose_secret()).build()),
        })
    }

    /// The proxy on the way to a host.
    pub fn toward(&self, host: &str, port: u16) -> Result<Option<Proxy>, Error> {
        // The rules for https are those for whatever is tunnelled.
        let uri = format!("https://{}:{port}/", bracketed(host)).parse::<Uri>();
        let Some(found) = uri.ok().and_then(|uri| self.0.as_ref()?.intercept(&uri)) else { return Ok(None) };
        Proxy::read(&found).map(Some)
    }
}

/// One proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Whether it wants TLS itself.
    pub secure: bool,
    /// Its name or address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What goes into `Proxy-Authorization`.
    pub authorization: Option<SecretString>,
}

impl Proxy {
    fn read(found: &Intercept) -> Result<Self, Error> {
        let uri = found.uri();
        let host = uri.host().unwrap_or_default();
        let unusable =
            || Error::ProxyUnusable { proxy: host.to_owned(), scheme: uri.scheme_str().unwrap_or_default().to_owned() };
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(unusable()),
        };
        let authorization = found.basic_auth().and_then(|value| value.to_str().ok()).map(SecretString::from);
        let proxy = Self {
            secure,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authorization,
        };
        // reqwest would silently go around one that it cannot be given.
        if host.is_empty() || proxy.url().is_none() { Err(unusable()) } else { Ok(proxy) }
    }

    /// The same as an address for reqwest, user and password in it.
    #[must_use]
    pub fn url(&self) -> Option<reqwest::Url> {
        let scheme = if self.secure { "https" } else { "http" };
        let mut url = reqwest::Url::parse(&format!("{scheme}://{self}/")).ok()?;
        if let Some(authorization) = &self.authorization {
            let encoded = authorization.expose_secret().strip_prefix("Basic ")?;
            let login = Zeroizing::new(BASE64_STANDARD.decode(encoded).ok()?);
            let (user, password) = std::str::from_utf8(&login).ok()?.split_once(':')?;
            url.set_username(user).ok()?;
            url.set_password(Some(password)).ok()?;
        }
        Some(url)
    }
}

/// Host and port; never user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", bracketed(&self.host), self.port)
    }
}

/// A host as it stands before a port (RFC 3986 section 3.2.2).
pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(address: &str) -> Proxy {
        let choice = Choice::Address(address.to_owned().into());
        assert!(choice.is_usable(), "{address}");
        Proxies::new(&choice).toward("smtp.office365.com", 587).unwrap().unwrap()
    }

    #[test]
    fn an_address_is_read_whole() {
        let plain = proxy("http://proxy.contoso.com:3128");
        assert_eq!((plain.secure, plain.to_string().as_str()), (false, "proxy.contoso.com:3128"));
        assert!(plain.authorization.is_none());
        assert_eq!(proxy("http://proxy.contoso.com").port, 80);
        let tls = proxy("https://[2001:db8::1]");
        assert_eq!(
            (tls.secure, tls.host.as_str(), tls.to_string().as_str()),
            (true, "2001:db8::1", "[2001:db8::1]:443")
        );
    }

    #[test]
    fn user_and_password_are_decoded_once_and_the_same_for_both_roads() {
        let proxy = proxy("http://contoso%5Cscan:p%40ss%3A%25w%C3%B6rd%2F@proxy.contoso.com:3128");
        let sent = proxy.authorization.as_ref().unwrap().expose_secret();
        assert_eq!(sent, format!("Basic {}", BASE64_STANDARD.encode("contoso\\scan:p@ss:%wörd/")));
        let again = Choice::Address(String::from(proxy.url().unwrap()).into());
        let again = Proxies::new(&again).toward("login.microsoftonline.com", 443).unwrap().unwrap();
        assert_eq!(again.authorization.unwrap().expose_secret(), sent);
        assert!(!format!("{proxy:?} {proxy}").contains(sent), "{proxy:?}");
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for address in [
            "",
            "http://",
            "proxy:3128",
            "socks5://proxy:1080",
            "http://u:p@ho st",
            "http://u:p@ss@host",
            "http://u:1/ss@host",
            "http://u:1#ss@host",
            "http://u:1?ss@host",
        ] {
            assert!(!Choice::Address(address.to_owned().into()).is_usable(), "{address}");
        }
        assert!(Proxies::new(&Choice::Direct).toward("localhost", 1).unwrap().is_none());
    }
}
