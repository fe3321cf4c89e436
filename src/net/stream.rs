//! One way to open a stream: addresses (RFC 8305: several at once, staggered), a proxy, TLS; each step with a deadline.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::{Error, Road, certificate, tls, tunnel};
use crate::base::limits;

/// What a host is reached by: TCP, or TLS with a proxy.
pub type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection to a mail server, before or after TLS began.
pub enum Stream {
    /// Before STARTTLS.
    Plain(Transport),
    /// TLS.
    Tls(Box<TlsStream<Transport>>),
}

impl Stream {
    /// Connects, by way of a proxy if the road has one.
    pub async fn connect(road: &Road, host: &str, port: u16) -> Result<Self, Error> {
        Ok(Self::Plain(match road.proxies.toward(host, port)? {
            None => Either::Left(tcp(road, host, port).await?),
            Some(proxy) => tunnel::open(road, &proxy, host, port).await?,
        }))
    }

    /// Begins TLS on a plain stream.
    pub async fn begin_tls(self, road: &Road, host: &str) -> Result<Self, Error> {
        match self {
            Self::Plain(transport) => Ok(Self::Tls(Box::new(handshake(road, host, transport).await?))),
            Self::Tls(_) => Err(Error::Tls { host: host.to_owned(), reason: "it has begun already".to_owned() }),
        }
    }

    /// Who issued the certificates that the other side showed, its own first, once TLS has begun.
    #[must_use]
    pub fn issuers(&self) -> Vec<String> {
        let Self::Tls(stream) = self else { return Vec::new() };
        stream.get_ref().1.peer_certificates().unwrap_or_default().iter().filter_map(certificate::issuer).collect()
    }

    /// This computer's address on the connection.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        let transport = match self {
            Self::Plain(transport) => transport,
            Self::Tls(stream) => stream.get_ref().0,
        };
        match transport {
            Either::Left(stream) => stream.local_addr().ok(),
            Either::Right(stream) => stream.get_ref().0.local_addr().ok(),
        }
    }
}

/// Connects by TCP.
pub(super) async fn tcp(road: &Road, host: &str, port: u16) -> Result<TcpStream, Error> {
    road.check_bind_address()?;
    let addresses = road.resolve(host, port).await?;
    let stream = match timeout(road.timeouts.connect(), first_of(road, addresses)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(Error::Connect { host: host.to_owned(), port, source }),
        Err(_) => return Err(Error::Silent { host: host.to_owned(), port }),
    };
    // Commands are small and answered one by one: waiting for more to send would only cost time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Begins TLS with whom the name is of.
pub(super) async fn handshake<S>(road: &Road, host: &str, stream: S) -> Result<TlsStream<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let tls_error = |reason: &str| Error::Tls { host: host.to_owned(), reason: reason.to_owned() };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| tls_error("the host name is not one"))?;
    let handshake = TlsConnector::from(Arc::clone(&road.tls)).connect(name, stream);
    match timeout(road.timeouts.tls(), handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Err(tls::handshake_error(host, inner)),
            None => Err(tls_error(&error.to_string())),
        },
        Err(_) => Err(Error::Deadline { host: host.to_owned(), step: "setting up TLS" }),
    }
}

/// The first address that lets us in; each gets a head start before the next is tried beside it.
async fn first_of(road: &Road, addresses: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut waiting = addresses.into_iter();
    let mut last_error = std::io::Error::other("no address");
    let begin = |attempts: &mut JoinSet<_>, address| {
        let socket = road.socket(address);
        attempts.spawn(async move { socket?.connect(address).await });
    };
    if let Some(address) = waiting.next() {
        begin(&mut attempts, address);
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
            begin(&mut attempts, address);
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
    use crate::net::road::tests::plain;

    #[tokio::test]
    async fn the_second_address_is_tried_when_the_first_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = closed.local_addr().unwrap();
        drop(closed);
        let stream = first_of(&plain(), vec![refused, listener.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(first_of(&plain(), vec![refused]).await.is_err());
    }
}
