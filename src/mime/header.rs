//! Header lines as lettre writes them: folded, and encoded where they are not ASCII (RFC 2047, RFC 2231).

use lettre::message::header::{self, Header, HeaderValue, Headers};
use lettre::message::{Mailbox, Mailboxes};

/// Longest line of a message without its CRLF, RFC 5322 section 2.1.1.
const LINE: usize = 998;

/// A header with its CRLF.
pub(super) fn line(header: impl Header) -> String {
    raw_line(header.display())
}

/// The same of one that has no type.
pub(super) fn raw_line(value: HeaderValue) -> String {
    let mut headers = Headers::new();
    headers.insert_raw(value);
    headers.to_string()
}

/// One mailbox; always in angle brackets, since Exchange is strict about them (5.7.512).
pub(super) fn mailbox(mailbox: &Mailbox) -> String {
    match mailbox.name {
        None => format!("<{}>", mailbox.email),
        Some(_) => {
            let line = line(header::To::from(Mailboxes::from(mailbox.clone())));
            line.trim_start_matches("To: ").trim_end().to_owned()
        }
    }
}

/// Whether folding brought it into lines that mail can carry. lettre folds at blanks only, so a very long word stays
/// whole; and a run of blanks can become a line of nothing else, which RFC 5322 section 3.2.2 forbids.
pub(super) fn is_folded(header: &str) -> bool {
    header.trim_end_matches("\r\n").split("\r\n").all(|line| line.len() <= LINE && !line.trim().is_empty())
}
