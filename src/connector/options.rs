//! The options of a connector. Schema: `docs/schema/connector-options.schema.json`.

use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::UseError;
use crate::base::Timeouts;
use crate::net::proxy;
use crate::net::road::Family;
use crate::net::tls::Roots;
use crate::protocol::smtp::is_client_name;
use crate::store::DataKey;

/// The options.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Where everything durable is kept, shared by all processes that open it. Without it nothing is kept, and nothing
    /// is shared.
    pub data_directory: Option<PathBuf>,
    /// Whether the directory's group may use it too.
    pub share_with_group: bool,
    /// The key that seals the tokens in it. Without it the directory holds a key file.
    pub key: Option<DataKey>,
    /// Whether this connector sees the sign-ins of all processes through to their ends.
    pub run_sign_ins: bool,
    /// Whether this connector refreshes the tokens of all systems ahead of their expiry.
    pub run_refresh: bool,
    /// Which certificate authorities are trusted.
    pub tls_roots: Roots,
    /// A PEM file with authorities to trust beside, for all connections.
    pub ca_file: Option<String>,
    /// `system`, `none`, or the address of an HTTP proxy, for all connections.
    pub proxy: proxy::Choice,
    /// The address of this computer from which it connects.
    #[serde(deserialize_with = "bind_address")]
    pub bind_address: Option<IpAddr>,
    /// The addresses of hosts that are used.
    pub ip_family: Family,
    /// How long each step may take.
    #[serde(deserialize_with = "object")]
    pub timeouts: Timeouts,
    /// The name that this server gives itself in EHLO: its DNS name. Without it, its address.
    pub client_name: Option<String>,
}

impl Options {
    /// Reads options; an unknown one is refused and named.
    pub fn from_json(text: &str) -> Result<Self, UseError> {
        let wrong = |field: &str, reason: String| UseError::Argument {
            parameter: "options_json",
            field: Some(field.to_owned()),
            reason,
        };
        let options: Self = parse("options_json", text)?;
        if !options.proxy.is_usable() {
            let reason = "must be \"system\", \"none\" or an address like http://user:password@proxy.example:3128, with \
                          special characters of user and password percent-encoded";
            return Err(wrong("proxy", reason.to_owned()));
        }
        if options.bind_address.is_some_and(|address| !options.ip_family.has(address)) {
            return Err(wrong("bind_address", "must be an address of the \"ip_family\"".to_owned()));
        }
        if let Some((name, range)) = options.timeouts.fault() {
            let reason = format!("must be {} to {} seconds", range.start(), range.end());
            return Err(wrong(&format!("timeouts.{name}"), reason));
        }
        if options.data_directory.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err(wrong("data_directory", "must be an absolute path".to_owned()));
        }
        if options.client_name.as_deref().is_some_and(|name| !is_client_name(name)) {
            return Err(wrong("client_name", "must be a full DNS name, or an address as [192.0.2.1]".to_owned()));
        }
        Ok(options)
    }

    /// The first option in which two of the same directory differ, by whatever name they call it.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        // What a connector runs is its own.
        let Self {
            data_directory: _,
            run_sign_ins: _,
            run_refresh: _,
            share_with_group,
            key,
            tls_roots,
            ca_file,
            proxy,
            bind_address,
            ip_family,
            timeouts,
            client_name,
        } = self;
        [
            ("share_with_group", *share_with_group == other.share_with_group),
            ("key", *key == other.key),
            ("tls_roots", *tls_roots == other.tls_roots),
            ("ca_file", *ca_file == other.ca_file),
            ("proxy", *proxy == other.proxy),
            ("bind_address", *bind_address == other.bind_address),
            ("ip_family", *ip_family == other.ip_family),
            ("timeouts", *timeouts == other.timeouts),
            ("client_name", *client_name == other.client_name),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
    }
}

/// An address, whose error names the option.
fn bind_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let address = text.parse().map_err(|_| D::Error::custom("bind_address must be an IP address"))?;
    Ok(Some(address))
}

/// A struct from a JSON object. serde would take an array of its values too.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// Reads a JSON object that a host passes; an unknown member is refused and named. Not by way of a tree of JSON values,
/// in which a key would be left behind unwiped.
pub fn parse<T: DeserializeOwned>(parameter: &'static str, text: &str) -> Result<T, UseError> {
    let wrong = |reason: String| UseError::argument(parameter, reason);
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| wrong(format!("it is not JSON: {error}")))?;
    if !text.trim_start().starts_with('{') {
        return Err(wrong("it must be a JSON object".to_owned()));
    }
    serde_json::from_str(text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_wrong_options_are_named() {
        let refused = |json: &str| Options::from_json(json).unwrap_err().to_string();
        assert!(refused(r#"{"colour": 1}"#).contains("colour"));
        for proxy in ["ftp://x", "http://", "http://u:p@ho st"] {
            assert!(refused(&format!(r#"{{"proxy": "{proxy}"}}"#)).contains("proxy"), "{proxy}");
        }
        assert!(refused(r#"{"bind_address": "eth0"}"#).contains("bind_address"));
        assert!(refused(r#"{"bind_address": "::1", "ip_family": "ipv4"}"#).contains("bind_address"));
        assert!(refused(r#"{"timeouts": {"tls_s": 0}}"#).contains("timeouts.tls_s: must be 1 to 300 seconds"));
        assert!(refused(r#"{"timeouts": {"smtp_auth_s": -1}}"#).contains("smtp_auth_s"));
        assert!(refused(r#"{"timeouts": {"tls": 1}}"#).contains("tls"));
        assert!(refused(r#"{"data_directory": "relative"}"#).contains("data_directory"));
        for name in ["a b", "netbios", "a..b", "-a.b", "10.0.0.5"] {
            assert!(refused(&format!(r#"{{"client_name": "{name}"}}"#)).contains("client_name"), "{name}");
        }
        assert!(Options::from_json(r#"{"client_name": "[192.0.2.1]"}"#).is_ok());
        assert!(refused("[").contains("options_json"));
        assert!(refused("[]").contains("object"));
        assert_eq!(Options::from_json("{}").unwrap(), Options::default());
    }

    #[test]
    fn a_key_is_in_no_print_and_in_no_error() {
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let options = Options::from_json(&format!(r#"{{"key": "{key}"}}"#)).unwrap();
        assert_eq!(options.key.as_ref().unwrap().as_bytes(), (0..32).collect::<Vec<u8>>());
        assert!(!format!("{options:?}").contains("AAEC"), "{options:?}");
        assert_eq!(options.difference(&Options::default()), Some("key"));
        for wrong in [key.trim_start_matches("AAEC"), "AAECAw==", "not base64"] {
            let error = Options::from_json(&format!(r#"{{"key": "{wrong}"}}"#)).unwrap_err();
            let told = format!("{error:?} {error} {}", error.report().message);
            assert!(told.contains("key") && !told.contains(wrong), "{told}");
        }
    }
    #[test]
    fn a_proxys_password_is_in_no_print_and_in_no_error() {
        let options = Options::from_json(r#"{"proxy": "http://scan:hunter2@proxy:3128"}"#).unwrap();
        assert!(!format!("{options:?}").contains("hunter2"), "{options:?}");
        for wrong in ["ftp://u:hunter2@proxy", "http://u:hunter2@pro xy", "hunter2"] {
            let error = Options::from_json(&format!(r#"{{"proxy": "{wrong}"}}"#)).unwrap_err();
            assert!(!format!("{error:?} {error} {}", error.report().message).contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn every_option_is_compared() {
        let default = Options::default();
        for (json, name) in [
            (r#"{"ca_file": "/a.pem"}"#, "ca_file"),
            (r#"{"proxy": "none"}"#, "proxy"),
            (r#"{"bind_address": "127.0.0.2"}"#, "bind_address"),
            (r#"{"ip_family": "ipv6"}"#, "ip_family"),
            (r#"{"timeouts": {"http_s": 29}}"#, "timeouts"),
        ] {
            let options = Options::from_json(json).unwrap();
            assert_eq!(options.difference(&default), Some(name));
            assert_eq!(options.difference(&options), None);
        }
        let proxy = |password| Options::from_json(&format!(r#"{{"proxy": "http://u:{password}@p"}}"#)).unwrap();
        assert_eq!(proxy("a").difference(&proxy("b")), Some("proxy"));
    }
}
