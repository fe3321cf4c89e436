//! The mail data (RFC 5321 section 2.3.9): short stretches that are held in memory, and attachments that are read and
//! encoded only on their way out. However big a mail is, no more of it is in memory than the piece that goes out.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Content, Error};

/// Octets in one line of base64, and characters with its CRLF (RFC 2045 section 6.8).
const LINE: usize = 57;
const ENCODED_LINE: usize = 78;
const CRLF: &[u8] = b"\r\n";

/// The octets of a mail, in order.
#[derive(Clone, Default)]
pub struct MailData {
    parts: Vec<Part>,
    /// While it is being written: what stands behind the last part.
    last: Vec<u8>,
}

#[derive(Clone)]
enum Part {
    /// As they are.
    Octets(Vec<u8>),
    /// Attached: in base64, in lines.
    Base64(Content),
}

// By hand: it holds mails.
impl std::fmt::Debug for MailData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailData").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl MailData {
    /// Its length in octets, known before anything is read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.parts.iter().map(Part::size).sum()
    }

    /// Whether a file is read when it goes out.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Base64(Content::File(_))))
    }

    /// From its beginning.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> MailDataReader {
        MailDataReader { data: Arc::clone(self), part: 0, at: 0, read: Vec::new() }
    }

    /// Where the next octets are put.
    pub(super) fn octets(&mut self) -> &mut Vec<u8> {
        &mut self.last
    }

    /// An attachment, in base64.
    pub(super) fn attach(&mut self, content: Content) {
        self.parts.push(Part::Octets(std::mem::take(&mut self.last)));
        self.parts.push(Part::Base64(content));
    }

    /// Nothing follows any more.
    pub(super) fn finish(mut self) -> Arc<Self> {
        self.parts.push(Part::Octets(std::mem::take(&mut self.last)));
        Arc::new(self)
    }
}

impl Part {
    fn size(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Base64(content) => base64_size(content.length()),
        }
    }
}

/// What so many octets become in base64, line ends included.
#[must_use]
pub(super) fn base64_size(octets: u64) -> u64 {
    octets.div_ceil(3) * 4 + octets.div_ceil(LINE as u64) * CRLF.len() as u64
}

/// Reads mail data piece by piece. Files are read on the calling thread.
pub struct MailDataReader {
    data: Arc<MailData>,
    part: usize,
    /// Octets of the part that were read, before encoding.
    at: u64,
    /// What a file gave, before encoding.
    read: Vec<u8>,
}

impl MailDataReader {
    /// Whether reading may wait for a disk.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        self.data.reads_files()
    }

    /// Puts the next octets into an emptied buffer: at most `most`, but for one line of base64 at least; none at the end.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::FileChanged`]. Nothing that was read before can be sent then.
    pub fn read(&mut self, buffer: &mut Vec<u8>, most: usize) -> Result<(), Error> {
        buffer.clear();
        let most = most.max(ENCODED_LINE);
        let data = Arc::clone(&self.data);
        while let Some(part) = data.parts.get(self.part) {
            let room = most.saturating_sub(buffer.len());
            let read = match part {
                Part::Octets(octets) => {
                    let rest = octets.get(usize::try_from(self.at).unwrap_or(usize::MAX)..).unwrap_or_default();
                    let piece = rest.get(..room).unwrap_or(rest);
                    buffer.extend_from_slice(piece);
                    piece.len()
                }
                Part::Base64(content) => {
                    if self.at == 0 {
                        content.check()?;
                    }
                    let piece = content.piece(self.at, room / ENCODED_LINE * LINE, &mut self.read)?;
                    encode(piece, buffer);
                    piece.len()
                }
            };
            self.at += read as u64;
            if self.at < part.length() {
                if read == 0 {
                    // No room for another line.
                    return Ok(());
                }
                continue;
            }
            if let Part::Base64(content) = part {
                content.check()?;
            }
            self.part += 1;
            self.at = 0;
        }
        Ok(())
    }
}

impl Part {
    /// Octets before encoding.
    fn length(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Base64(content) => content.length(),
        }
    }
}

/// Whole lines, but for the last one.
fn encode(octets: &[u8], buffer: &mut Vec<u8>) {
    let begin = buffer.len();
    let size = usize::try_from(base64_size(octets.len() as u64)).unwrap_or_default();
    buffer.resize(begin + size, 0);
    let lines = buffer.get_mut(begin..).unwrap_or_default().chunks_mut(ENCODED_LINE);
    for (octets, line) in octets.chunks(LINE).zip(lines) {
        let Some((text, end)) = line.split_at_mut_checked(line.len().saturating_sub(CRLF.len())) else { continue };
        // The line was measured for it.
        let _ = STANDARD.encode_slice(octets, text);
        end.copy_from_slice(CRLF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_size_of_pieces_gives_the_same_octets() {
        let content: Vec<u8> = (0..10_007_u32).map(|n| (n * 31 % 251) as u8).collect();
        for length in [0, 1, 2, 3, 56, 57, 58, 114, 10_007] {
            let mut data = MailData::default();
            data.octets().extend_from_slice(b"before\r\n");
            data.attach(Content::Bytes(content[..length].into()));
            data.octets().extend_from_slice(b"after\r\n");
            let data = data.finish();
            let mut expected = b"before\r\n".to_vec();
            for line in content[..length].chunks(57) {
                expected.extend_from_slice(STANDARD.encode(line).as_bytes());
                expected.extend_from_slice(b"\r\n");
            }
            expected.extend_from_slice(b"after\r\n");
            assert_eq!(data.size(), expected.len() as u64);
            for most in [78, 79, 155, 156, 1_000, 100_000] {
                let (mut reader, mut piece, mut all) = (data.reader(), Vec::new(), Vec::new());
                loop {
                    reader.read(&mut piece, most).unwrap();
                    if piece.is_empty() {
                        break;
                    }
                    assert!(piece.len() <= most);
                    all.extend_from_slice(&piece);
                }
                assert!(all == expected, "{length} in pieces of {most}");
            }
        }
    }
}
