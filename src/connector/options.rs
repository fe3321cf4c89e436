//! The options of a connector. Schema: `docs/schema/connector-options.schema.json`.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::UseError;
use crate::net::tls::Roots;
use crate::protocol::smtp::is_client_name;
use crate::store::DataKey;

/// The options.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    /// `system`, `none`, or the address of an HTTP proxy.
    pub proxy: String,
    /// The name that this server gives itself in EHLO: its DNS name. Without it, its address.
    pub client_name: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_directory: None,
            share_with_group: false,
            key: None,
            run_sign_ins: false,
            run_refresh: false,
            tls_roots: Roots::default(),
            proxy: "system".to_owned(),
            client_name: None,
        }
    }
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
        let is_proxy = |text: &str| {
            let proxy = oauth2::url::Url::parse(text).ok();
            proxy.is_some_and(|proxy| matches!(proxy.scheme(), "http" | "https") && proxy.host_str().is_some())
        };
        if !matches!(options.proxy.as_str(), "system" | "none") && !is_proxy(&options.proxy) {
            return Err(wrong("proxy", "must be \"system\", \"none\" or an http address".to_owned()));
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
            proxy,
            client_name,
        } = self;
        [
            ("share_with_group", *share_with_group == other.share_with_group),
            ("key", *key == other.key),
            ("tls_roots", *tls_roots == other.tls_roots),
            ("proxy", *proxy == other.proxy),
            ("client_name", *client_name == other.client_name),
        ]
        .into_iter()
        .find_map(|(name, same)| (!same).then_some(name))
    }
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
}
