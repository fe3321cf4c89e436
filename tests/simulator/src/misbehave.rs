//! Misbehaviour by name: rules that say what goes wrong, where, how often.
//!
//! A rule is one JSON object, the same from Rust and over HTTP:
//! `{"name": "aadsts", "code": 53003, "at": "refresh", "times": 1, "after": 2}`.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::certificates::Flaw;
use crate::smtp::replies;

/// Where in the life of the service a rule applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Moment {
    #[serde(rename = "identity.tls")]
    IdentityTls,
    #[serde(rename = "metadata")]
    Metadata,
    #[serde(rename = "devicecode")]
    DeviceCode,
    #[serde(rename = "poll")]
    Poll,
    #[serde(rename = "refresh")]
    Refresh,
    /// The page, after the person confirmed.
    #[serde(rename = "page")]
    Page,
    /// A whole SMTP connection.
    #[serde(rename = "smtp.connect")]
    Connect,
    #[serde(rename = "smtp.greeting")]
    Greeting,
    #[serde(rename = "smtp.ehlo")]
    Ehlo,
    #[serde(rename = "smtp.starttls")]
    StartTls,
    #[serde(rename = "smtp.tls")]
    SmtpTls,
    /// The answer to `AUTH XOAUTH2` without an initial response.
    #[serde(rename = "smtp.auth-challenge")]
    AuthChallenge,
    /// The verdict on the credentials.
    #[serde(rename = "smtp.auth")]
    Auth,
    #[serde(rename = "smtp.mail")]
    Mail,
    #[serde(rename = "smtp.rcpt")]
    Rcpt,
    /// The 354.
    #[serde(rename = "smtp.data")]
    Data,
    /// A chunk that is not the last.
    #[serde(rename = "smtp.bdat")]
    Bdat,
    /// While the octets of a message arrive.
    #[serde(rename = "smtp.receiving")]
    Receiving,
    /// The verdict on the whole message: after the final dot or the last chunk.
    #[serde(rename = "smtp.body")]
    Body,
    #[serde(rename = "smtp.rset")]
    Rset,
    #[serde(rename = "smtp.noop")]
    Noop,
    #[serde(rename = "smtp.quit")]
    Quit,
    /// Waiting for the next command.
    #[serde(rename = "smtp.idle")]
    Idle,
}

impl Moment {
    /// Moments at which the service owes an HTTP answer.
    const ANSWERS: [Self; 4] = [Self::Metadata, Self::DeviceCode, Self::Poll, Self::Refresh];
    /// Moments at which the service owes an SMTP reply.
    const REPLIES: [Self; 13] = [
        Self::Greeting,
        Self::Ehlo,
        Self::StartTls,
        Self::AuthChallenge,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Body,
        Self::Rset,
        Self::Noop,
        Self::Quit,
    ];
}

/// When, in relation to the work that was asked for, a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    /// The service never did it.
    #[default]
    Before,
    /// The service did it, and the answer was lost.
    Unanswered,
    /// The service did it and said so.
    After,
}

/// The body of an HTTP failure.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HttpBody {
    #[default]
    Html,
    Json,
    Empty,
}

/// What goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Fault {
    // Both halves.
    Delay {
        ms: u64,
        /// Each time another part of it.
        #[serde(default)]
        random: bool,
        #[serde(default)]
        when: When,
    },
    /// The connection ends in good order.
    Drop {
        #[serde(default)]
        when: When,
    },
    /// The connection ends with RST.
    Reset {
        #[serde(default)]
        when: When,
    },
    /// Nothing is said, and the connection stays.
    Withhold {
        #[serde(default)]
        when: Option<When>,
    },
    /// The answer stops after so many octets and the connection ends.
    Cut {
        octets: Option<usize>,
    },
    Certificate {
        flaw: Flaw,
    },
    /// The handshake is answered with something that is not TLS.
    NoTls {},

    // Identity.
    Aadsts(Aadsts),
    /// Any error answer at all.
    Error {
        error: String,
        #[serde(default)]
        description: Option<String>,
        #[serde(default)]
        codes: Vec<u32>,
        #[serde(default)]
        status: Option<u16>,
        #[serde(default)]
        suberror: Option<String>,
        #[serde(default)]
        claims: Option<String>,
    },
    Http {
        status: u16,
        #[serde(default)]
        retry_after: Option<String>,
        #[serde(default)]
        location: Option<String>,
        #[serde(default)]
        body: HttpBody,
        /// Fills the body up to this length with blanks.
        #[serde(default)]
        octets: usize,
    },
    /// The service's clock, as HTTP's `Date` tells it, is wrong.
    DateSkew {
        seconds: i64,
    },
    /// The good answer with fields put in and taken out.
    Change {
        #[serde(default)]
        set: Map<String, Value>,
        #[serde(default)]
        remove: Vec<String>,
        #[serde(default)]
        status: Option<u16>,
    },
    /// The id token with claims put in and taken out.
    IdToken {
        #[serde(default)]
        set: Map<String, Value>,
        #[serde(default)]
        remove: Vec<String>,
    },
    ExpiresInString {},
    IntervalMissing {},
    IntervalString {},
    NoRefreshToken {},
    NoIdToken {},
    NoPreferredUsername {},
    ScopeMissing {},
    /// A scope is not granted: neither the answer nor the token has it.
    ScopeReduced {
        scope: String,
    },
    OtherTenant {},
    ConsumerTenant {},
    TokenSize {
        octets: usize,
    },

    // SMTP.
    Reply {
        text: String,
        #[serde(default)]
        close: bool,
    },
    RecipientRefused {
        recipient: String,
        #[serde(default)]
        text: Option<String>,
    },
    /// Every octet of the reply by itself, so many milliseconds apart.
    Dribble {
        ms: u64,
    },
    NoStarttls {},
    NoXoauth2 {},
    /// Plain text right behind the 220 of STARTTLS.
    StarttlsInjection {
        #[serde(default)]
        text: Option<String>,
    },
    /// A kept connection goes stale: closed after so long without a command, with or without a word.
    IdleClose {
        ms: u64,
        #[serde(default)]
        text: Option<String>,
        #[serde(default = "one")]
        after_mails: usize,
    },
    /// 421 in answer to the next mail of a kept connection.
    Goodbye {
        #[serde(default)]
        text: Option<String>,
    },
}

fn one() -> usize {
    1
}

/// An error of the identity platform by its number.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aadsts {
    pub(crate) code: u32,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) suberror: Option<String>,
    #[serde(default)]
    pub(crate) claims: Option<String>,
    /// What `error_codes` holds, when it is not the one number.
    #[serde(default)]
    pub(crate) codes: Vec<u32>,
}

impl Fault {
    /// Where this fault happens when the rule does not say.
    fn usual_moments(&self) -> &'static [Moment] {
        match self {
            Self::Delay { .. } | Self::Drop { .. } | Self::Reset { .. } | Self::Withhold { .. } => &[],
            Self::Aadsts(_) | Self::Error { .. } => &[Moment::Poll],
            Self::Http { .. } | Self::Cut { .. } | Self::DateSkew { .. } => {
                &[Moment::DeviceCode, Moment::Poll, Moment::Refresh]
            }
            Self::Change { .. } | Self::IdToken { .. } => &[],
            Self::IntervalMissing {} | Self::IntervalString {} => &[Moment::DeviceCode],
            Self::ExpiresInString {} => &[Moment::DeviceCode, Moment::Poll, Moment::Refresh],
            Self::NoRefreshToken {}
            | Self::NoIdToken {}
            | Self::NoPreferredUsername {}
            | Self::ScopeMissing {}
            | Self::ScopeReduced { .. }
            | Self::OtherTenant {}
            | Self::ConsumerTenant {}
            | Self::TokenSize { .. } => &[Moment::Poll, Moment::Refresh],
            Self::Certificate { .. } | Self::NoTls {} => &[Moment::IdentityTls, Moment::SmtpTls],
            Self::Reply { .. } | Self::Dribble { .. } => &[],
            Self::RecipientRefused { .. } => &[Moment::Rcpt],
            Self::NoStarttls {} | Self::NoXoauth2 {} => &[Moment::Ehlo],
            Self::StarttlsInjection { .. } => &[Moment::StartTls],
            Self::IdleClose { .. } => &[Moment::Idle],
            Self::Goodbye { .. } => &[Moment::Mail],
        }
    }

    /// Whether the fault can happen at `moment` at all: a rule that never fires is a lie in a test.
    fn fits(&self, moment: Moment) -> bool {
        let answer = Moment::ANSWERS.contains(&moment);
        let reply = Moment::REPLIES.contains(&moment);
        let handshake = matches!(moment, Moment::IdentityTls | Moment::SmtpTls);
        match self {
            Self::Delay { when: When::Before, .. } => answer || reply || handshake,
            Self::Delay { when, .. } => answer && *when == When::Unanswered,
            Self::Drop { .. } | Self::Reset { .. } => answer || reply || handshake || moment == Moment::Receiving,
            Self::Withhold { .. } => answer || reply || handshake,
            Self::Cut { .. } => answer || reply || moment == Moment::Connect,
            Self::Aadsts(_) => answer || moment == Moment::Page,
            Self::Error { .. } | Self::Http { .. } | Self::Change { .. } | Self::DateSkew { .. } => answer,
            Self::IdToken { .. } => matches!(moment, Moment::Poll | Moment::Refresh),
            Self::Reply { .. } | Self::Dribble { .. } => reply,
            other => other.usual_moments().contains(&moment),
        }
    }
}

/// One or several moments in a rule's `at`.
#[derive(Deserialize)]
#[serde(untagged)]
enum At {
    One(Moment),
    Several(Vec<Moment>),
}

struct Rule {
    fault: Fault,
    at: Vec<Moment>,
    after: u64,
    times: Option<u64>,
    text: Value,
}

/// The rules in force, oldest first.
#[derive(Default)]
pub(crate) struct Rules(VecDeque<Rule>);

impl Rules {
    /// Reads a rule; every mistake in it is told.
    pub(crate) fn add(&mut self, rule: &Value) -> Result<(), String> {
        let mut fields = rule.as_object().cloned().ok_or("a rule is a JSON object")?;
        let name = fields.get("name").and_then(Value::as_str).ok_or("a rule has a name")?.to_owned();
        let at: Option<At> = take(&mut fields, "at")?;
        let after = take(&mut fields, "after")?.unwrap_or(0);
        let times = take(&mut fields, "times")?;

        let mut usual = None;
        if let Some(known) = replies::by_name(&name) {
            // A reply by name is a `reply` whose text and moment are known.
            usual = Some(known.moment);
            fields.insert("name".into(), "reply".into());
            fields.entry("text").or_insert_with(|| known.text.into());
        }
        let fault: Fault = serde_json::from_value(Value::Object(fields)).map_err(|error| format!("{name}: {error}"))?;
        let at = match (at, usual) {
            (Some(At::One(moment)), _) => vec![moment],
            (Some(At::Several(moments)), _) => moments,
            (None, Some(moment)) => vec![moment],
            (None, None) => fault.usual_moments().to_vec(),
        };
        if at.is_empty() {
            return Err(format!("{name}: where? say \"at\""));
        }
        if let Some(moment) = at.iter().find(|moment| !fault.fits(**moment)) {
            return Err(format!("{name} cannot happen at {moment:?}"));
        }
        let status = match &fault {
            Fault::Http { status, .. } => Some(*status),
            Fault::Aadsts(Aadsts { status, .. }) | Fault::Error { status, .. } | Fault::Change { status, .. } => {
                *status
            }
            _ => None,
        };
        if status.is_some_and(|status| hyper::StatusCode::from_u16(status).is_err()) {
            return Err(format!("{name}: no HTTP status"));
        }
        self.0.push_back(Rule { fault, at, after, times, text: rule.clone() });
        Ok(())
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn list(&self) -> Vec<Value> {
        self.0.iter().map(|rule| rule.text.clone()).collect()
    }

    /// The faults of this moment that also satisfy `applies`; each of them counts as having happened.
    pub(crate) fn due(&mut self, moment: Moment, applies: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        let mut due = Vec::new();
        for rule in &mut self.0 {
            if !rule.at.contains(&moment) || !applies(&rule.fault) {
                continue;
            }
            if rule.after > 0 {
                rule.after -= 1;
                continue;
            }
            match &mut rule.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            due.push(rule.fault.clone());
        }
        self.0.retain(|rule| rule.times != Some(0));
        due
    }
}

fn take<T: serde::de::DeserializeOwned>(fields: &mut Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_skips_what_it_is_told_to_skip_and_ends_when_it_is_used_up() {
        let mut rules = Rules::default();
        rules.add(&json!({"name": "aadsts", "code": 53003, "at": "refresh", "after": 1, "times": 2})).unwrap();
        let seen: Vec<usize> = (0..4).map(|_| rules.due(Moment::Refresh, |_| true).len()).collect();
        assert_eq!(seen, [0, 1, 1, 0]);
        assert!(rules.list().is_empty());
    }

    #[test]
    fn a_rule_that_could_never_fire_is_refused() {
        let mut rules = Rules::default();
        for bad in [
            json!({"name": "no-such-thing"}),
            json!({"name": "delay", "ms": 5}),
            json!({"name": "delay", "ms": 5, "at": "refresh", "when": "after"}),
            json!({"name": "delay", "ms": 5, "at": "smtp.body", "when": "unanswered"}),
            json!({"name": "aadsts", "code": 1, "at": "smtp.mail"}),
            json!({"name": "aadsts"}),
            json!({"name": "tenant-disabled", "at": "poll"}),
            json!({"name": "http", "status": 7}),
            json!({"name": "delay", "ms": 5, "at": "nowhere"}),
            json!({"name": "interval-missing", "at": "poll"}),
            json!("tenant-disabled"),
        ] {
            assert!(rules.add(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_named_reply_is_a_rule_without_further_words() {
        let mut rules = Rules::default();
        for reply in replies::NAMED {
            rules.add(&json!({"name": reply.name})).unwrap_or_else(|error| panic!("{}: {error}", reply.name));
        }
        assert_eq!(rules.list().len(), replies::NAMED.len());
    }
}
