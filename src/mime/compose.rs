//! From a [`Mail`] to the octets that go over the wire.
//!
//! The structure is the smallest that holds the mail: a text alone, `multipart/alternative` of text and HTML, and
//! `multipart/mixed` of that and the attachments. A mail that has attachments and no text gets an empty text, so that
//! no mail program shows the first attachment in place of it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentDisposition, ContentType, Date, HeaderName, HeaderValue, Subject};
use lettre::message::{Mailbox, SinglePart};

use super::header::{self, line, raw_line};
use super::mail::{self, Attachment, Built, Form, Kind, Mail};
use super::ready_made::ReadyMade;
use super::{Error, MailData};
use crate::base::limits;

/// The last date of RFC 5322 section 3.3 with four digits, from 1970 on.
const YEAR_9999: Duration = Duration::from_secs(253_402_300_799);

/// A mail as it is sent.
#[derive(Debug, Clone)]
pub struct Composed {
    /// Who is named in MAIL and RCPT: everybody, Bcc included, nobody twice.
    pub envelope: Envelope,
    /// The Message-ID with its angle brackets.
    pub message_id: String,
    /// The mail: CRLF everywhere, at its end too; without dots doubled.
    pub data: Arc<MailData>,
    /// The server must offer 8BITMIME (RFC 6152).
    pub needs_8bit: bool,
    /// The server must offer SMTPUTF8 (RFC 6531): an address or a header is not ASCII.
    pub needs_smtputf8: bool,
}

/// Composes a mail. `default_from` is the sender of a mail that names none.
///
/// # Errors
/// [`Error::NoSender`], [`Error::NoRecipient`], [`Error::TooBig`], and the errors of files that are attached.
pub fn compose(mail: &Mail, default_from: Option<&str>, date: SystemTime) -> Result<Composed, Error> {
    // lettre panics beyond these.
    let date = date.clamp(UNIX_EPOCH, UNIX_EPOCH + YEAR_9999);
    let composed = match &mail.form {
        Form::Built(built) => compose_built(mail, built, default_from, date)?,
        Form::Ready(ready, recipients) => compose_ready(mail, ready, recipients, date)?,
    };
    size(composed.data.size())?;
    Ok(composed)
}

fn compose_built(mail: &Mail, built: &Built, default_from: Option<&str>, date: SystemTime) -> Result<Composed, Error> {
    let from = match (&built.from, default_from) {
        (Some(from), _) => from.clone(),
        (None, Some(from)) => Mailbox::new(None, mail::address("sender", "from", from)?),
        (None, None) => return Err(Error::NoSender),
    };
    let receivers = built.recipients.iter().filter(|(kind, _)| *kind != Kind::ReplyTo);
    let envelope = envelope(&from.email, receivers.map(|(_, mailbox)| &mailbox.email))?;
    let message_id = mail.message_id.of(&from.email);

    for attachment in &built.attachments {
        attachment.content.check()?;
    }
    let mut data = MailData::default();
    let bytes = data.octets();
    let needs_smtputf8 = write_header(bytes, built, &from, &message_id, date) || !is_ascii(&envelope);
    if built.attachments.is_empty() {
        write_texts(bytes, built);
        // The line end behind a body is the boundary's in a multipart; here it is one more than the text has.
        let only = built.text.as_deref().xor(built.html.as_deref());
        if only.is_some_and(|text| text.ends_with(['\n', '\r'])) && bytes.ends_with(b"\r\n\r\n") {
            bytes.truncate(bytes.len().saturating_sub(2));
        }
    } else {
        let boundary = write_multipart(bytes, "mixed");
        open_part(bytes, &boundary);
        write_texts(bytes, built);
        for attachment in &built.attachments {
            open_part(data.octets(), &boundary);
            write_attachment(&mut data, attachment);
        }
        close_parts(data.octets(), &boundary);
    }
    // SMTPUTF8 is allowed beside 8BITMIME only (RFC 6531 section 3.1).
    Ok(Composed { envelope, message_id, needs_8bit: needs_smtputf8, needs_smtputf8, data: data.finish() })
}

fn compose_ready(mail: &Mail, ready: &ReadyMade, added: &[Address], date: SystemTime) -> Result<Composed, Error> {
    let recipients = if added.is_empty() { &ready.recipients } else { added };
    let envelope = envelope(&ready.sender, recipients.iter())?;
    let message_id = mail.message_id.of(&ready.from);
    let mut data = MailData::default();
    let bytes = data.octets();
    bytes.reserve(ready.header.len() + ready.body().len() + 256);
    bytes.extend_from_slice(&ready.header);
    if !ready.has_date {
        put(bytes, &line(Date::new(date)));
    }
    put(bytes, &format!("Message-ID: {message_id}\r\n\r\n"));
    bytes.extend_from_slice(ready.body());
    if !bytes.ends_with(b"\r\n") {
        put(bytes, "\r\n");
    }
    // A header in an old 8-bit character set is not UTF-8; SMTPUTF8 would not make it right.
    let utf8_header = !ready.header.is_ascii() && std::str::from_utf8(&ready.header).is_ok();
    let needs_smtputf8 = utf8_header || !is_ascii(&envelope);
    let needs_8bit = needs_smtputf8 || !bytes.is_ascii();
    Ok(Composed { envelope, message_id, needs_8bit, needs_smtputf8, data: data.finish() })
}

/// Everybody once. The local part is the receiving server's affair, so only the domain is compared without case.
fn envelope<'a>(from: &Address, recipients: impl Iterator<Item = &'a Address>) -> Result<Envelope, Error> {
    let mut seen = std::collections::HashSet::new();
    let unique = recipients
        .filter(|address| seen.insert((address.user().to_owned(), address.domain().to_lowercase())))
        .cloned()
        .collect();
    Envelope::new(Some(from.clone()), unique).map_err(|_| Error::NoRecipient)
}

fn is_ascii(envelope: &Envelope) -> bool {
    envelope.to().iter().chain(envelope.from()).all(|address| AsRef::<str>::as_ref(address).is_ascii())
}

fn size(size: u64) -> Result<(), Error> {
    let limit = limits::MAIL as u64;
    if size > limit { Err(Error::TooBig { size, limit }) } else { Ok(()) }
}

/// Writes the header but for the blank line; tells whether an address in it is not ASCII.
fn write_header(bytes: &mut Vec<u8>, built: &Built, from: &Mailbox, message_id: &str, date: SystemTime) -> bool {
    let start = bytes.len();
    let named = |kind| built.recipients.iter().filter(move |(other, _)| *other == kind).map(|(_, mailbox)| mailbox);
    write_mailboxes(bytes, "From", std::iter::once(from));
    if named(Kind::To).chain(named(Kind::Cc)).next().is_none() {
        put(bytes, "To: undisclosed-recipients:;\r\n");
    }
    write_mailboxes(bytes, "To", named(Kind::To));
    write_mailboxes(bytes, "Cc", named(Kind::Cc));
    write_mailboxes(bytes, "Reply-To", named(Kind::ReplyTo));
    if let Some(subject) = &built.subject {
        put(bytes, &line(Subject::from(subject.clone())));
    }
    put(bytes, &line(Date::new(date)));
    put(bytes, &format!("Message-ID: {message_id}\r\n"));
    for (name, value) in &built.headers {
        if let Ok(name) = HeaderName::new_from_ascii(name.clone()) {
            put(bytes, &raw_line(HeaderValue::new(name, value.clone())));
        }
    }
    put(bytes, "MIME-Version: 1.0\r\n");
    !bytes.get(start..).unwrap_or_default().is_ascii()
}

/// One mailbox a line.
fn write_mailboxes<'a>(bytes: &mut Vec<u8>, name: &str, mailboxes: impl Iterator<Item = &'a Mailbox>) {
    let mailboxes: Vec<String> = mailboxes.map(header::mailbox).collect();
    if !mailboxes.is_empty() {
        put(bytes, &format!("{name}: {}\r\n", mailboxes.join(",\r\n ")));
    }
}

/// The text, the HTML, or both to choose from, the best one last (RFC 2046 section 5.1.4).
fn write_texts(bytes: &mut Vec<u8>, built: &Built) {
    match (&built.text, &built.html) {
        (Some(text), Some(html)) => {
            let boundary = write_multipart(bytes, "alternative");
            open_part(bytes, &boundary);
            write_text(bytes, ContentType::TEXT_PLAIN, text);
            open_part(bytes, &boundary);
            write_text(bytes, ContentType::TEXT_HTML, html);
            close_parts(bytes, &boundary);
        }
        (None, Some(html)) => write_text(bytes, ContentType::TEXT_HTML, html),
        (Some(text), None) => write_text(bytes, ContentType::TEXT_PLAIN, text),
        (None, None) => write_text(bytes, ContentType::TEXT_PLAIN, ""),
    }
}

fn write_text(bytes: &mut Vec<u8>, content_type: ContentType, text: &str) {
    // lettre would do it too, but one insertion at a time: quadratic in the number of lines.
    let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
    bytes.extend_from_slice(&SinglePart::builder().header(content_type).body(text).formatted());
}

fn write_attachment(data: &mut MailData, attachment: &Attachment) {
    let bytes = data.octets();
    put(bytes, &line(attachment.content_type.clone()));
    put(bytes, &line(ContentDisposition::attachment(&attachment.name)));
    put(bytes, "Content-Transfer-Encoding: base64\r\n\r\n");
    data.attach(attachment.content.clone());
}

/// Opens a multipart and gives its boundary, which no encoded part can hold.
fn write_multipart(bytes: &mut Vec<u8>, kind: &str) -> String {
    let boundary = format!("=_{}", uuid::Uuid::new_v4().simple());
    put(bytes, &format!("Content-Type: multipart/{kind};\r\n boundary=\"{boundary}\"\r\n\r\n"));
    boundary
}

fn open_part(bytes: &mut Vec<u8>, boundary: &str) {
    put(bytes, &format!("--{boundary}\r\n"));
}

fn close_parts(bytes: &mut Vec<u8>, boundary: &str) {
    put(bytes, &format!("--{boundary}--\r\n"));
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(text.as_bytes());
}
