//! A TCP connection that can end by RST, and what is shown at its TLS handshake.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;

use crate::http;
use crate::misbehave::{Fault, Moment, When};
use crate::state::State;

/// A connection on loopback.
pub(crate) struct Wire {
    stream: TcpStream,
    reset: ResetSwitch,
}

/// Armed, the connection ends by RST when it is dropped.
#[derive(Clone, Default)]
pub(crate) struct ResetSwitch(Arc<AtomicBool>);

impl ResetSwitch {
    pub(crate) fn arm(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        // Small answers must not wait for each other.
        let _ = stream.set_nodelay(true);
        Self { stream, reset: ResetSwitch::default() }
    }

    pub(crate) fn reset_switch(&self) -> ResetSwitch {
        self.reset.clone()
    }

    /// Reads and throws away until the client goes.
    pub(crate) async fn outlast_client(mut self) {
        let mut thrown_away = [0; 1024];
        while self.stream.read(&mut thrown_away).await.is_ok_and(|read| read > 0) {}
    }

    pub(crate) async fn answer_without_tls(mut self) {
        let _ = self.stream.write_all(b"This is not the TLS that you asked for.\r\n").await;
        let _ = self.stream.shutdown().await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.is_armed() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.is_armed() {
            // A FIN first would let the client see an end in good order.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What becomes of a handshake.
pub(crate) enum Handshake {
    Serve(Arc<ServerConfig>),
    /// Answered with something that is not TLS.
    Garble,
    Drop,
    Reset,
    Withhold,
}

pub(crate) async fn handshake_plan(state: &State, moment: Moment) -> Handshake {
    let faults = state.due(moment);
    http::delay(&faults, When::Before).await;
    for fault in &faults {
        match fault {
            Fault::NoTls {} => return Handshake::Garble,
            Fault::Drop { .. } => return Handshake::Drop,
            Fault::Reset { .. } => return Handshake::Reset,
            Fault::Withhold { .. } => return Handshake::Withhold,
            Fault::Certificate { flaw } => {
                if let Ok(config) = state.certificates.flawed(*flaw) {
                    return Handshake::Serve(config);
                }
            }
            _ => {}
        }
    }
    Handshake::Serve(state.certificates.good())
}
