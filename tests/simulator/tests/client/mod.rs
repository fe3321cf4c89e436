//! A client that knows nothing of the simulator but its addresses: octets over rustls.
#![allow(dead_code, reason = "each test program uses another part")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use exchange_simulator::{Options, Simulator};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

pub(crate) const SMTP_SEND: &str = "https://outlook.office.com/SMTP.Send offline_access openid profile";

pub(crate) fn start() -> Simulator {
    Simulator::start(Options::default()).expect("the simulator starts")
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// Status, `error`, first of `error_codes`.
    pub(crate) fn error(&self) -> (u16, String, u64) {
        let body = self.json();
        let code = body["error_codes"].get(0).and_then(Value::as_u64).unwrap_or_default();
        (self.status, body["error"].as_str().unwrap_or_default().to_owned(), code)
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    Ok(stream)
}

fn handshake(sim: &Simulator, stream: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(sim.ca_file()).map_err(io::Error::other)?).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(stream)
}

pub(crate) fn http(sim: &Simulator, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let port = sim.identity_url().rsplit(':').next().unwrap().parse().unwrap();
    let mut stream = handshake(sim, connect(port)?)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut all = Vec::new();
    let read = stream.read_to_end(&mut all);
    let text = String::from_utf8(all).map_err(io::Error::other)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        read?;
        return Err(io::Error::other("no answer"));
    };
    let length: Option<usize> = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").and_then(|value| value.parse().ok()));
    if length != Some(body.len()) {
        return Err(io::Error::other("the answer is cut"));
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::Error::other("no status"))?;
    Ok(Answer { status, head: head.to_lowercase(), body: body.to_owned() })
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(crate) fn try_post(sim: &Simulator, endpoint: &str, fields: &[(&str, &str)]) -> io::Result<Answer> {
    http(sim, "POST", &format!("/{}/oauth2/v2.0/{endpoint}", sim.tenant_id()), &form(fields))
}

pub(crate) fn post(sim: &Simulator, endpoint: &str, fields: &[(&str, &str)]) -> Answer {
    try_post(sim, endpoint, fields).expect("an answer")
}

/// User code and device code.
pub(crate) fn device_code(sim: &Simulator, scope: &str) -> (String, String) {
    let body = post(sim, "devicecode", &[("client_id", sim.client_id()), ("scope", scope)]).json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    (text("user_code"), text("device_code"))
}

pub(crate) fn poll(sim: &Simulator, device_code: &str) -> Answer {
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    post(sim, "token", &[("grant_type", grant), ("client_id", sim.client_id()), ("device_code", device_code)])
}

pub(crate) fn refresh(sim: &Simulator, refresh_token: &str) -> Answer {
    post(
        sim,
        "token",
        &[("grant_type", "refresh_token"), ("client_id", sim.client_id()), ("refresh_token", refresh_token)],
    )
}

/// The whole flow: the token answer.
pub(crate) fn sign_in(sim: &Simulator, scope: &str) -> Value {
    let (user_code, device_code) = device_code(sim, scope);
    sim.approve(&user_code);
    let answer = poll(sim, &device_code);
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

pub(crate) fn access_token(sim: &Simulator) -> String {
    sign_in(sim, SMTP_SEND)["access_token"].as_str().unwrap().to_owned()
}

pub(crate) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

enum Stream {
    Plain(BufReader<TcpStream>),
    Tls(Box<BufReader<StreamOwned<ClientConnection, TcpStream>>>),
}

/// An SMTP client that does one thing at a time.
pub(crate) struct Smtp(Option<Stream>);

impl Smtp {
    /// Connected; the greeting is not read yet.
    pub(crate) fn connect(sim: &Simulator) -> Self {
        Self(Some(Stream::Plain(BufReader::new(connect(sim.smtp_port()).unwrap()))))
    }

    /// Greeted, over TLS, said EHLO.
    pub(crate) fn secure(sim: &Simulator) -> Self {
        let mut smtp = Self::connect(sim);
        assert!(smtp.reply().starts_with("220 "));
        smtp.ask("EHLO client.example");
        assert_eq!(smtp.ask("STARTTLS"), "220 2.0.0 SMTP server ready\r\n");
        smtp.start_tls(sim).unwrap();
        smtp.ask("EHLO client.example");
        smtp
    }

    /// Logged in as the simulator's account.
    pub(crate) fn ready(sim: &Simulator) -> Self {
        let token = access_token(sim);
        let mut smtp = Self::secure(sim);
        assert_eq!(smtp.log_in(sim.account(), &token), "235 2.7.0 Authentication successful\r\n");
        smtp
    }

    pub(crate) fn start_tls(&mut self, sim: &Simulator) -> io::Result<()> {
        let Some(Stream::Plain(reader)) = self.0.take() else { panic!("no plain stream") };
        assert!(reader.buffer().is_empty(), "injected: {:?}", reader.buffer());
        self.0 = Some(Stream::Tls(Box::new(BufReader::new(handshake(sim, reader.into_inner())?))));
        Ok(())
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        match self.0.as_mut().unwrap() {
            Stream::Plain(reader) => reader.get_mut().write_all(octets).unwrap(),
            Stream::Tls(reader) => {
                reader.get_mut().write_all(octets).unwrap();
                reader.get_mut().flush().unwrap();
            }
        }
    }

    /// A whole reply, or what there is of it when the connection ends.
    pub(crate) fn try_reply(&mut self) -> io::Result<String> {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = match self.0.as_mut().unwrap() {
                Stream::Plain(reader) => reader.read_line(&mut line),
                Stream::Tls(reader) => reader.read_line(&mut line),
            };
            reply.push_str(&line);
            match read {
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
                Err(_) | Ok(0) => return Ok(reply),
                Ok(_) if line.as_bytes().get(3) == Some(&b'-') => {}
                Ok(_) => return Ok(reply),
            }
        }
    }

    pub(crate) fn reply(&mut self) -> String {
        self.try_reply().unwrap()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    pub(crate) fn is_over(&mut self) -> bool {
        self.try_reply().is_ok_and(|reply| reply.is_empty())
    }

    pub(crate) fn log_in(&mut self, user: &str, token: &str) -> String {
        assert_eq!(self.ask("AUTH XOAUTH2"), "334 \r\n");
        self.ask(&xoauth2(user, token))
    }

    /// MAIL, RCPT, DATA; the reply to the body.
    pub(crate) fn mail(&mut self, from: &str, recipient: &str, data: &str) -> String {
        let mail = self.ask(&format!("MAIL FROM:<{from}>"));
        assert!(mail.starts_with("250"), "{mail}");
        let rcpt = self.ask(&format!("RCPT TO:<{recipient}>"));
        assert!(rcpt.starts_with("250"), "{rcpt}");
        assert!(self.ask("DATA").starts_with("354"));
        self.ask(&format!("{data}."))
    }
}

pub(crate) fn xoauth2(user: &str, token: &str) -> String {
    STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01"))
}

pub(crate) fn message(from: &str) -> String {
    format!("From: <{from}>\r\nTo: <b@fabrikam.example>\r\nMessage-ID: <1@contoso.example>\r\n\r\nGood day.\r\n")
}
