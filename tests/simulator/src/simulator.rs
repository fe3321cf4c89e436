//! The simulator as a value: started, asked, dropped.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::certificates::Certificates;
use crate::identity::jwt::Signer;
use crate::options::Options;
use crate::state::{Mail, Request, SmtpSession, State};
use crate::{http, smtp};

/// A running Microsoft. Dropping it closes its ports and connections.
pub struct Simulator {
    state: Arc<State>,
    smtp_port: u16,
    ca_file: PathBuf,
    settings: String,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
    /// Removed on drop.
    _temporary: Option<TempDir>,
}

impl Simulator {
    /// Starts on 127.0.0.1 and returns when both ports listen.
    ///
    /// # Errors
    ///
    /// A port that is taken, a directory that cannot be written, no threads.
    pub fn start(options: Options) -> io::Result<Self> {
        if options.accounts.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a tenant needs an account"));
        }
        let temporary =
            if options.directory.is_none() { Some(TempDir::with_prefix("exchange-simulator-")?) } else { None };
        let directory = match (&options.directory, &temporary) {
            (Some(directory), _) => directory.clone(),
            (None, Some(temporary)) => temporary.path().to_owned(),
            (None, None) => PathBuf::new(),
        };
        let certificates = Certificates::in_directory(&directory)?;
        let ca_file = directory.canonicalize()?.join("ca.pem");
        let signer = Signer::new().map_err(|_| io::Error::other("no signing key"))?;
        let ports = (options.identity_port, options.smtp_port);
        let state = Arc::new(State::new(options, certificates, signer));

        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::channel();
        let server = std::thread::Builder::new().name("exchange-simulator".into()).spawn({
            let state = Arc::clone(&state);
            move || serve(state, ports, &started, stopped)
        })?;
        let (identity_port, smtp_port) = start.recv().map_err(io::Error::other)??;

        let identity_url = format!("https://localhost:{identity_port}");
        let settings = State::settings_for(&identity_url, smtp_port, &ca_file);
        let settings_text = settings.to_string();
        // Set once, here; a request that is quicker gets an answer without addresses.
        let _ = state.settings.set(settings);
        let _ = state.identity_url.set(identity_url);
        Ok(Self {
            state,
            smtp_port,
            ca_file,
            settings: settings_text,
            stop: Some(stop),
            server: Some(server),
            _temporary: temporary,
        })
    }

    /// The certificate of the authority that signed for both ports.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// `https://localhost:PORT`, without a slash at the end.
    #[must_use]
    pub fn identity_url(&self) -> String {
        self.state.identity_url().to_owned()
    }

    /// Port of SMTP submission on 127.0.0.1.
    #[must_use]
    pub fn smtp_port(&self) -> u16 {
        self.smtp_port
    }

    /// The tenant's GUID.
    #[must_use]
    pub fn tenant_id(&self) -> &str {
        &self.state.options.tenant_id
    }

    /// The app registration's GUID.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.state.options.client_id
    }

    /// User principal name of the first account.
    #[must_use]
    pub fn account(&self) -> &str {
        self.state.options.accounts.first().map(|account| account.upn.as_str()).unwrap_or_default()
    }

    /// Exactly what a host passes as system settings.
    #[must_use]
    pub fn settings_json(&self) -> String {
        self.settings.clone()
    }

    /// The person types the code and signs in as [`Self::account`].
    ///
    /// # Panics
    ///
    /// If no such code waits.
    pub fn approve(&self, user_code: &str) {
        self.approve_as(user_code, self.account());
    }

    /// The person types the code and signs in as `upn`.
    ///
    /// # Panics
    ///
    /// If no such code waits, or no such account is there.
    pub fn approve_as(&self, user_code: &str, upn: &str) {
        must("approve", self.state.approve(user_code, upn));
    }

    /// The person types the code and then says no.
    ///
    /// # Panics
    ///
    /// If no such code waits.
    pub fn decline(&self, user_code: &str) {
        must("decline", self.state.decline(user_code));
    }

    /// Ends every refresh token of an account, as a password reset does.
    ///
    /// # Panics
    ///
    /// If no such account is there.
    pub fn revoke(&self, upn: &str) {
        must("revoke", self.state.revoke(upn));
    }

    /// Changes some of the service's settings: the README lists them.
    ///
    /// # Panics
    ///
    /// On an unknown name or a value of the wrong type.
    pub fn set(&self, knobs: Value) {
        must("set", self.state.set(&knobs));
    }

    /// Adds a rule of misbehaviour: the README lists the names.
    ///
    /// # Panics
    ///
    /// On a rule that is not understood or could never come to pass.
    pub fn misbehave(&self, rule: Value) {
        must("misbehave", self.state.misbehave(&rule));
    }

    /// Clears all rules.
    pub fn behave(&self) {
        self.state.inner().rules.clear();
    }

    /// Lets time pass for everything that expires: codes, tokens, rate limits.
    pub fn advance(&self, by: Duration) {
        self.state.clock.push(by);
    }

    /// Every accepted message, oldest first.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.state.inner().mails.clone()
    }

    /// Waits until there are `count` messages, for `timeout` at most; returns what is there then.
    #[must_use]
    pub fn wait_for_mails(&self, count: usize, timeout: Duration) -> Vec<Mail> {
        self.state.wait_for_mails(count, timeout)
    }

    /// Every request to the identity half, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state.inner().requests.clone()
    }

    /// Every SMTP connection, oldest first.
    #[must_use]
    pub fn smtp_sessions(&self) -> Vec<SmtpSession> {
        self.state.inner().sessions.clone()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulator")
            .field("identity_url", &self.identity_url())
            .field("smtp_port", &self.smtp_port)
            .finish_non_exhaustive()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

/// A test that misspells a rule must not pass.
#[track_caller]
fn must(what: &str, result: Result<(), String>) {
    if let Err(error) = result {
        panic!("simulator: {what}: {error}");
    }
}

type Started = io::Result<(u16, u16)>;

/// The server's thread: a runtime of its own, so that the caller needs none and may have any.
fn serve(state: Arc<State>, ports: (u16, u16), started: &mpsc::Sender<Started>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("exchange-simulator-worker")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    runtime.block_on(async {
        let listen = async {
            let (identity, smtp) = (bind(ports.0).await?, bind(ports.1).await?);
            let bound = (identity.local_addr()?.port(), smtp.local_addr()?.port());
            io::Result::Ok((identity, smtp, bound))
        };
        match listen.await {
            Ok((identity, smtp, bound)) => {
                tokio::spawn(http::serve(identity, Arc::clone(&state)));
                tokio::spawn(smtp::serve(smtp, state));
                let _ = started.send(Ok(bound));
                let _ = stopped.await;
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    runtime.shutdown_timeout(Duration::from_millis(500));
}

async fn bind(port: u16) -> io::Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))
}
