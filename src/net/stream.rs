//! One way to open a stream: names, addresses (RFC 8305: several at once, staggered), TLS; each step with a deadline.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Error, tls};
use crate::base::limits;

/// Most addresses of a name that are tried.
const ADDRESSES: usize = 16;

/// A connection to a mail server, before or after TLS began.
pub enum Stream {
    /// Before STARTTLS.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects by TCP.
    pub async fn connect(host: &str, port: u16) -> Result<Self, Error> {
        let addresses = resolve(host, port).await?;
        let connected = timeout(limits::CONNECT, first_of(addresses)).await;
        let stream = match connected {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => return Err(Error::Connect { host: host.to_owned(), port, source }),
            Err(_) => return Err(Error::Deadline { host: host.to_owned(), step: "connecting" }),
        };
        // Commands are small and answered one by one: waiting for more to send would only cost time.
        let _ = stream.set_nodelay(true);
        Ok(Self::Plain(stream))
    }

    /// Begins TLS on a plain stream.
    pub async fn begin_tls(self, host: &str, config: &Arc<ClientConfig>) -> Result<Self, Error> {
        let tls_error = |reason: &str| Error::Tls { host: host.to_owned(), reason: reason.to_owned() };
        let Self::Plain(stream) = self else { return Err(tls_error("it has begun already")) };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| tls_error("the host name is not one"))?;
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        match timeout(limits::TLS_HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => Ok(Self::Tls(Box::new(stream))),
            Ok(Err(error)) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(inner) => Err(tls::handshake_error(host, inner)),
                None => Err(tls_error(&error.to_string())),
            },
            Err(_) => Err(Error::Deadline { host: host.to_owned(), step: "setting up TLS" }),
        }
    }

    /// This computer's address on the connection.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Plain(stream) => stream.local_addr().ok(),
            Self::Tls(stream) => stream.get_ref().0.local_addr().ok(),
        }
    }
}

/// The addresses of a name, never cached: Microsoft's differ by place and change often.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let unresolved = || Error::NameResolution { host: host.to_owned() };
    match timeout(limits::RESOLVE, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let found: Vec<_> = found.take(ADDRESSES).collect();
            if found.is_empty() { Err(unresolved()) } else { Ok(interleaved(&found)) }
        }
        Ok(Err(_)) => Err(unresolved()),
        Err(_) => Err(Error::Deadline { host: host.to_owned(), step: "resolving its name" }),
    }
}

/// Both families in turn, the resolver's first choice first (RFC 8305 section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|index| [first.get(index), second.get(index)]).flatten().copied().collect()
}

/// The first address that lets us in; each gets a head start before the next is tried beside it.
async fn first_of(addresses: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.into_iter();
    let mut last_error = std::io::Error::other("no address");
    if let Some(address) = waiting.next() {
        attempts.spawn(TcpStream::connect(address));
    }
    loop {
        tokio::select! {
            finished = attempts.join_next() => match finished {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => last_error = error,
                Some(Err(_)) => {}
                None => return Err(last_error),
            },
            () = tokio::time::sleep(limits::CONNECT_STAGGER), if waiting.len() > 0 => {}
        }
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = [address("[::1]:1"), address("[::2]:1"), address("127.0.0.1:1")];
        assert_eq!(interleaved(&mixed), [mixed[0], mixed[2], mixed[1]]);
    }

    #[tokio::test]
    async fn the_second_address_is_tried_when_the_first_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = closed.local_addr().unwrap();
        drop(closed);
        let stream = first_of(vec![refused, listener.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(first_of(vec![refused]).await.is_err());
    }
}
