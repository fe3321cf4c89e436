//! The conversation with one server: bytes in, bytes and events out.
//!
//! Each command that goes out puts what it waits for at the end of a queue, and each reply that comes in answers the
//! front of it. For now one command waits at a time; with pipelining it will be several.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use lettre::Address;
use lettre::address::Envelope;
use lettre::transport::smtp::commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{ClientId, MailBodyParameter, MailParameter};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::dot::DotStuffer;
use super::refusal::Refusals;
use super::reply::{Class, ReplyReader};
use super::{Capabilities, Error, Refusal, Reply, Stage};
use crate::base::{Timeouts, limits};
use crate::protocol::sasl;

/// How the connection becomes private. There is no third way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In clear until STARTTLS (RFC 3207), port 587.
    Starttls,
    /// TLS from the first byte (RFC 8314 section 3.3), port 465.
    Implicit,
}

/// What a mail asks of the server beyond RFC 5321.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BodyKind {
    /// It has octets above 127 (RFC 6152).
    pub needs_8bit: bool,
    /// It has addresses beyond ASCII in its header (RFC 6531). Those of the envelope are seen without being told.
    pub needs_smtputf8: bool,
}

/// What happened. A mail ends with one of [`Event::Sent`] and [`Event::MailRefused`], or with an [`Error`].
#[derive(Debug, Clone)]
pub enum Event {
    /// Do the TLS handshake, then call [`Session::tls_established`].
    TlsWanted,
    /// Call [`Session::authenticate`]. What the server offers, as it said inside TLS.
    Ready(Capabilities),
    /// The login is done: [`Session::send`] may be called.
    Authenticated,
    /// The login was refused; another one may be tried on the same connection unless a goodbye follows.
    LoginRefused(Refusal),
    /// The answer for one recipient of the envelope.
    Recipient {
        /// Its place in the envelope.
        index: usize,
        /// The answer.
        outcome: Result<(), Refusal>,
    },
    /// Give the mail with [`Session::body`], then call [`Session::end_of_body`].
    BodyWanted,
    /// The server has the mail, for the recipients that it accepted.
    Sent {
        /// The reply to the final dot as it came: with the server's name for the mail, for its support.
        reply: Reply,
        /// The Message-ID that the reply names: Exchange may have replaced the one that was sent.
        message_id: Option<String>,
    },
    /// The mail was not taken; `refusal.stage` says where. After [`Stage::Recipient`] every recipient was refused.
    MailRefused(Refusal),
    /// The server answered RSET: the connection is alive.
    ResetDone,
    /// The server will not go on. Drop the connection.
    Goodbye(Refusal),
    /// The server answered QUIT.
    Closed,
}

/// What the session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is the caller's turn, or all is over.
    Nothing,
    /// The caller's TLS handshake.
    Tls,
    /// The server's first word.
    Greeting,
    /// The reply to a command.
    Command,
    /// The reply to a login.
    Auth,
    /// The caller's next part of the body.
    Body,
    /// The reply to the final dot.
    FinalDot,
}

impl Wait {
    /// How long that may take.
    #[must_use]
    pub fn deadline(self, timeouts: &Timeouts) -> Option<Duration> {
        match self {
            Wait::Nothing => None,
            Wait::Tls => Some(timeouts.tls()),
            Wait::Greeting | Wait::Command => Some(timeouts.smtp_command()),
            Wait::Auth => Some(timeouts.smtp_auth()),
            Wait::Body => Some(timeouts.smtp_body_block()),
            Wait::FinalDot => Some(timeouts.smtp_final_dot()),
        }
    }
}

/// What became of the current mail, or of the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The server cannot have taken it: the final dot has not been handed out.
    NotSent,
    /// The final dot was handed out and has no answer. If the connection breaks now, nobody knows.
    Unknown,
    /// The server took it.
    Accepted,
    /// The server refused it.
    Refused,
}

/// What an expected reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Greeting,
    Ehlo,
    Starttls,
    /// `AUTH XOAUTH2`: an empty challenge is to come.
    Auth,
    /// The initial response.
    AuthResponse,
    /// The empty line that acknowledges a failure challenge.
    AuthAcknowledged,
    Mail,
    Recipient(usize),
    Data,
    FinalDot,
    Reset,
    Quit,
}

impl Expected {
    fn stage(self) -> Stage {
        match self {
            Expected::Greeting => Stage::Greeting,
            Expected::Ehlo => Stage::Ehlo,
            Expected::Starttls => Stage::Starttls,
            Expected::Auth | Expected::AuthResponse | Expected::AuthAcknowledged => Stage::Login,
            Expected::Mail => Stage::Sender,
            Expected::Recipient(_) => Stage::Recipient,
            Expected::Data | Expected::FinalDot => Stage::Message,
            Expected::Reset | Expected::Quit => Stage::Idle,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Greeting, EHLO, STARTTLS.
    Opening,
    /// The caller shakes hands.
    Handshake,
    /// Inside TLS, not logged in.
    Login,
    /// Logged in, no mail under way.
    Idle,
    /// From MAIL to DATA, and from the final dot to its reply.
    Mail,
    /// After 354, until the final dot.
    Body,
    /// Nothing can be said any more.
    Over,
}

/// The mail under way.
struct Transaction {
    mail_command: String,
    envelope: Envelope,
    accepted: usize,
    refused: Refusals,
    dots: DotStuffer,
}

/// One conversation with one server.
///
/// The caller moves bytes: what [`output`](Session::output) gives goes to the server, what the server says goes to
/// [`receive`](Session::receive), and then [`event`](Session::event) says what happened.
pub struct Session {
    security: Security,
    client: ClientId,
    phase: Phase,
    encrypted: bool,
    reader: ReplyReader,
    expected: VecDeque<Expected>,
    outgoing: Zeroizing<Vec<u8>>,
    final_dot_in_outgoing: bool,
    events: VecDeque<Event>,
    capabilities: Capabilities,
    initial_response: Option<SecretString>,
    challenge: Option<String>,
    mail: Option<Transaction>,
    delivery: Delivery,
    /// The server still has the transaction of a refused mail. RSET goes out ahead of the next mail, so that a refusal
    /// ends at once and the connection is at rest.
    reset_due: bool,
}

// By hand: what goes out holds tokens and mails.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("phase", &self.phase)
            .field("encrypted", &self.encrypted)
            .field("expected", &self.expected)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A conversation at its beginning. `client_name` is what EHLO says (RFC 5321 section 4.1.4): the full name of this
    /// computer, or its address as `[192.0.2.1]` or `[IPv6:2001:db8::1]`.
    ///
    /// # Errors
    ///
    /// [`Error::ClientName`].
    pub fn new(security: Security, client_name: &str) -> Result<Self, Error> {
        let client = client_id(client_name).ok_or_else(|| Error::ClientName(client_name.to_owned()))?;
        let mut session = Self {
            security,
            client,
            phase: Phase::Opening,
            encrypted: false,
            reader: ReplyReader::default(),
            expected: VecDeque::new(),
            outgoing: Zeroizing::default(),
            final_dot_in_outgoing: false,
            events: VecDeque::new(),
            capabilities: Capabilities::default(),
            initial_response: None,
            challenge: None,
            mail: None,
            delivery: Delivery::NotSent,
            reset_due: false,
        };
        match security {
            Security::Starttls => session.expected.push_back(Expected::Greeting),
            Security::Implicit => session.want_tls(),
        }
        Ok(session)
    }

    /// Takes what the server sent. After [`Session::is_over`] it is thrown away.
    ///
    /// # Errors
    ///
    /// The server broke the protocol: the connection is of no use any more. [`Error::SendUnknown`] when the final dot
    /// had no answer by then.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.take(bytes).map_err(|error| self.failed(error))
    }

    /// Takes the end of the stream, or its breaking.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when something was waited for, [`Error::SendUnknown`] when the answer to the final dot.
    pub fn closed(&mut self) -> Result<(), Error> {
        let at_rest = match self.phase {
            Phase::Over => true,
            Phase::Idle | Phase::Login => self.expected.iter().all(|expected| *expected == Expected::Quit),
            Phase::Opening | Phase::Handshake | Phase::Mail | Phase::Body => false,
        };
        if at_rest {
            self.end();
            return Ok(());
        }
        Err(self.failed(Error::Closed(self.stage())))
    }

    /// Ends the conversation because [`Wait::deadline`] passed, and says what that means.
    pub fn timed_out(&mut self) -> Error {
        self.failed(Error::Timeout(self.stage()))
    }

    /// What is to be written now; empty when there is nothing. It is wiped when dropped, since it may hold a token.
    pub fn output(&mut self) -> Zeroizing<Vec<u8>> {
        if std::mem::take(&mut self.final_dot_in_outgoing) {
            self.delivery = Delivery::Unknown;
        }
        std::mem::take(&mut self.outgoing)
    }

    /// What happened, in order.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The handshake that [`Event::TlsWanted`] asked for is done.
    ///
    /// # Errors
    ///
    /// [`Error::Injected`] when something was read in clear that TLS would have taken for the server's own.
    pub fn tls_established(&mut self) -> Result<(), Error> {
        if self.phase != Phase::Handshake {
            return Err(Error::Misuse("go on inside TLS"));
        }
        if !self.reader.is_empty() {
            self.end();
            return Err(Error::Injected);
        }
        self.phase = Phase::Opening;
        self.encrypted = true;
        // RFC 3207 section 4.2: forget all that was learnt in clear.
        self.capabilities = Capabilities::default();
        match self.security {
            Security::Starttls => self.hello(),
            Security::Implicit => self.expected.push_back(Expected::Greeting),
        }
        Ok(())
    }

    /// Logs in by XOAUTH2, with what [`sasl::xoauth2`] made. Always in two lines: a Microsoft token makes the AUTH line
    /// longer than the 512 octets that RFC 4954 section 4 gives it.
    ///
    /// # Errors
    ///
    /// [`Error::Xoauth2Missing`], [`Error::LoginLine`], [`Error::Misuse`]; nothing was sent.
    pub fn authenticate(&mut self, initial_response: SecretString) -> Result<(), Error> {
        if self.phase != Phase::Login || !self.expected.is_empty() {
            return Err(Error::Misuse("log in"));
        }
        if !self.capabilities.offers_auth("XOAUTH2") {
            let offered = self.capabilities.auth.join(" ");
            return Err(Error::Xoauth2Missing(if offered.is_empty() { "no AUTH".to_owned() } else { offered }));
        }
        if initial_response.expose_secret().len() > limits::SASL_LINE - 2 {
            return Err(Error::LoginLine);
        }
        self.initial_response = Some(initial_response);
        self.challenge = None;
        self.command("AUTH XOAUTH2\r\n", Expected::Auth);
        Ok(())
    }

    /// Begins a mail of `size` octets, as they will be given to [`Session::body`].
    ///
    /// # Errors
    ///
    /// What can be known before a byte goes out: [`Error::TooBig`], [`Error::TooManyRecipients`], [`Error::Address`],
    /// [`Error::Smtputf8Missing`], [`Error::EightBitMissing`]; the session stays as it was. [`Error::Misuse`] unless
    /// [`Session::is_ready`].
    pub fn send(&mut self, envelope: &Envelope, size: u64, body: BodyKind) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::Misuse("send a mail"));
        }
        let mail_command = self.mail_command(envelope, size, body)?;
        self.mail = Some(Transaction {
            mail_command,
            envelope: envelope.clone(),
            accepted: 0,
            refused: Refusals::default(),
            dots: DotStuffer::new(),
        });
        self.delivery = Delivery::NotSent;
        self.phase = Phase::Mail;
        if self.reset_due {
            self.command(Rset, Expected::Reset)
        } else {
            self.begin_mail()
        }
        Ok(())
    }

    /// The next part of the mail, with lines that end with CRLF; not yet dot-stuffed. Write [`Session::output`] before
    /// the next part is given: what is given is kept until then. Without a mail that waits for it, it is thrown away,
    /// since the server may refuse a mail in its middle.
    pub fn body(&mut self, chunk: &[u8]) {
        let Some(mail) = self.mail.as_mut().filter(|_| self.phase == Phase::Body) else { return };
        let outgoing = &mut self.outgoing;
        // One allocation for a chunk without a dot in the first column, which is nearly every chunk.
        reserve(outgoing, chunk.len());
        mail.dots.chunk(chunk, |bytes| append(outgoing, bytes));
    }

    /// The mail is complete.
    pub fn end_of_body(&mut self) {
        let Some(mail) = self.mail.as_mut().filter(|_| self.phase == Phase::Body) else { return };
        let outgoing = &mut self.outgoing;
        mail.dots.finish(|bytes| append(outgoing, bytes));
        self.final_dot_in_outgoing = true;
        self.phase = Phase::Mail;
        self.expected.push_back(Expected::FinalDot);
    }

    /// Asks a connection at rest whether it is still alive: [`Event::ResetDone`].
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] unless [`Session::is_ready`].
    pub fn reset(&mut self) -> Result<(), Error> {
        if !self.is_ready() {
            return Err(Error::Misuse("reset"));
        }
        self.command(Rset, Expected::Reset);
        Ok(())
    }

    /// Takes leave. In the middle of something there is no way to say so: the session is over then.
    pub fn quit(&mut self) {
        let at_rest = matches!(self.phase, Phase::Login | Phase::Idle) && self.expected.is_empty();
        if at_rest { self.command(Quit, Expected::Quit) } else { self.end() }
    }

    /// What is waited for.
    #[must_use]
    pub fn waiting_for(&self) -> Wait {
        match (self.phase, self.expected.front()) {
            (Phase::Handshake, _) => Wait::Tls,
            (Phase::Body, _) => Wait::Body,
            (_, None) => Wait::Nothing,
            (_, Some(Expected::Greeting)) => Wait::Greeting,
            (_, Some(Expected::Auth | Expected::AuthResponse | Expected::AuthAcknowledged)) => Wait::Auth,
            (_, Some(Expected::FinalDot)) => Wait::FinalDot,
            (_, Some(_)) => Wait::Command,
        }
    }

    /// Where the conversation is, for the words of a failure that the caller sees first, such as a deadline.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match (self.phase, self.expected.front()) {
            (_, Some(expected)) => expected.stage(),
            (Phase::Opening | Phase::Handshake, None) => Stage::Starttls,
            (Phase::Login, None) => Stage::Login,
            (Phase::Mail | Phase::Body, None) => Stage::Message,
            (Phase::Idle | Phase::Over, None) => Stage::Idle,
        }
    }

    /// What became of the current mail, or of the last one.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whether [`Session::send`] may be called.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Idle && self.expected.is_empty()
    }

    /// Whether all has been said; the connection is to be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// What the server offers; nothing before it said so inside TLS.
    #[must_use]
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() && self.phase != Phase::Over {
            // Also true for what stands behind the reply to STARTTLS in the same packet.
            if self.phase == Phase::Handshake {
                return Err(Error::Injected);
            }
            let (reply, rest) = self.reader.read(bytes)?;
            bytes = rest;
            if let Some(reply) = reply {
                self.answered(reply)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, reply: Reply) -> Result<(), Error> {
        let stage = self.stage();
        let unexpected = |reply| Err(Error::Unexpected { stage, reply: Box::new(reply) });
        // RFC 5321 section 3.8: 421 may answer anything, or nothing.
        if reply.code() == 421 {
            self.goodbye(stage, &reply);
            return Ok(());
        }
        let Some(expected) = self.expected.pop_front() else {
            // A server that gives up in the middle of a body says so; where the body then ends for it is unknown.
            return match (self.phase, reply.class()) {
                (Phase::Body, Class::Refused) => {
                    self.goodbye(stage, &reply);
                    Ok(())
                }
                _ => unexpected(reply),
            };
        };
        match (expected, reply.class()) {
            (Expected::Greeting, Class::Done) => self.hello(),
            (Expected::Ehlo, Class::Done) => self.hello_answered(&reply)?,
            (Expected::Starttls, Class::Done) => self.want_tls(),

            (Expected::Auth, Class::More) => self.give_initial_response(),
            (Expected::AuthResponse, Class::More) => {
                self.challenge = Some(sasl::challenge(&reply.text()));
                self.command("\r\n", Expected::AuthAcknowledged);
            }
            // Only 235 says that a login succeeded (RFC 4954 section 4).
            (Expected::AuthResponse, Class::Done) if reply.code() == 235 => {
                self.phase = Phase::Idle;
                self.events.push_back(Event::Authenticated);
            }
            (Expected::Auth | Expected::AuthResponse | Expected::AuthAcknowledged, Class::Refused) => {
                self.initial_response = None;
                let refusal = Refusal::of_login(&reply, self.challenge.take());
                self.events.push_back(Event::LoginRefused(refusal));
            }

            (Expected::Mail, Class::Done) => self.next_recipient(0),
            (Expected::Recipient(index), Class::Done) => self.recipient(index, Ok(())),
            (Expected::Recipient(index), Class::Refused) => {
                self.recipient(index, Err(Refusal::of(stage, &reply)));
            }
            (Expected::Data, Class::More) => {
                self.phase = Phase::Body;
                self.events.push_back(Event::BodyWanted);
            }
            (Expected::FinalDot, Class::Done) => self.sent(reply),
            (Expected::Mail | Expected::Data | Expected::FinalDot, Class::Refused) => {
                self.reset_due = expected == Expected::Data;
                self.mail_refused(Refusal::of(stage, &reply));
            }

            (Expected::Reset, Class::Done) => {
                self.reset_due = false;
                if self.mail.is_some() { self.begin_mail() } else { self.events.push_back(Event::ResetDone) }
            }
            (Expected::Quit, Class::Done) => {
                self.events.push_back(Event::Closed);
                self.end();
            }
            (Expected::Greeting | Expected::Ehlo | Expected::Starttls | Expected::Reset, Class::Refused) => {
                self.goodbye(stage, &reply);
            }
            _ => return unexpected(reply),
        }
        Ok(())
    }

    fn hello(&mut self) {
        self.command(Ehlo::new(self.client.clone()), Expected::Ehlo);
    }

    fn hello_answered(&mut self, reply: &Reply) -> Result<(), Error> {
        let capabilities = Capabilities::from_reply(reply);
        if self.encrypted {
            self.phase = Phase::Login;
            self.capabilities = capabilities.clone();
            self.events.push_back(Event::Ready(capabilities));
        } else if capabilities.starttls {
            self.command(Starttls, Expected::Starttls);
        } else {
            return Err(Error::StarttlsMissing(capabilities.server));
        }
        Ok(())
    }

    fn want_tls(&mut self) {
        self.phase = Phase::Handshake;
        self.events.push_back(Event::TlsWanted);
    }

    fn give_initial_response(&mut self) {
        if let Some(response) = self.initial_response.take() {
            let response = response.expose_secret().as_bytes();
            reserve(&mut self.outgoing, response.len() + 2);
            append(&mut self.outgoing, response);
            append(&mut self.outgoing, b"\r\n");
        }
        self.expected.push_back(Expected::AuthResponse);
    }

    fn mail_command(&self, envelope: &Envelope, size: u64, body: BodyKind) -> Result<String, Error> {
        let offered = &self.capabilities;
        let limit = offered.size_max.map_or(limits::MAIL, |size| usize::try_from(size).unwrap_or(limits::MAIL));
        let limit = limit.min(limits::MAIL);
        let octets = usize::try_from(size).ok().filter(|octets| *octets <= limit);
        let octets = octets.ok_or_else(|| Error::TooBig { size, limit: limit.try_into().unwrap_or(u64::MAX) })?;
        if envelope.to().len() > limits::RECIPIENTS {
            return Err(Error::TooManyRecipients(envelope.to().len()));
        }
        let mut beyond_ascii = None;
        for address in envelope.from().into_iter().chain(envelope.to()) {
            if !can_stand_in_a_command(address) {
                return Err(Error::Address(address.to_string()));
            }
            if beyond_ascii.is_none() && !AsRef::<str>::as_ref(address).is_ascii() {
                beyond_ascii = Some(address.to_string());
            }
        }
        let utf8 = body.needs_smtputf8 || beyond_ascii.is_some();
        if utf8 && !offered.smtputf8 {
            return Err(Error::Smtputf8Missing(beyond_ascii));
        }
        if body.needs_8bit && !offered.eight_bit_mime {
            return Err(Error::EightBitMissing);
        }

        let mut parameters = Vec::new();
        if offered.size {
            parameters.push(MailParameter::Size(octets));
        }
        if body.needs_8bit {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        if utf8 {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        Ok(Mail::new(envelope.from().cloned(), parameters).to_string())
    }

    fn begin_mail(&mut self) {
        if let Some(mail) = &mut self.mail {
            let command = std::mem::take(&mut mail.mail_command);
            self.command(command, Expected::Mail);
        }
    }

    fn recipient(&mut self, index: usize, outcome: Result<(), Refusal>) {
        if let Some(mail) = &mut self.mail {
            match &outcome {
                Ok(()) => mail.accepted += 1,
                Err(refusal) => mail.refused.add(refusal),
            }
        }
        self.events.push_back(Event::Recipient { index, outcome });
        self.next_recipient(index + 1);
    }

    fn next_recipient(&mut self, index: usize) {
        let Some(mail) = &self.mail else { return };
        if let Some(address) = mail.envelope.to().get(index) {
            self.command(Rcpt::new(address.clone(), Vec::new()), Expected::Recipient(index));
        } else if mail.accepted > 0 {
            self.command(Data, Expected::Data);
        } else if let Some(refusal) = mail.refused.summary() {
            self.reset_due = true;
            self.mail_refused(refusal);
        }
    }

    fn sent(&mut self, reply: Reply) {
        self.mail = None;
        self.phase = Phase::Idle;
        self.delivery = Delivery::Accepted;
        let message_id = message_id(&reply.text());
        self.events.push_back(Event::Sent { reply, message_id });
    }

    fn mail_refused(&mut self, refusal: Refusal) {
        self.mail = None;
        self.phase = Phase::Idle;
        self.delivery = Delivery::Refused;
        self.events.push_back(Event::MailRefused(refusal));
    }

    fn goodbye(&mut self, stage: Stage, reply: &Reply) {
        let refusal = Refusal::of(stage, reply);
        if self.mail.is_some() {
            self.mail_refused(refusal.clone());
        }
        self.events.push_back(Event::Goodbye(refusal));
        self.end();
    }

    fn failed(&mut self, error: Error) -> Error {
        self.end();
        match self.delivery {
            Delivery::Unknown => Error::SendUnknown(Box::new(error)),
            Delivery::NotSent | Delivery::Accepted | Delivery::Refused => error,
        }
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.expected.clear();
        self.outgoing = Zeroizing::default();
        self.final_dot_in_outgoing = false;
        self.initial_response = None;
        self.mail = None;
    }

    fn command(&mut self, line: impl std::fmt::Display, expected: Expected) {
        append(&mut self.outgoing, line.to_string().as_bytes());
        self.expected.push_back(expected);
    }
}

/// A `Vec` that grows leaves its old contents behind unwiped; this one is copied and wiped.
fn reserve(buffer: &mut Zeroizing<Vec<u8>>, more: usize) {
    if buffer.capacity() - buffer.len() < more {
        let mut grown = Zeroizing::new(Vec::with_capacity((buffer.len() + more).max(buffer.len() * 2)));
        grown.extend_from_slice(buffer);
        *buffer = grown;
    }
}

fn append(buffer: &mut Zeroizing<Vec<u8>>, bytes: &[u8]) {
    reserve(buffer, bytes.len());
    buffer.extend_from_slice(bytes);
}

/// Whether [`Session::new`] takes this name for EHLO.
#[must_use]
pub fn is_client_name(name: &str) -> bool {
    client_id(name).is_some()
}

/// RFC 5321 sections 2.3.5 and 4.1.3.
fn client_id(name: &str) -> Option<ClientId> {
    if let Some(literal) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match literal.strip_prefix("IPv6:") {
            Some(address) => address.parse::<Ipv6Addr>().ok().map(ClientId::Ipv6),
            None => literal.parse::<Ipv4Addr>().ok().map(ClientId::Ipv4),
        };
    }
    let label = |label: &str| {
        matches!(label.len(), 1..=63)
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_name = name.len() <= 255 && name.contains('.') && name.split('.').all(label);
    // A name whose last label is a number is an address without its brackets.
    let is_address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (is_name && !is_address).then(|| ClientId::Domain(name.to_owned()))
}

/// lettre checks addresses, but has a constructor that does not.
fn can_stand_in_a_command(address: &Address) -> bool {
    let breaks = |c: char| c.is_control() || matches!(c, ' ' | '<' | '>');
    let quoted = address.user().starts_with('"') && address.user().ends_with('"');
    !address.domain().contains(breaks)
        && if quoted { !address.user().contains(char::is_control) } else { !address.user().contains(breaks) }
}

/// The first `<…@…>` of `2.0.0 OK <id@host> [Hostname=…]`.
fn message_id(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('<')?;
    let (id, _) = rest.split_once('>')?;
    (id.contains('@') && !id.contains(char::is_whitespace)).then(|| format!("<{id}>"))
}
