//! The settings of a system beside title, client ID and tenant ID. Schema: `docs/schema/system-settings.schema.json`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::identity::request::Protocol;
use crate::identity::{Cloud, cloud};

/// The settings, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether the system is used at all. Switched off it keeps its tokens.
    pub enabled: bool,
    /// One of Microsoft's clouds by name, or a record.
    pub cloud: CloudChoice,
    /// The protocols that the host uses: the permissions asked for, and the logins proven at the end of a sign-in.
    pub serves: Vec<Protocol>,
    /// The login name for the mail protocols, when it is not that of the account that signs in (a shared mailbox).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login_name: Option<String>,
    /// The sender address of mail without one, when it is not the login name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// Whether `openid profile` are asked too. Without them `login_name` must be given.
    pub openid: bool,
}

/// A cloud by name or as a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CloudChoice {
    /// One of [`cloud::NAMES`].
    Named(String),
    /// A record of its own.
    Record(Box<Cloud>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            cloud: CloudChoice::Named("worldwide".to_owned()),
            serves: vec![Protocol::Smtp, Protocol::Imap, Protocol::Pop3],
            login_name: None,
            sender: None,
            openid: true,
        }
    }
}

/// A setting that is wrong: its name, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The member, as a path.
    pub field: String,
    /// Why it is wrong.
    pub reason: String,
}

fn fault(field: &str, reason: impl Into<String>) -> Fault {
    Fault { field: field.to_owned(), reason: reason.into() }
}

impl Settings {
    /// Reads and checks settings. Unknown members are refused and named.
    pub fn from_json(json: &Json) -> Result<Self, Fault> {
        if !json.is_object() {
            return Err(fault("", "must be an object"));
        }
        // The cloud first and apart, since the error of an untagged choice names no member.
        let cloud = json.get("cloud").map(cloud_from_json).transpose()?;
        let settings: Self = serde_json::from_value(json.clone()).map_err(|error| fault("", error.to_string()))?;
        let settings = Self { cloud: cloud.unwrap_or(settings.cloud), ..settings };
        settings.check()?;
        Ok(settings)
    }

    /// Applies a merge patch (RFC 7396).
    pub fn patched(&self, patch: &Json) -> Result<Self, Fault> {
        let mut json = serde_json::to_value(self).map_err(|error| fault("", error.to_string()))?;
        merge(&mut json, patch);
        Self::from_json(&json)
    }

    /// The record of the chosen cloud.
    #[must_use]
    pub fn cloud(&self) -> Option<Cloud> {
        match &self.cloud {
            CloudChoice::Named(name) => Cloud::named(name),
            CloudChoice::Record(cloud) => Some((**cloud).clone()),
        }
    }

    /// Whether the cloud is one of Microsoft's.
    #[must_use]
    pub fn is_microsoft(&self) -> bool {
        matches!(self.cloud, CloudChoice::Named(_))
    }

    fn check(&self) -> Result<(), Fault> {
        if self.serves.is_empty() {
            return Err(fault("serves", "must name at least one of smtp, imap, pop3"));
        }
        let mut seen = std::collections::HashSet::new();
        if !self.serves.iter().all(|protocol| seen.insert(*protocol)) {
            return Err(fault("serves", "names a protocol twice"));
        }
        for (field, value) in [("login_name", &self.login_name), ("sender", &self.sender)] {
            if let Some(text) = value
                && (text.is_empty() || text.len() > 320 || text.chars().any(char::is_control))
            {
                return Err(fault(field, "must be 1 to 320 octets without control characters"));
            }
        }
        if self.sender.as_ref().is_some_and(|sender| sender.parse::<lettre::Address>().is_err()) {
            return Err(fault("sender", "is not an e-mail address"));
        }
        if !self.openid && self.login_name.is_none() {
            return Err(fault(
                "login_name",
                "must be given when \"openid\" is false, for nothing else tells the mailbox's name",
            ));
        }
        Ok(())
    }
}

fn cloud_from_json(json: &Json) -> Result<CloudChoice, Fault> {
    if let Some(name) = json.as_str() {
        if !cloud::NAMES.contains(&name) {
            return Err(fault("cloud", format!("must be a record or one of {}", cloud::NAMES.join(", "))));
        }
        return Ok(CloudChoice::Named(name.to_owned()));
    }
    let record: Cloud = serde_json::from_value(json.clone()).map_err(|error| fault("cloud", error.to_string()))?;
    match record.fault() {
        Some((member, reason)) => Err(fault(&format!("cloud/{member}"), reason)),
        None => Ok(CloudChoice::Record(Box::new(record))),
    }
}

/// RFC 7396 section 2.
fn merge(target: &mut Json, patch: &Json) {
    let Json::Object(changes) = patch else {
        target.clone_from(patch);
        return;
    };
    if !target.is_object() {
        *target = Json::Object(serde_json::Map::new());
    }
    if let Json::Object(members) = target {
        for (name, value) in changes {
            if value.is_null() {
                members.remove(name);
            } else {
                merge(members.entry(name.clone()).or_insert(Json::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_microsofts_worldwide_cloud_and_all_protocols() {
        let settings = Settings::from_json(&json!({})).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.cloud().unwrap().smtp.host, "smtp.office365.com");
    }

    #[test]
    fn unknown_members_and_wrong_values_are_named() {
        let field = |json: Json| Settings::from_json(&json).map(|_| ()).unwrap_err();
        assert!(field(json!({"colour": 1})).reason.contains("colour"));
        assert_eq!(field(json!({"cloud": "moon"})).field, "cloud");
        assert!(field(json!({"cloud": {"moon": 1}})).reason.contains("moon"));
        assert_eq!(field(json!({"serves": []})).field, "serves");
        assert_eq!(field(json!({"sender": "nobody"})).field, "sender");
        assert_eq!(field(json!({"openid": false})).field, "login_name");
        assert_eq!(field(json!({"login_name": "a\r\nb"})).field, "login_name");
    }

    #[test]
    fn an_update_is_a_merge_patch() {
        let settings = Settings::from_json(&json!({"sender": "a@b.c", "serves": ["smtp"]})).unwrap();
        let patched = settings.patched(&json!({"sender": null, "login_name": "x@y.z"})).unwrap();
        assert_eq!(patched.sender, None);
        assert_eq!(patched.login_name.as_deref(), Some("x@y.z"));
        assert_eq!(patched.serves, [Protocol::Smtp]);
        assert!(settings.patched(&json!([])).is_err());
    }
}
