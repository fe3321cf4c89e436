//! A way through an HTTP proxy: CONNECT (RFC 9110 section 9.3.6).

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::either::Either;
use zeroize::Zeroizing;

use super::proxy::bracketed;
use super::stream::{self, Transport};
use super::{Error, Proxy, Road};
use crate::base::limits;

/// Most header fields of an answer.
const FIELDS: usize = 100;

/// Connects to a host by way of the proxy.
pub(super) async fn open(road: &Road, proxy: &Proxy, host: &str, port: u16) -> Result<Transport, Error> {
    let to_proxy = async {
        let tcp = stream::tcp(road, &proxy.host, proxy.port).await?;
        Ok(if proxy.secure {
            Either::Right(Box::new(stream::handshake(road, &proxy.host, tcp).await?))
        } else {
            Either::Left(tcp)
        })
    };
    let mut transport: Transport = to_proxy
        .await
        .map_err(|source| Error::ProxyUnreachable { proxy: proxy.to_string(), source: Box::new(source) })?;
    match timeout(road.timeouts.connect(), converse(&mut transport, proxy, host, port)).await {
        Ok(Ok(())) => Ok(transport),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::ProxyDeadline { proxy: proxy.to_string(), host: host.to_owned(), port }),
    }
}

async fn converse<S>(stream: &mut S, proxy: &Proxy, host: &str, port: u16) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let nonsense = |reason: String| Error::ProxyAnswer { proxy: proxy.to_string(), reason };
    let broken = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => nonsense("it closed the connection".to_owned()),
        _ => nonsense(error.to_string()),
    };
    let request = request(proxy, host, port);
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Answer::default();
    let verdict = loop {
        // One octet at a time: what follows the answer is the host's, and an SMTP server speaks first.
        let octet = stream.read_u8().await.map_err(broken)?;
        if let Some(verdict) = answer.receive(octet).map_err(|reason| nonsense(reason.to_owned()))? {
            break verdict;
        }
    };
    match verdict.status {
        200..=299 => Ok(()),
        // tinyproxy answers a wrong password by 401.
        status @ (401 | 407) => Err(Error::ProxyLogin {
            status,
            proxy: proxy.to_string(),
            given: proxy.authorization.is_some(),
            offered: verdict.offered,
        }),
        status => Err(Error::ProxyRefused { proxy: proxy.to_string(), host: host.to_owned(), port, status }),
    }
}

fn request(proxy: &Proxy, host: &str, port: u16) -> Zeroizing<Vec<u8>> {
    let host = bracketed(host);
    let login = proxy.authorization.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
    let mut request = Zeroizing::new(Vec::with_capacity(128 + 2 * host.len() + login.len()));
    request.extend_from_slice(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n").as_bytes());
    if !login.is_empty() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(login.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    request
}

/// What a proxy decided.
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    /// The HTTP status.
    status: u16,
    /// The ways of authentication that it knows.
    offered: Vec<String>,
}

/// The head of an answer while it comes in.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    received: usize,
}

impl Answer {
    /// Takes the next octet; gives the verdict with the last of the head.
    fn receive(&mut self, octet: u8) -> Result<Option<Verdict>, &'static str> {
        self.received += 1;
        if self.received > limits::PROXY_ANSWER {
            return Err("its answer is longer than any sensible one");
        }
        self.head.push(octet);
        if octet != b'\n' {
            return Ok(None);
        }
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&self.head).map_err(|_| "it does not speak HTTP")?;
        if parsed.is_partial() {
            return Ok(None);
        }
        let status = response.code.unwrap_or_default();
        let offered = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("Proxy-Authenticate"));
        let offered = offered.filter_map(|field| scheme(field.value)).collect();
        if (100..200).contains(&status) {
            // Only a word in between (RFC 9110 section 15.2).
            self.head.clear();
            return Ok(None);
        }
        Ok(Some(Verdict { status, offered }))
    }
}

/// The name of a way of authentication, if it is a sensible one.
fn scheme(field: &[u8]) -> Option<String> {
    let name = field.split(|octet| matches!(octet, b' ' | b',' | b'\t')).next()?;
    let name = std::str::from_utf8(name).ok()?;
    let sensible =
        (1..=20).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    sensible.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::proxy::{Choice, Proxies};

    fn answered(text: &[u8]) -> (Result<Option<Verdict>, &'static str>, usize) {
        let mut answer = Answer::default();
        for (index, octet) in text.iter().enumerate() {
            match answer.receive(*octet) {
                Ok(None) => {}
                done => return (done, index + 1),
            }
        }
        (Ok(None), text.len())
    }

    fn proxy(address: &str) -> Proxy {
        Proxies::new(&Choice::Address(address.to_owned().into())).toward("localhost", 1).unwrap().unwrap()
    }

    #[test]
    fn the_verdict_comes_with_the_last_octet_of_the_head_and_no_later() {
        for head in
            ["HTTP/1.1 200 Connection established\r\n\r\n", "HTTP/1.0 200\nVia: x\n\n", "HTTP/1.1 299 \r\na:b\r\n\r\n"]
        {
            let (verdict, taken) = answered(format!("{head}220 mail.example ESMTP\r\n").as_bytes());
            assert!((200..300).contains(&verdict.unwrap().unwrap().status), "{head}");
            assert_eq!(taken, head.len());
            assert_eq!(answered(&head.as_bytes()[..head.len() - 1]).0, Ok(None), "not before it is whole");
        }
    }

    #[test]
    fn a_word_in_between_is_no_verdict() {
        let (verdict, _) = answered(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\nX: y\r\n\r\n");
        assert_eq!(verdict.unwrap().unwrap().status, 403);
        let (endless, _) = answered("HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000).as_bytes());
        assert!(endless.is_err());
    }

    #[test]
    fn the_ways_to_authenticate_are_read() {
        let (verdict, _) = answered(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Negotiate\r\n\
              Proxy-Authenticate: Basic realm=\"a, b\"\r\nProxy-Authenticate: ?\xff!\r\n\r\n",
        );
        assert_eq!(
            verdict.unwrap().unwrap(),
            Verdict { status: 407, offered: vec!["Negotiate".into(), "Basic".into()] }
        );
    }

    #[test]
    fn nonsense_and_endless_answers_are_refused() {
        for text in ["220 mail.example ESMTP\r\n", "\x16\x03\x01\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n"] {
            assert!(answered(text.as_bytes()).0.is_err(), "{text}");
        }
        let head = "HTTP/1.1 200 OK\r\nX: ";
        let exact = format!("{head}{}\r\n\r\n", "y".repeat(limits::PROXY_ANSWER - head.len() - 4));
        assert!(answered(exact.as_bytes()).0.unwrap().is_some());
        let long = format!("{head}{}\r\n\r\n", "y".repeat(limits::PROXY_ANSWER - head.len() - 3));
        assert_eq!(
            answered(long.as_bytes()),
            (Err("its answer is longer than any sensible one"), limits::PROXY_ANSWER + 1)
        );
        assert_eq!(answered(&vec![b'x'; limits::PROXY_ANSWER]).0, Ok(None));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:b\r\n".repeat(FIELDS + 1));
        assert!(answered(many.as_bytes()).0.is_err());
    }

    #[test]
    fn the_request_is_that_of_rfc_9110() {
        let asked = |proxy: &Proxy, host| String::from_utf8(request(proxy, host, 587).to_vec()).unwrap();
        assert_eq!(
            asked(&proxy("http://proxy:3128"), "smtp.office365.com"),
            "CONNECT smtp.office365.com:587 HTTP/1.1\r\nHost: smtp.office365.com:587\r\n\r\n"
        );
        let with_login = asked(&proxy("http://scan:secret@proxy:3128"), "::1");
        assert!(with_login.starts_with("CONNECT [::1]:587 HTTP/1.1\r\n"), "{with_login}");
        assert!(with_login.ends_with("\r\nProxy-Authorization: Basic c2NhbjpzZWNyZXQ=\r\n\r\n"), "{with_login}");
    }

    #[tokio::test]
    async fn what_the_host_says_first_is_not_swallowed() {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(b"HTTP/1.1 200 OK\r\n\r\n220 mail.example\r\n").await.unwrap();
        converse(&mut ours, &proxy("http://proxy:3128"), "localhost", 25).await.unwrap();
        let mut greeting = [0; 18];
        ours.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"220 mail.example\r\n");
    }

    #[tokio::test]
    async fn each_refusal_is_told_apart() {
        let login = "http://u:p@proxy:3128";
        for (address, answer, wanted) in [
            ("http://proxy:3128", "HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\n\r\n", "without a login"),
            (login, "HTTP/1.1 407 x\r\n\r\n", "does not take the login"),
            (login, "HTTP/1.1 401 x\r\n\r\n", "does not take the login"),
            (login, "HTTP/1.1 403 x\r\n\r\n", "HTTP 403"),
            (login, "HTTP/1.1 200 x\r\n", "closed"),
            (login, "SSH-2.0-x\r\n", "speak HTTP"),
        ] {
            let (mut ours, mut theirs) = tokio::io::duplex(1024);
            theirs.write_all(answer.as_bytes()).await.unwrap();
            let ended = tokio::spawn(async move {
                let mut request = [0; 16];
                theirs.read_exact(&mut request).await.unwrap();
                theirs.shutdown().await.unwrap();
                theirs
            });
            let error = converse(&mut ours, &proxy(address), "localhost", 587).await.unwrap_err();
            assert!(error.to_string().contains(wanted), "{answer}: {error}");
            drop(ended.await);
        }
    }
}
