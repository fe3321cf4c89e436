//! Replies of the server (RFC 5321 section 4.2), read with bounds.

use super::Error;
use crate::base::{ServiceWords, limits};

/// What the first digit of a reply says; the others do not change what is done next (RFC 5321 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// 2yz
    Done,
    /// 3yz
    More,
    /// 4yz and 5yz
    Refused,
}

/// A whole reply. Its text holds no control character; what was not UTF-8 became U+FFFD.
///
/// Not lettre's `Response`: that one knows no `471` or `571`, which servers do say, and wants a blank behind each code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The lines without their codes.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// All lines in one, as they came.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// The enhanced status code: the first word (RFC 2034 section 4).
    #[must_use]
    pub fn enhanced_code(&self) -> Option<&str> {
        self.lines.first()?.split_whitespace().next().filter(|word| is_enhanced_code(word))
    }

    /// The reply in the report of a failure.
    #[must_use]
    pub fn service_words(&self) -> ServiceWords {
        ServiceWords {
            smtp_code: Some(self.code()),
            enhanced_code: self.enhanced_code().map(str::to_owned),
            text: Some(cut(self.text())),
            ..ServiceWords::default()
        }
    }

    pub(super) fn class(&self) -> Class {
        match self.code {
            200..300 => Class::Done,
            300..400 => Class::More,
            _ => Class::Refused,
        }
    }
}

/// As much of a service's text as is kept.
pub(super) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::SERVICE_TEXT));
    text
}

/// RFC 3463 section 2: class 2, 4 or 5, then two numbers of up to three digits.
pub(super) fn is_enhanced_code(word: &str) -> bool {
    let mut parts = word.split('.');
    let class = parts.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let number = |part: Option<&str>| {
        part.is_some_and(|part| matches!(part.len(), 1..=3) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    class && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

/// Puts replies together from bytes.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The lines of the reply that has not ended yet, and their code.
    reply: Option<Reply>,
    /// Their length in octets.
    length: usize,
}

impl ReplyReader {
    /// Takes bytes up to the end of a reply, and gives back the reply and the bytes behind it.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Result<(Option<Reply>, &'a [u8]), Error> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            self.extend_line(line)?;
            if let Some(reply) = self.end_line()? {
                return Ok((Some(reply), bytes));
            }
        }
        self.extend_line(bytes)?;
        Ok((None, &[]))
    }

    /// Nothing was read that has not been given out.
    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.reply.is_none()
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.line.len() + bytes.len() > limits::SMTP_REPLY_LINE {
            return Err(Error::ReplyTooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<Option<Reply>, Error> {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.trim_end_matches(['\r', '\n']);
        let (code, last, text) = parts(line).ok_or_else(|| Error::not_smtp(line))?;
        let mut reply = self.reply.take().unwrap_or_else(|| Reply { code, lines: Vec::new() });
        // RFC 5321 section 4.2.1: the code is the same in all lines.
        if reply.code != code {
            return Err(Error::not_smtp(line));
        }
        self.length += self.line.len();
        if self.length > limits::SMTP_REPLY {
            return Err(Error::ReplyTooLong);
        }
        // A control character has no business here, and would have in a log that is shown on a terminal.
        reply.lines.push(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
        self.line.clear();
        if last {
            self.length = 0;
            return Ok(Some(reply));
        }
        self.reply = Some(reply);
        Ok(None)
    }
}

/// The code of a line, whether it is the last one, and its text. RFC 5321 section 4.2: the text may be missing, and the
/// blank with it.
fn parts(line: &str) -> Option<(u16, bool, &str)> {
    let (code, rest) = line.split_at_checked(3)?;
    let is_code = matches!(code.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']);
    let (last, text) = match rest.strip_prefix('-') {
        Some(text) => (false, text),
        None if rest.is_empty() => (true, rest),
        None => (true, rest.strip_prefix(' ')?),
    };
    Some((code.parse().ok().filter(|_| is_code)?, last, text))
}
