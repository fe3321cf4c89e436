//! Mail that a host brings as MIME: RFC 5322 as it is met in the wild, made fit for SMTP.

use lettre::Address;
use mailparse::{MailAddr, SingleInfo};

use super::Error;
use super::mail::address;
use crate::base::limits;

/// Longest header of a whole mail, in octets.
const HEADER: usize = 1024 * 1024;

/// A mail without the headers that are not sent (Bcc) or are written anew (Message-ID).
pub(super) struct ReadyMade {
    /// Whole header lines, each with its CRLF.
    pub(super) header: Vec<u8>,
    pub(super) has_date: bool,
    /// The whole mail as it came, but for its line ends.
    mail: Vec<u8>,
    /// Where its body begins.
    body: usize,
    pub(super) from: Address,
    /// Who MAIL FROM names: Sender where there is one (RFC 5322 section 3.6.2).
    pub(super) sender: Address,
    pub(super) recipients: Vec<Address>,
}

impl ReadyMade {
    /// Takes a mail apart as far as needed; also gives its Message-ID.
    pub(super) fn parse(mime: &[u8]) -> Result<(Self, Option<String>), Error> {
        if mime.len() > limits::MAIL {
            return Err(Error::TooBig { size: mime.len() as u64, limit: limits::MAIL as u64 });
        }
        if mime.contains(&0) {
            return Err(refuse("holds a NUL, which mail cannot carry"));
        }
        let mail = with_crlf(mime);
        let (head, body) = split(&mail);
        let head = mail.get(..head).unwrap_or_default();
        if head.len() > HEADER {
            return Err(Error::TooLong { field: "MIME".to_owned(), parameter: "header", limit: HEADER });
        }

        let mut header = Vec::with_capacity(head.len());
        let (mut from, mut sender, mut recipients) = (Vec::new(), Vec::new(), Vec::new());
        let (mut message_id, mut has_date) = (None, false);
        for field in fields(head) {
            let (name, value) = name_and_value(field)?;
            let mut keep = true;
            match name.to_ascii_lowercase().as_str() {
                "from" => from.extend(addresses(field, name)?),
                "sender" => sender.extend(addresses(field, name)?),
                "to" | "cc" => recipients.extend(addresses(field, name)?),
                "bcc" => {
                    recipients.extend(addresses(field, name)?);
                    keep = false;
                }
                "resent-bcc" => keep = false,
                "message-id" => {
                    message_id = message_id.or_else(|| usable_id(value));
                    keep = false;
                }
                "date" => has_date = true,
                _ => {}
            }
            if keep {
                header.extend_from_slice(field.strip_suffix(b"\r\n").unwrap_or(field));
                header.extend_from_slice(b"\r\n");
            }
        }
        let from = match <[Address; 1]>::try_from(from) {
            Ok([from]) => from,
            Err(_) => return Err(Error::field("header \"From\"", "mime", "must name exactly one sender")),
        };
        if recipients.len() > limits::RECIPIENTS {
            return Err(Error::TooMany { what: "recipients", limit: limits::RECIPIENTS });
        }
        let sender = sender.into_iter().next().unwrap_or_else(|| from.clone());
        Ok((Self { header, has_date, mail, body, from, sender, recipients }, message_id))
    }

    /// What follows the blank line.
    pub(super) fn body(&self) -> &[u8] {
        self.mail.get(self.body..).unwrap_or_default()
    }
}

fn refuse(problem: &str) -> Error {
    Error::field("MIME", "mime", problem)
}

/// RFC 5321 section 2.3.8: CR and LF come only as a pair. Exchange refuses a mail with a bare LF (5.6.11).
fn with_crlf(mime: &[u8]) -> Vec<u8> {
    let mut mail = Vec::with_capacity(mime.len() + mime.len() / 32);
    let mut before = 0;
    for &byte in mime {
        match (before, byte) {
            (b'\r', b'\n') => mail.push(b'\n'),
            (b'\r', _) if byte == b'\r' => mail.extend_from_slice(b"\n\r"),
            (b'\r', _) => mail.extend_from_slice(&[b'\n', byte]),
            (_, b'\n') => mail.extend_from_slice(b"\r\n"),
            _ => mail.push(byte),
        }
        before = byte;
    }
    if before == b'\r' {
        mail.push(b'\n');
    }
    mail
}

/// Where the header ends and where the body begins, with a blank line between them.
fn split(mail: &[u8]) -> (usize, usize) {
    if mail.starts_with(b"\r\n") {
        return (0, 2);
    }
    let blank = mail.windows(4).position(|window| window == b"\r\n\r\n");
    blank.map_or((mail.len(), mail.len()), |blank| (blank + 2, blank + 4))
}

/// The fields of a header, each with its folded lines (RFC 5322 section 2.2.3).
fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let mut end = 0;
        for line in rest.split_inclusive(|&byte| byte == b'\n') {
            if end > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                break;
            }
            end += line.len();
        }
        let (field, after) = rest.split_at_checked(end)?;
        rest = after;
        (!field.is_empty()).then_some(field)
    })
}

fn name_and_value(field: &[u8]) -> Result<(&str, &[u8]), Error> {
    let colon = field.iter().position(|&byte| byte == b':');
    let (name, value) = colon
        .and_then(|colon| field.split_at_checked(colon))
        .ok_or_else(|| refuse("has a line in its header that is no header"))?;
    // RFC 5322 section 4.5 has blanks before the colon.
    let name = std::str::from_utf8(name).unwrap_or_default().trim_end_matches([' ', '\t']);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refuse("has a line in its header that is no header"));
    }
    Ok((name, value.get(1..).unwrap_or_default()))
}

/// All addresses of a field, those in groups too (RFC 5322 section 3.4).
fn addresses(field: &[u8], name: &str) -> Result<Vec<Address>, Error> {
    let place = format!("header \"{name}\"");
    let unreadable = |_| Error::field(place.clone(), "mime", "cannot be read as addresses");
    let (header, _) = mailparse::parse_header(field).map_err(unreadable)?;
    let list = mailparse::addrparse_header(&header).map_err(unreadable)?;
    let one = |info: &SingleInfo| address(&place, "mime", info.addr.trim());
    let mut found = Vec::new();
    for entry in list.iter() {
        match entry {
            MailAddr::Single(info) => found.push(one(info)?),
            MailAddr::Group(group) => {
                for info in &group.addrs {
                    found.push(one(info)?);
                }
            }
        }
    }
    Ok(found)
}

/// A Message-ID that fits RFC 5322 section 3.6.4 well enough to be told apart; any other is replaced.
fn usable_id(value: &[u8]) -> Option<String> {
    let id = std::str::from_utf8(value).ok()?.trim();
    let inner = id.strip_prefix('<')?.strip_suffix('>')?;
    let usable = inner.len() <= 900
        && inner.contains('@')
        && inner.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>'));
    usable.then(|| id.to_owned())
}
