//! What can go wrong on the network, with whom.

use crate::base::{Report, Status};

/// A failure of the network layer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name has no address, or no name server answered.
    #[error("{host} cannot be resolved")]
    NameResolution {
        /// The name.
        host: String,
    },
    /// Nobody listens, or something forbids it.
    #[error("no connection to {host}:{port}")]
    Connect {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A step took longer than its deadline.
    #[error("{host} did not answer in time ({step})")]
    Deadline {
        /// The name.
        host: String,
        /// What was waited for.
        step: &'static str,
    },
    /// The certificate is not trusted or not of this name.
    #[error("the certificate of {host} is not trusted: {reason}")]
    Certificate {
        /// The name.
        host: String,
        /// What rustls says.
        reason: String,
    },
    /// The handshake failed otherwise.
    #[error("no TLS with {host}: {reason}")]
    Tls {
        /// The name.
        host: String,
        /// What rustls or the system says.
        reason: String,
    },
    /// The connection was lost.
    #[error("the connection to {host} broke")]
    Broken {
        /// The name.
        host: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The proxy refused.
    #[error("the proxy did not let {host} through: {reason}")]
    Proxy {
        /// The name.
        host: String,
        /// What it said.
        reason: String,
    },
    /// The answer is longer than any sensible one.
    #[error("the answer of {host} is too long")]
    TooLong {
        /// The name.
        host: String,
    },
    /// The file with certificate authorities cannot be used.
    #[error("the certificate file {path} cannot be used: {reason}")]
    CaFile {
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// The system's certificate authorities cannot be used.
    #[error("the system's certificate authorities cannot be used: {reason}")]
    Roots {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::NameResolution { host } => {
                Report::new(Status::NameResolution, format!("The name {host} cannot be resolved.")).transient().remedy(
                    "Check this server's DNS settings and that the name is spelled right; a firewall may block DNS.",
                )
            }
            Self::Connect { host, port, source } => {
                Report::new(Status::Network, format!("No connection to {host} on port {port}: {source}."))
                    .transient()
                    .remedy(format!("Allow this server to reach {host} on TCP port {port} in the firewall."))
            }
            Self::Deadline { host, step } => {
                Report::new(Status::Network, format!("{host} did not answer in time while {step}."))
                    .transient()
                    .remedy(format!("Check the network and whether a firewall silently drops connections to {host}."))
            }
            Self::Certificate { host, reason } => {
                Report::new(Status::Certificate, format!("The certificate of {host} is not trusted: {reason}.")).remedy(
                    "If a firewall or proxy inspects TLS here, exempt this host from inspection, or add the company's \
                 certificate authority to the system's trusted roots or as \"ca_file\". If the certificate is said \
                 to be expired or not yet valid, check this computer's clock.",
                )
            }
            Self::Tls { host, reason } => {
                Report::new(Status::Tls, format!("No secure connection to {host}: {reason}."))
                    .remedy("Check that the port speaks TLS 1.2 or newer and that no firewall interferes.")
            }
            Self::Broken { host, source } => {
                {
                    // rustls tells of it with a link to its documentation.
                    let why = match source.kind() {
                        std::io::ErrorKind::UnexpectedEof => "the other side closed it".to_owned(),
                        _ => source.to_string(),
                    };
                    Report::new(Status::Network, format!("The connection to {host} broke: {why}."))
                        .transient()
                        .remedy("Try again; if it happens often, look for a firewall or proxy that cuts connections.")
                }
            }
            Self::Proxy { host, reason } => {
                Report::new(Status::Proxy, format!("The proxy did not let the connection to {host} through: {reason}."))
                    .remedy(format!("Allow {host} in the proxy, give the proxy's user and password, or go around it."))
            }
            Self::TooLong { host } => {
                Report::new(Status::Protocol, format!("The answer of {host} is longer than any sensible one."))
                    .remedy("Check that no proxy or firewall answers in its place.")
            }
            Self::CaFile { path, reason } => {
                Report::new(Status::File, format!("The certificate file {path} cannot be used: {reason}."))
                    .remedy("Give the path of a readable PEM file with certificates as \"ca_file\".")
            }
            Self::Roots { reason } => Report::new(
                Status::Certificate,
                format!("This system has no usable certificate authorities: {reason}."),
            )
            .remedy("Install the system's CA certificates (Debian: package ca-certificates)."),
        }
    }
}
