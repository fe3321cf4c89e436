//! What the service knows: grants, tokens, mails, and the log of what was asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::certificates::Certificates;
use crate::clock::Clock;
use crate::identity::jwt::Signer;
use crate::identity::scopes::{OUTLOOK, Scopes};
use crate::knobs::Knobs;
use crate::misbehave::{Fault, Moment, Rules};
use crate::options::{Account, Options};

/// A message that the service accepted.
#[derive(Debug, Clone, Serialize)]
pub struct Mail {
    /// Milliseconds since the simulator started.
    pub at_ms: u64,
    /// When, as the pushed clock has it.
    #[serde(skip)]
    pub(crate) accepted_ms: u64,
    /// Who was authenticated.
    pub user: String,
    /// Reverse path of the envelope, without angle brackets.
    pub from: String,
    /// Parameters of MAIL, e.g. `SIZE=1234`.
    pub from_parameters: Vec<String>,
    /// Accepted forward paths, without angle brackets.
    pub recipients: Vec<String>,
    /// Parameters of each RCPT.
    pub recipient_parameters: Vec<Vec<String>>,
    /// `DATA` or `BDAT`.
    pub by: &'static str,
    /// What the final reply named, without angle brackets.
    pub message_id: String,
    /// Which SMTP session brought it: index into [`crate::Simulator::smtp_sessions`].
    pub session: usize,
    /// The message octet by octet, dots unstuffed.
    #[serde(skip)]
    pub data: Vec<u8>,
}

/// A request that the identity half got.
#[derive(Debug, Clone, Serialize)]
pub struct Request {
    /// Milliseconds since the simulator started.
    pub at_ms: u64,
    /// HTTP method.
    pub method: String,
    /// Path without query.
    pub path: String,
    /// Query string, empty if there was none.
    pub query: String,
    /// Header fields, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Form fields of the body. Nothing is masked: these secrets open nothing but the simulator.
    pub form: BTreeMap<String, String>,
    /// HTTP status of the answer; 0 when there was none.
    pub status: u16,
    /// `error` of the answer, if it was one.
    pub error: Option<String>,
}

/// An SMTP connection.
#[derive(Debug, Clone, Default, Serialize)]
pub struct SmtpSession {
    /// Milliseconds since the simulator started.
    pub at_ms: u64,
    /// Command lines as they came; credentials are replaced by their length.
    pub commands: Vec<String>,
    /// First line of each reply.
    pub replies: Vec<String>,
    /// The handshake was done.
    pub tls: bool,
    /// Octets came behind STARTTLS before the handshake.
    pub plaintext_behind_starttls: bool,
    /// Who was authenticated.
    pub user: Option<String>,
    /// Why a login was refused, in words that a real service would not tell.
    pub refused_because: Option<String>,
    /// Accepted messages.
    pub mails: usize,
    /// Milliseconds since the start at which the connection was gone; `None` while it is open.
    pub closed_at_ms: Option<u64>,
}

/// What the person did with a device code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Pending,
    Approved(Box<str>),
    Declined,
    Redeemed,
}

#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) user_code: String,
    /// The tenant as the request spelled it: the token request must use the same.
    pub(crate) tenant: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Scopes,
    pub(crate) expires_ms: u64,
    pub(crate) lifetime_ms: u64,
    pub(crate) interval_ms: u64,
    pub(crate) polled_ms: Option<u64>,
    pub(crate) decision: Decision,
}

#[derive(Debug, Clone)]
pub(crate) struct RefreshToken {
    pub(crate) upn: String,
    pub(crate) client_id: String,
    pub(crate) scopes: Scopes,
    pub(crate) expires_ms: u64,
    /// All tokens that came of one sign-in.
    pub(crate) family: u64,
    /// When it was used first.
    pub(crate) used_ms: Option<u64>,
    pub(crate) revoked: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct AccessToken {
    pub(crate) upn: String,
    pub(crate) scopes: Scopes,
    pub(crate) expires_ms: u64,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) rules: Rules,
    pub(crate) grants: HashMap<String, Grant>,
    pub(crate) refresh_tokens: HashMap<String, RefreshToken>,
    pub(crate) access_tokens: HashMap<String, AccessToken>,
    pub(crate) families: u64,
    /// When tokens were asked for, for the loop breaker.
    pub(crate) asked_ms: VecDeque<u64>,
    pub(crate) requests: Vec<Request>,
    pub(crate) sessions: Vec<SmtpSession>,
    pub(crate) mails: Vec<Mail>,
}

pub(crate) struct State {
    pub(crate) options: Options,
    pub(crate) clock: Clock,
    pub(crate) certificates: Certificates,
    pub(crate) signer: Signer,
    pub(crate) identity_url: OnceLock<String>,
    pub(crate) settings: OnceLock<Value>,
    knobs: Mutex<Knobs>,
    inner: Mutex<Inner>,
    mail_came: Condvar,
}

impl State {
    pub(crate) fn new(options: Options, certificates: Certificates, signer: Signer) -> Self {
        Self {
            options,
            clock: Clock::new(),
            certificates,
            signer,
            identity_url: OnceLock::new(),
            settings: OnceLock::new(),
            knobs: Mutex::default(),
            inner: Mutex::default(),
            mail_came: Condvar::new(),
        }
    }

    /// Everything that changes. Held for moments only, never over an await.
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn knobs(&self) -> Knobs {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn identity_url(&self) -> &str {
        self.identity_url.get().map_or("", String::as_str)
    }

    pub(crate) fn verification_uri(&self) -> String {
        self.knobs().verification_uri.unwrap_or_else(|| format!("{}/devicelogin", self.identity_url()))
    }

    pub(crate) fn account(&self, upn: &str) -> Option<&Account> {
        self.options.accounts.iter().find(|account| account.upn.eq_ignore_ascii_case(upn))
    }

    pub(crate) fn due(&self, moment: Moment) -> Vec<Fault> {
        self.due_if(moment, |_| true)
    }

    pub(crate) fn due_if(&self, moment: Moment, applies: impl Fn(&Fault) -> bool) -> Vec<Fault> {
        self.inner().rules.due(moment, applies)
    }

    // What a test or a desk can do, the same from Rust and over HTTP.

    pub(crate) fn set(&self, changes: &Value) -> Result<(), String> {
        let changes = changes.as_object().ok_or("knobs are a JSON object")?;
        let mut knobs = self.knobs.lock().unwrap_or_else(PoisonError::into_inner);
        *knobs = knobs.with(changes)?;
        Ok(())
    }

    pub(crate) fn misbehave(&self, rule: &Value) -> Result<(), String> {
        self.inner().rules.add(rule)
    }

    pub(crate) fn approve(&self, user_code: &str, upn: &str) -> Result<(), String> {
        let upn = &self.account(upn).ok_or_else(|| format!("{upn} is no account of this tenant"))?.upn;
        self.decide(user_code, Decision::Approved(upn.as_str().into()))
    }

    pub(crate) fn decline(&self, user_code: &str) -> Result<(), String> {
        self.decide(user_code, Decision::Declined)
    }

    fn decide(&self, user_code: &str, decision: Decision) -> Result<(), String> {
        let now = self.clock.now_ms();
        let mut inner = self.inner();
        let grant = inner.grant_of(user_code).ok_or_else(|| format!("no such user code: {user_code}"))?;
        if grant.expires_ms <= now {
            return Err(format!("the user code {user_code} has expired"));
        }
        if grant.decision != Decision::Pending {
            return Err(format!("the user code {user_code} was used already"));
        }
        grant.decision = decision;
        Ok(())
    }

    /// Ends every refresh token of an account, as a password reset does. Access tokens live on.
    pub(crate) fn revoke(&self, upn: &str) -> Result<(), String> {
        let upn = &self.account(upn).ok_or_else(|| format!("{upn} is no account of this tenant"))?.upn;
        for token in self.inner().refresh_tokens.values_mut().filter(|token| &token.upn == upn) {
            token.revoked = true;
        }
        Ok(())
    }

    pub(crate) fn keep(&self, mail: Mail) {
        self.inner().mails.push(mail);
        self.mail_came.notify_all();
    }

    pub(crate) fn wait_for_mails(&self, count: usize, timeout: Duration) -> Vec<Mail> {
        let deadline = Instant::now() + timeout;
        let mut inner = self.inner();
        while inner.mails.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            inner = self.mail_came.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.mails.clone()
    }

    /// Whose token it is, if it opens SMTP submission; otherwise why it does not.
    pub(crate) fn smtp_login(&self, user: &str, token: &str) -> Result<&Account, String> {
        let held = self.inner().access_tokens.get(token).cloned().ok_or("the token was not issued here")?;
        if held.expires_ms <= self.clock.now_ms() {
            return Err("the token has expired".into());
        }
        if !OUTLOOK.contains(&held.scopes.resource.as_str()) {
            return Err(format!("the token is for {}", held.scopes.resource));
        }
        if !held.scopes.names.iter().any(|name| name == "SMTP.Send") {
            return Err("the token lacks the scope SMTP.Send".into());
        }
        if !held.upn.eq_ignore_ascii_case(user) {
            return Err(format!("the token is {}'s, the user is {user}", held.upn));
        }
        let account = self.account(user).ok_or("the account is gone")?;
        if !account.mailbox {
            return Err("the account has no mailbox".into());
        }
        Ok(account)
    }

    /// The settings that a host passes on, see the README.
    pub(crate) fn settings_for(identity_url: &str, smtp_port: u16, ca_file: &std::path::Path) -> Value {
        let endpoint = |name: &str| format!("{identity_url}/{{tenant}}/oauth2/v2.0/{name}");
        json!({
            "cloud": {
                "device_authorization_endpoint": endpoint("devicecode"),
                "token_endpoint": endpoint("token"),
                "authorization_endpoint": endpoint("authorize"),
                "scope_prefix": "https://outlook.office.com/",
                "smtp": {"host": "localhost", "port": smtp_port, "tls": "starttls"},
                "imap": {"host": "localhost", "port": 993, "tls": "implicit"},
                "pop3": {"host": "localhost", "port": 995, "tls": "implicit"},
                "ca_file": ca_file,
            },
            "serves": ["smtp"],
        })
    }
}

impl Inner {
    /// The grant that a user code stands for. People type in any case, with blanks and hyphens.
    pub(crate) fn grant_of(&mut self, user_code: &str) -> Option<&mut Grant> {
        let typed: String =
            user_code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect();
        self.grants.values_mut().find(|grant| grant.user_code == typed)
    }
}
