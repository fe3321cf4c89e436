//! The octets of one session, before and after the handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::wire::{ResetSwitch, Wire};

/// The connection is over, by whomever.
pub(super) struct End;

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self
    }
}

enum Stream {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
    Gone,
}

pub(super) struct Link {
    stream: Stream,
    unread: BytesMut,
    reset: ResetSwitch,
    /// Octets that may still be sent before the connection is cut.
    left: Option<usize>,
    /// Time between two octets that are sent.
    dribble: Option<Duration>,
}

impl Link {
    pub(super) fn new(wire: Wire) -> Self {
        let reset = wire.reset_switch();
        Self { stream: Stream::Plain(wire), unread: BytesMut::new(), reset, left: None, dribble: None }
    }

    pub(super) fn cut_after(&mut self, octets: usize) {
        self.left = Some(octets);
    }

    pub(super) fn dribble(&mut self, pause: Option<Duration>) {
        self.dribble = pause;
    }

    pub(super) fn reset(&self) {
        self.reset.arm();
    }

    /// Plain octets that came too early, behind STARTTLS; they are thrown away.
    pub(super) fn forget_unread(&mut self) -> bool {
        let had = !self.unread.is_empty();
        self.unread.clear();
        had
    }

    /// Octets up to and with the next line feed, or `most` of them if there is none.
    pub(super) async fn piece(&mut self, most: usize) -> Result<BytesMut, End> {
        let mut seen = 0;
        loop {
            let found = self.unread.iter().skip(seen).position(|octet| *octet == b'\n');
            if let Some(at) = found {
                return Ok(self.unread.split_to((seen + at + 1).min(most)));
            }
            if self.unread.len() >= most {
                return Ok(self.unread.split_to(most));
            }
            seen = self.unread.len();
            self.fill().await?;
        }
    }

    /// The next `count` octets, of which the first `keep` are appended to `into`.
    pub(super) async fn octets(&mut self, mut count: usize, keep: usize, into: &mut Vec<u8>) -> Result<(), End> {
        let mut keep = keep;
        while count > 0 {
            if self.unread.is_empty() {
                self.fill().await?;
            }
            let now = self.unread.len().min(count);
            let kept = now.min(keep);
            into.extend(self.unread.iter().take(kept));
            self.unread.advance(now);
            count -= now;
            keep -= kept;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), End> {
        self.unread.reserve(16 * 1024);
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read_buf(&mut self.unread).await?,
            Stream::Tls(stream) => stream.read_buf(&mut self.unread).await?,
            Stream::Gone => 0,
        };
        if read == 0 { Err(End) } else { Ok(()) }
    }

    pub(super) async fn write(&mut self, octets: &[u8]) -> Result<(), End> {
        let allowed = self.left.map_or(octets.len(), |left| left.min(octets.len()));
        let octets_now = octets.get(..allowed).unwrap_or(octets);
        match self.dribble {
            None => self.put(octets_now).await?,
            Some(pause) => {
                for octet in octets_now {
                    self.put(std::slice::from_ref(octet)).await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        if let Some(left) = &mut self.left {
            *left -= allowed;
            if *left == 0 {
                return Err(End);
            }
        }
        Ok(())
    }

    async fn put(&mut self, octets: &[u8]) -> Result<(), End> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(octets).await?,
            Stream::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await?;
            }
            Stream::Gone => return Err(End),
        }
        Ok(())
    }

    /// Reads and throws away until the client goes.
    pub(super) async fn outlast_client(&mut self) -> End {
        loop {
            self.unread.clear();
            if let Err(end) = self.fill().await {
                return end;
            }
        }
    }

    pub(super) async fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<(), End> {
        let Stream::Plain(wire) = std::mem::replace(&mut self.stream, Stream::Gone) else { return Err(End) };
        self.stream = Stream::Tls(Box::new(TlsAcceptor::from(config).accept(wire).await?));
        Ok(())
    }

    pub(super) async fn answer_without_tls(&mut self) -> End {
        if let Stream::Plain(wire) = std::mem::replace(&mut self.stream, Stream::Gone) {
            wire.answer_without_tls().await;
        }
        End
    }

    /// Ends in good order: unread octets at a close would become RST and eat the last reply.
    pub(super) async fn close(mut self) {
        if self.reset.is_armed() {
            // Not even TLS's own good-bye.
            return;
        }
        let _ = match &mut self.stream {
            Stream::Plain(stream) => stream.shutdown().await,
            Stream::Tls(stream) => stream.shutdown().await,
            Stream::Gone => Ok(()),
        };
        let _ = tokio::time::timeout(Duration::from_millis(250), self.outlast_client()).await;
    }
}
