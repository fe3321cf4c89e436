//! The body of a mail as DATA carries it: lines that end with CRLF, a dot doubled at the start of a line, and the
//! final dot (RFC 5321 sections 2.3.8 and 4.5.2).

/// Prepares a body that comes in chunks of any size.
///
/// A CR or LF that stands alone becomes CRLF: sending it is forbidden, Exchange Online refuses it (5.6.11), and servers
/// that take it for the end of a line would let a body smuggle in a mail of its own.
#[derive(Debug)]
pub(super) struct DotStuffer {
    at: At,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    InLine,
    AfterCr,
}

impl DotStuffer {
    pub(super) fn new() -> Self {
        Self { at: At::LineStart }
    }

    /// Passes on the next chunk.
    pub(super) fn chunk(&mut self, mut chunk: &[u8], mut out: impl FnMut(&[u8])) {
        while let Some(&first) = chunk.first() {
            if self.at == At::AfterCr {
                out(b"\n");
                self.at = At::LineStart;
                if let Some(rest) = chunk.strip_prefix(b"\n") {
                    chunk = rest;
                    continue;
                }
            }
            if self.at == At::LineStart && first == b'.' {
                out(b".");
            }
            let line_end = chunk.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(chunk.len());
            let (text, rest) = chunk.split_at(line_end);
            out(text);
            self.at = At::InLine;
            chunk = match rest.split_first() {
                Some((b'\n', rest)) => {
                    out(b"\r\n");
                    self.at = At::LineStart;
                    rest
                }
                Some((cr, rest)) => {
                    out(&[*cr]);
                    self.at = At::AfterCr;
                    rest
                }
                None => rest,
            };
        }
    }

    /// Ends the last line, if it has no end yet, and the body.
    pub(super) fn finish(&mut self, mut out: impl FnMut(&[u8])) {
        match self.at {
            At::LineStart => out(b".\r\n"),
            At::AfterCr => out(b"\n.\r\n"),
            At::InLine => out(b"\r\n.\r\n"),
        }
        self.at = At::LineStart;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuffed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut wire = Vec::new();
        let mut stuffer = DotStuffer::new();
        chunks.into_iter().for_each(|chunk| stuffer.chunk(chunk, |part| wire.extend_from_slice(part)));
        stuffer.finish(|part| wire.extend_from_slice(part));
        String::from_utf8(wire).unwrap()
    }

    const TABLE: &[(&str, &str)] = &[
        ("", ".\r\n"),
        (".", "..\r\n.\r\n"),
        ("a", "a\r\n.\r\n"),
        ("a\r\n", "a\r\n.\r\n"),
        ("\r\n", "\r\n.\r\n"),
        (".\r\n..\r\nx.\r\n.", "..\r\n...\r\nx.\r\n..\r\n.\r\n"),
        ("a\r\n.\r\nMAIL FROM:<x>\r\n", "a\r\n..\r\nMAIL FROM:<x>\r\n.\r\n"),
        ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
        ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"),
        ("a\r\r\n.b\n\r\n\n.", "a\r\n\r\n..b\r\n\r\n\r\n..\r\n.\r\n"),
        ("a\r", "a\r\n.\r\n"),
    ];

    #[test]
    fn a_body_comes_out_the_same_wherever_it_is_split() {
        for (body, wire) in TABLE {
            let body = body.as_bytes();
            assert_eq!(stuffed([body]), *wire);
            assert_eq!(stuffed(body.chunks(1)), *wire, "by octets");
            for first in 0..=body.len() {
                for second in first..=body.len() {
                    let parts = [&body[..first], &body[first..second], &body[second..]];
                    assert_eq!(stuffed(parts), *wire, "{:?} at {first} and {second}", String::from_utf8_lossy(body));
                }
            }
        }
    }
}
