//! One SMTP connection: moves bytes between a stream and a [`Session`], each step with its deadline.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::core::Network;
use super::{Core, Level, Operation, UseError};
use crate::Error;
use crate::base::{Moment, Timeouts, limits};
use crate::identity::cloud::{MailServer, TlsMode};
use crate::mime::{Composed, MailData, MailDataReader};
use crate::net::{self, Road, Stream};
use crate::protocol::smtp::{BodyKind, Delivery, Event, Refusal, Reply, Security, Session};

/// How much of a body is given to the session at once.
const CHUNK: usize = 64 * 1024;
/// How long a broken write, or a mail that is cancelled in doubt, waits for the server's last word. Less than a closing
/// connector lets its operations end.
const LAST_WORD: Duration = Duration::from_millis(800);

/// How long the caller waits, and whether it still wants the result.
#[derive(Clone)]
pub struct Patience {
    /// The caller's deadline.
    pub until: Option<Instant>,
    /// The caller's change of mind.
    pub cancel: CancellationToken,
}

/// Why a step did not end.
enum Interrupted {
    Step,
    Caller(UseError),
}

impl Patience {
    async fn within<T>(&self, step: Option<Duration>, work: impl Future<Output = T>) -> Result<T, Interrupted> {
        let step_ends = step.map(|step| Instant::now() + step);
        let wait = async |until: Option<Instant>| match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = self.cancel.cancelled() => Err(Interrupted::Caller(UseError::Canceled { what: "It was cancelled" })),
            () = wait(self.until) => Err(Interrupted::Caller(UseError::Timeout)),
            () = wait(step_ends) => Err(Interrupted::Step),
        }
    }

    /// The same for work that has deadlines of its own.
    pub async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, UseError> {
        match self.within(None, work).await {
            Ok(done) => Ok(done),
            Err(Interrupted::Caller(error)) => Err(error),
            Err(Interrupted::Step) => Err(UseError::Timeout),
        }
    }
}

/// What became of a mail on a connection that works.
pub struct Delivered {
    /// For each recipient of the envelope.
    pub recipients: Vec<Result<(), Refusal>>,
    /// The reply to the final dot, or why it was refused.
    pub outcome: Result<Accepted, Refusal>,
}

/// The server has the mail.
pub struct Accepted {
    /// Its reply as it came.
    pub reply: Reply,
    /// The Message-ID that the reply names.
    pub message_id: Option<String>,
}

/// How the opening of a connection can fail.
pub enum OpenError {
    /// The server refused the login.
    Login(Box<Refusal>),
    /// Anything else.
    Other(Error),
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Login(refusal) => refusal.report.into(),
            OpenError::Other(error) => error,
        }
    }
}

async fn connect(road: &Road, server: &MailServer, patience: &Patience) -> Result<Stream, Error> {
    Ok(patience.wait(Stream::connect(road, &server.host, server.port)).await??)
}

/// The next piece of a mail; from a file on a thread that may block.
async fn read_piece(
    core: &Core,
    mut reader: MailDataReader,
    mut piece: Vec<u8>,
) -> Result<(MailDataReader, Vec<u8>), Error> {
    let reads_files = reader.reads_files();
    let read = move || reader.read(&mut piece, CHUNK).map(|()| (reader, piece));
    let done =
        if reads_files { core.handle().spawn_blocking(read).await.map_err(|_| UseError::Closed)? } else { read() };
    Ok(done?)
}

/// A connection; once it was opened it is logged in.
pub struct Connection {
    stream: Stream,
    session: Session,
    host: String,
    timeouts: Timeouts,
    opened: Moment,
    used: Moment,
}

impl Connection {
    /// Connects, begins TLS, logs in.
    pub async fn open(
        core: &Core,
        network: &Network,
        server: &MailServer,
        initial_response: SecretString,
        patience: &Patience,
    ) -> Result<Self, OpenError> {
        let connection = Self::connect(core, network, server, patience).await?.secure(network, patience).await?;
        let connection = connection.login(initial_response, patience).await?;
        core.log(Level::Debug, "smtp", &format!("SMTP login at {}:{} done", server.host, server.port));
        Ok(connection)
    }

    /// The first step: connects by TCP.
    pub(super) async fn connect(
        core: &Core,
        network: &Network,
        server: &MailServer,
        patience: &Patience,
    ) -> Result<Self, Error> {
        let security = match server.tls {
            TlsMode::Starttls => Security::Starttls,
            TlsMode::Implicit => Security::Implicit,
        };
        let stream = connect(&network.road, server, patience).await?;
        let address = stream.local_address().map(|address| match address.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => format!("[{ip}]"),
            std::net::IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
        });
        let name = core.options().client_name.clone().or(address).unwrap_or_else(|| "[127.0.0.1]".to_owned());
        let now = core.clock.now();
        let session = Session::new(security, &name)?;
        let (host, timeouts) = (server.host.clone(), network.road.timeouts);
        Ok(Self { stream, session, host, timeouts, opened: now, used: now })
    }

    /// The second step: begins TLS, by STARTTLS where the server wants it so.
    pub(super) async fn secure(mut self, network: &Network, patience: &Patience) -> Result<Self, Error> {
        loop {
            match self.step(patience).await? {
                Event::TlsWanted => {
                    let encrypted = patience.wait(self.stream.begin_tls(&network.road, &self.host)).await;
                    self = Self { stream: encrypted??, ..self };
                    self.session.tls_established()?;
                }
                Event::Ready(_) => return Ok(self),
                Event::Goodbye(refusal) => return Err(refusal.report.into()),
                event => return Err(self.unexpected(&event)),
            }
        }
    }

    /// The last step: logs in.
    pub(super) async fn login(
        mut self,
        initial_response: SecretString,
        patience: &Patience,
    ) -> Result<Self, OpenError> {
        self.session.authenticate(initial_response.clone()).map_err(Error::from)?;
        match self.step(patience).await? {
            Event::Authenticated => Ok(self),
            Event::LoginRefused(mut refusal) => {
                refusal.report.service.hide(initial_response.expose_secret());
                self.quit().await;
                Err(OpenError::Login(Box::new(refusal)))
            }
            Event::Goodbye(refusal) => Err(OpenError::Other(refusal.report.into())),
            event => Err(self.unexpected(&event).into()),
        }
    }

    /// Whether the connection is worth a try: young, not idle for long, and the server has said nothing meanwhile.
    pub async fn is_fresh(&mut self, now: Moment) -> bool {
        if !self.session.is_ready()
            || now >= self.opened.after(limits::SMTP_LIFE)
            || now >= self.used.after(limits::SMTP_IDLE)
        {
            return false;
        }
        // Anything to read now is a goodbye or the end of the stream.
        let mut byte = [0; 1];
        tokio::select! {
            biased;
            _ = self.stream.read(&mut byte) => false,
            () = std::future::ready(()) => true,
        }
    }

    /// Whether nothing of the current mail can have been taken by the server.
    #[must_use]
    pub fn is_not_sent(&self) -> bool {
        self.session.delivery() == Delivery::NotSent
    }

    /// Whether it can take another mail.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    /// Hands a mail over.
    pub async fn deliver(
        &mut self,
        core: &Core,
        mail: &Composed,
        operation: &Operation,
        patience: &Patience,
    ) -> Result<Delivered, Error> {
        let kind = BodyKind { needs_8bit: mail.needs_8bit, needs_smtputf8: mail.needs_smtputf8 };
        self.session.send(&mail.envelope, mail.data.size(), kind)?;
        let mut recipients = Vec::with_capacity(mail.envelope.to().len());
        let outcome = loop {
            match self.step(patience).await? {
                Event::Recipient { outcome, .. } => recipients.push(outcome),
                Event::BodyWanted => {
                    self.write_body(core, &mail.data, patience).await?;
                    operation.in_doubt.store(true, Ordering::SeqCst);
                    self.session.end_of_body();
                }
                Event::Sent { reply, message_id } => break Ok(Accepted { reply, message_id }),
                Event::MailRefused(refusal) => break Err(refusal),
                Event::Goodbye(refusal) => return Err(refusal.report.into()),
                event => return Err(self.unexpected(&event)),
            }
        };
        operation.in_doubt.store(false, Ordering::SeqCst);
        self.used = core.clock.now();
        Ok(Delivered { recipients, outcome })
    }

    /// Streams the mail data. The next piece is read while one goes out.
    async fn write_body(&mut self, core: &Core, data: &Arc<MailData>, patience: &Patience) -> Result<(), Error> {
        let (mut reader, mut piece) = read_piece(core, data.reader(), Vec::new()).await?;
        let mut spare = Vec::new();
        while !piece.is_empty() {
            self.session.body(&piece);
            let (written, next) = tokio::join!(self.write(patience), read_piece(core, reader, spare));
            written?;
            spare = piece;
            (reader, piece) = next?;
        }
        Ok(())
    }

    /// Who issued the certificates that the server showed, its own first.
    #[must_use]
    pub(super) fn issuers(&self) -> Vec<String> {
        self.stream.issuers()
    }

    /// Says goodbye; whether the server answers does not matter.
    pub async fn quit(mut self) {
        self.session.quit();
        let farewell = self.session.output();
        let _ = tokio::time::timeout(LAST_WORD, async {
            self.stream.write_all(&farewell).await?;
            self.stream.shutdown().await
        })
        .await;
    }

    /// Moves bytes until something happens.
    async fn step(&mut self, patience: &Patience) -> Result<Event, Error> {
        loop {
            self.write(patience).await?;
            if let Some(event) = self.session.event() {
                return Ok(event);
            }
            let mut buffer = [0; 4096];
            let step = self.session.waiting_for().deadline(&self.timeouts);
            match patience.within(step, self.stream.read(&mut buffer)).await {
                Ok(Ok(0)) => self.broken(std::io::ErrorKind::UnexpectedEof.into())?,
                Ok(Ok(length)) => {
                    if let Some(sent) = self.received(buffer.get(..length).unwrap_or_default())? {
                        return Ok(sent);
                    }
                }
                Ok(Err(error)) => self.broken(error)?,
                Err(interrupted) => {
                    if self.session.delivery() == Delivery::Unknown && patience.cancel.is_cancelled() {
                        // Whoever cancels now would rather know: the answer is mostly on its way.
                        let heard = tokio::time::timeout(LAST_WORD, self.stream.read(&mut buffer)).await;
                        if let Ok(Ok(length @ 1..)) = heard {
                            if let Some(sent) = self.received(buffer.get(..length).unwrap_or_default())? {
                                return Ok(sent);
                            }
                            continue;
                        }
                    }
                    return Err(self.interrupted(interrupted));
                }
            }
        }
    }

    /// Takes what the server said. A mail that was accepted is accepted, whatever nonsense came behind the reply.
    fn received(&mut self, bytes: &[u8]) -> Result<Option<Event>, Error> {
        match self.session.receive(bytes) {
            Ok(()) => Ok(None),
            Err(error) => match self.session.event() {
                Some(sent @ Event::Sent { .. }) => Ok(Some(sent)),
                _ => Err(error.into()),
            },
        }
    }

    async fn write(&mut self, patience: &Patience) -> Result<(), Error> {
        let output = self.session.output();
        if output.is_empty() {
            return Ok(());
        }
        let written = patience.within(Some(self.timeouts.smtp_body_block()), async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                // A server that gives up in the middle says why before it closes.
                let mut buffer = [0; 4096];
                let last_word = tokio::time::timeout(LAST_WORD, self.stream.read(&mut buffer)).await;
                if let Ok(Ok(length @ 1..)) = last_word {
                    self.session.receive(buffer.get(..length).unwrap_or_default())?;
                    if let Some(Event::Goodbye(refusal) | Event::MailRefused(refusal)) = self.session.event() {
                        return Err(refusal.report.into());
                    }
                }
                self.broken(error)
            }
            Err(interrupted) => Err(self.interrupted(interrupted)),
        }
    }

    fn broken(&mut self, source: std::io::Error) -> Result<(), Error> {
        self.session.closed()?;
        Err(net::Error::Broken { host: self.host.clone(), source }.into())
    }

    /// The session knows whether the mail is in doubt; if it is not, the caller's reason stands.
    fn interrupted(&mut self, interrupted: Interrupted) -> Error {
        let in_doubt = self.session.delivery() == Delivery::Unknown;
        let meaning = self.session.timed_out();
        match interrupted {
            Interrupted::Caller(error) if !in_doubt => error.into(),
            Interrupted::Caller(_) | Interrupted::Step => meaning.into(),
        }
    }

    fn unexpected(&self, event: &Event) -> Error {
        let name = match event {
            Event::Closed => {
                return net::Error::Broken {
                    host: self.host.clone(),
                    source: std::io::ErrorKind::UnexpectedEof.into(),
                }
                .into();
            }
            _ => "the SMTP session told of something out of turn",
        };
        Error::Internal(name)
    }
}
