//! A mail as a host makes it, step by step. Each step is checked at once, so that the call which brings something wrong
//! is the one that fails.

use std::sync::Arc;

use lettre::Address;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};

use super::header;
use super::ready_made::ReadyMade;
use super::{Content, Error};
use crate::base::limits;

/// The longest header name that lettre writes.
const HEADER_NAME: usize = 76;
/// The longest media type, with its parameters.
const MEDIA_TYPE: usize = 255;

/// Stands for the header in which a text will be.
const ANY_HEADER: HeaderName = HeaderName::new_from_ascii_str("Subject");

/// What a recipient is to the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Named in To.
    To,
    /// Named in Cc.
    Cc,
    /// Gets the mail, is named nowhere.
    Bcc,
    /// Gets no mail, but the answers to it.
    ReplyTo,
}

/// A mail. A clone is the same mail: it shares the attachments and keeps the Message-ID.
#[derive(Clone)]
pub struct Mail {
    pub(super) message_id: MessageId,
    pub(super) form: Form,
}

/// The left part of the Message-ID; the right one is the sender's domain, which may come later.
#[derive(Clone)]
pub(super) enum MessageId {
    Made(String),
    /// As ready-made MIME brought it, with its angle brackets.
    Brought(String),
}

#[derive(Clone)]
pub(super) enum Form {
    Built(Built),
    /// Recipients that were added take the place of those in the header.
    Ready(Arc<ReadyMade>, Vec<Address>),
}

/// A mail that is still put together.
#[derive(Clone, Default)]
pub(super) struct Built {
    pub(super) from: Option<Mailbox>,
    pub(super) recipients: Vec<(Kind, Mailbox)>,
    pub(super) subject: Option<String>,
    pub(super) text: Option<Arc<str>>,
    pub(super) html: Option<Arc<str>>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) attachments: Vec<Attachment>,
}

#[derive(Clone)]
pub(super) struct Attachment {
    pub(super) name: String,
    pub(super) content_type: ContentType,
    pub(super) content: Content,
}

impl Default for Mail {
    fn default() -> Self {
        Self::new()
    }
}

impl Mail {
    /// An empty mail with a Message-ID of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { message_id: MessageId::new(), form: Form::Built(Built::default()) }
    }

    /// A mail that is MIME already. Bcc is taken out, line ends become CRLF, Date and Message-ID are added where they
    /// are missing; everything else is sent as it is. Only recipients can be added then; they take the place of those
    /// in the header.
    ///
    /// # Errors
    /// [`Error::Field`] when the header cannot be read or does not name exactly one sender, [`Error::TooBig`],
    /// [`Error::TooMany`].
    pub fn from_mime(mime: &[u8]) -> Result<Self, Error> {
        let (ready, message_id) = ReadyMade::parse(mime)?;
        let message_id = message_id.map_or_else(MessageId::new, MessageId::Brought);
        Ok(Self { message_id, form: Form::Ready(Arc::new(ready), Vec::new()) })
    }

    /// The same mail as another one: with a Message-ID of its own.
    #[must_use]
    pub fn with_new_message_id(&self) -> Self {
        Self { message_id: MessageId::new(), form: self.form.clone() }
    }

    /// Names the sender; without it the sender of the system is taken.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::ReadyMade`].
    pub fn set_from(&mut self, address: &str, name: Option<&str>) -> Result<(), Error> {
        let built = self.built("sender")?;
        built.from = Some(mailbox("sender", address, name)?);
        Ok(())
    }

    /// Adds a recipient, or somebody who gets the answers.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::TooMany`], [`Error::ReadyMade`] for [`Kind::ReplyTo`].
    pub fn add_recipient(&mut self, kind: Kind, address: &str, name: Option<&str>) -> Result<(), Error> {
        let mailbox = mailbox("recipient", address, name)?;
        let room = |used| room("recipients", used, limits::RECIPIENTS);
        match &mut self.form {
            Form::Built(built) => {
                room(built.recipients.len())?;
                built.recipients.push((kind, mailbox));
            }
            Form::Ready(..) if kind == Kind::ReplyTo => return Err(Error::ReadyMade { what: "reply address" }),
            Form::Ready(_, recipients) => {
                room(recipients.len())?;
                recipients.push(mailbox.email);
            }
        }
        Ok(())
    }

    /// Sets the subject.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::ReadyMade`].
    pub fn set_subject(&mut self, subject: &str) -> Result<(), Error> {
        let built = self.built("subject")?;
        header_text("subject", "subject", subject, limits::HEADER_LINE)?;
        built.subject = Some(subject.to_owned());
        Ok(())
    }

    /// Sets the text. Its line ends may be of any kind.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::ReadyMade`].
    pub fn set_text(&mut self, text: &str) -> Result<(), Error> {
        let built = self.built("text")?;
        built.text = Some(body_text("text", text)?);
        Ok(())
    }

    /// Sets the same as HTML, beside the text or instead of it.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::ReadyMade`].
    pub fn set_html(&mut self, html: &str) -> Result<(), Error> {
        let built = self.built("HTML text")?;
        built.html = Some(body_text("html", html)?);
        Ok(())
    }

    /// Adds a header that this library does not write itself; one name may come several times.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::TooMany`], [`Error::ReadyMade`].
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let built = self.built("header")?;
        header_name(name)?;
        let field = format!("header \"{name}\"");
        header_text(&field, "value", value, limits::HEADER_LINE)?;
        room("headers", built.headers.len(), limits::HEADERS)?;
        built.headers.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }

    /// Attaches something. Without a media type the name's extension tells it, or it is `application/octet-stream`.
    ///
    /// # Errors
    /// [`Error::Field`], [`Error::TooLong`], [`Error::TooMany`], [`Error::TooBig`], [`Error::ReadyMade`].
    pub fn attach(&mut self, name: &str, content_type: Option<&str>, content: Content) -> Result<(), Error> {
        let built = self.built("attachment")?;
        // Not folded but continued (RFC 2231 section 3), so a long word does no harm.
        one_line("attachment", "name", name, limits::TEXT)?;
        if name.trim().is_empty() {
            return Err(Error::field("attachment", "name", "is empty"));
        }
        let content_type = media_type(content_type.unwrap_or_else(|| media_type_of(name)))?;
        room("attachments", built.attachments.len(), limits::ATTACHMENTS)?;
        let size = built.attachments.iter().map(|other| other.content.length()).sum::<u64>() + content.length();
        if size > limits::MAIL as u64 {
            return Err(Error::TooBig { size, limit: limits::MAIL as u64 });
        }
        built.attachments.push(Attachment { name: name.to_owned(), content_type, content });
        Ok(())
    }

    fn built(&mut self, what: &'static str) -> Result<&mut Built, Error> {
        match &mut self.form {
            Form::Built(built) => Ok(built),
            Form::Ready(..) => Err(Error::ReadyMade { what }),
        }
    }
}

impl MessageId {
    fn new() -> Self {
        Self::Made(uuid::Uuid::new_v4().to_string())
    }

    /// RFC 5322 section 3.6.4. A domain that is not ASCII cannot stand there without RFC 6532, so it is left out.
    pub(super) fn of(&self, from: &Address) -> String {
        match self {
            Self::Brought(id) => id.clone(),
            Self::Made(left) if from.domain().is_ascii() => format!("<{left}@{}>", from.domain()),
            Self::Made(left) => format!("<{left}@localhost>"),
        }
    }
}

/// An address of the form `user@domain`, without a name.
pub(super) fn address(field: &str, parameter: &'static str, address: &str) -> Result<Address, Error> {
    one_line(field, parameter, address, limits::TEXT)?;
    if address.is_empty() {
        return Err(Error::field(field, parameter, "is empty"));
    }
    address.parse().map_err(|_| Error::field(field, parameter, "is not an address of the form user@domain"))
}

fn mailbox(field: &str, email: &str, name: Option<&str>) -> Result<Mailbox, Error> {
    let email = address(field, "address", email)?;
    let name = name.map(str::trim).filter(|name| !name.is_empty());
    one_line(field, "name", name.unwrap_or_default(), limits::TEXT)?;
    let mailbox = Mailbox::new(name.map(String::from), email);
    folded(field, "name", &header::mailbox(&mailbox))?;
    Ok(mailbox)
}

/// No CR, LF or NUL reaches a header, nor any other control character (RFC 5322 section 2.2).
fn one_line(field: &str, parameter: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit {
        return Err(Error::TooLong { field: field.to_owned(), parameter, limit });
    }
    if text.chars().any(char::is_control) {
        return Err(Error::field(field, parameter, "holds a line break or another control character"));
    }
    Ok(())
}

fn header_text(field: &str, parameter: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    one_line(field, parameter, text, limit)?;
    folded(field, parameter, &header::raw_line(HeaderValue::new(ANY_HEADER, text.to_owned())))
}

fn folded(field: &str, parameter: &'static str, header: &str) -> Result<(), Error> {
    if header::is_folded(header) {
        Ok(())
    } else {
        Err(Error::field(field, parameter, "holds a word or a run of blanks that is too long for a header"))
    }
}

fn body_text(parameter: &'static str, text: &str) -> Result<Arc<str>, Error> {
    if text.len() > limits::MAIL_TEXT {
        return Err(Error::TooLong { field: "text".to_owned(), parameter, limit: limits::MAIL_TEXT });
    }
    if text.contains('\0') {
        return Err(Error::field("text", parameter, "holds a NUL"));
    }
    Ok(text.into())
}

fn header_name(name: &str) -> Result<(), Error> {
    let refuse = |problem: &str| Err(Error::field("header", "name", problem));
    if name.is_empty() || name.len() > HEADER_NAME || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
    {
        return refuse("is not the name of a header");
    }
    let lower = name.to_ascii_lowercase();
    if OWN_HEADERS.contains(&lower.as_str()) || OWN_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(Error::field(
            "header",
            "name",
            format!("is \"{name}\", which this library or a mail server writes"),
        ));
    }
    Ok(())
}

/// What is written here, and what only mail servers write.
const OWN_HEADERS: &[&str] = &[
    "from",
    "sender",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "delivered-to",
    "dkim-signature",
    "domainkey-signature",
    "authentication-results",
];
const OWN_PREFIXES: &[&str] = &["content-", "resent-", "arc-", "received-"];

fn media_type(text: &str) -> Result<ContentType, Error> {
    let refuse = |problem: &str| Error::field("attachment", "content_type", problem);
    one_line("attachment", "content_type", text, MEDIA_TYPE)?;
    let content_type = ContentType::parse(text).map_err(|_| refuse("is not a media type of the form type/subtype"))?;
    let lower = text.to_ascii_lowercase();
    // RFC 2046 sections 5.1 and 5.2.1: these must not be written in base64.
    if !text.is_ascii() || lower.starts_with("multipart/") || lower.starts_with("message/") {
        return Err(refuse("is not possible for an attachment; give application/octet-stream instead"));
    }
    Ok(content_type)
}

/// The types that a print server meets; mail programs go by the name's extension for the rest.
fn media_type_of(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("pdf") => "application/pdf",
        Some("txt" | "log") => "text/plain",
        Some("csv") => "text/csv",
        Some("htm" | "html") => "text/html",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("png") => "image/png",
        Some("gif") => "image/gif",
        Some("tif" | "tiff") => "image/tiff",
        Some("xml") => "application/xml",
        Some("json") => "application/json",
        Some("zip") => "application/zip",
        Some("docx") => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        Some("xlsx") => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/octet-stream",
    }
}

fn room(what: &'static str, used: usize, limit: usize) -> Result<(), Error> {
    if used < limit { Ok(()) } else { Err(Error::TooMany { what, limit }) }
}
