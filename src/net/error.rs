//! What can go wrong on the network, with whom.

use std::net::IpAddr;

use super::road::Family;
use crate::base::{Report, Status};

/// What helps when something else than an HTTP proxy, or nothing, is where the proxy should be.
const PROXY_ADDRESS: &str = "Check the proxy's address: the connector's option \"proxy\", or with \"system\" the variable \
                             HTTPS_PROXY and the system's settings.";

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
    /// Nobody answers at all: mostly a firewall drops what is sent there.
    #[error("{host}:{port} did not answer in time")]
    Silent {
        /// The name.
        host: String,
        /// The port.
        port: u16,
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
        /// Who issued it.
        issuer: Option<String>,
    },
    /// The certificate was issued by somebody whom this computer does not trust: mostly a firewall that inspects TLS.
    #[error("the certificate of {host} was issued by {issuer}, which is not trusted")]
    Issuer {
        /// The name.
        host: String,
        /// Who issued it.
        issuer: String,
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
    /// The name has addresses, but none that may be used.
    #[error("{host} has no address of the family that is set")]
    NoAddress {
        /// The name.
        host: String,
        /// The family.
        family: Family,
    },
    /// The address from which we are to connect is not this computer's.
    #[error("connections cannot begin at {address}")]
    Bind {
        /// The setting.
        address: IpAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The proxy itself cannot be reached.
    #[error("the proxy {proxy} cannot be reached")]
    ProxyUnreachable {
        /// Its name and port.
        proxy: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The proxy wants to know who we are.
    #[error("the proxy {proxy} {}", if *.given { "does not take the login" } else { "lets nobody through without a login" })]
    ProxyLogin {
        /// Its name and port.
        proxy: String,
        /// Whether it was told.
        given: bool,
        /// The HTTP status.
        status: u16,
        /// The ways of authentication that it knows; may be empty.
        offered: Vec<String>,
    },
    /// The proxy did not open a way to the host.
    #[error("the proxy {proxy} does not let us reach {host}:{port} (HTTP {status})")]
    ProxyRefused {
        /// Its name and port.
        proxy: String,
        /// The host behind it.
        host: String,
        /// The port behind it.
        port: u16,
        /// The HTTP status.
        status: u16,
    },
    /// The proxy was asked for the host and said nothing: mostly the host does not answer it.
    #[error("the proxy {proxy} did not reach {host}:{port} in time")]
    ProxyDeadline {
        /// Its name and port.
        proxy: String,
        /// The host behind it.
        host: String,
        /// The port behind it.
        port: u16,
    },
    /// What answers is no HTTP proxy, or it broke off.
    #[error("the proxy {proxy} gave no usable answer: {reason}")]
    ProxyAnswer {
        /// Its name and port.
        proxy: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A proxy of a kind that we do not know, or without a proper name.
    #[error("the proxy {scheme}://{proxy} cannot be used")]
    ProxyUnusable {
        /// Its name.
        proxy: String,
        /// The scheme of its address.
        scheme: String,
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
            Self::Silent { host, port } => {
                Report::new(Status::Network, format!("{host} did not answer on port {port} in time while connecting."))
                    .transient()
                    .remedy(format!(
                        "Allow this server to reach {host} on TCP port {port} in the firewall, which seems to drop its \
                         connections without a word."
                    ))
            }
            Self::Deadline { host, step } => {
                Report::new(Status::Network, format!("{host} did not answer in time while {step}."))
                    .transient()
                    .remedy(format!("Check the network and whether a firewall silently drops connections to {host}."))
            }
            Self::Certificate { host, reason, issuer } => {
                let issued = issuer.as_ref().map(|issuer| format!(" It was issued by {issuer}.")).unwrap_or_default();
                let message = format!("The certificate of {host} is not trusted: {reason}.{issued}");
                Report::new(Status::Certificate, message).remedy(
                    "If a firewall or proxy inspects TLS here, exempt this host from inspection, or add the company's \
                 certificate authority to the system's trusted roots or as \"ca_file\". If the certificate is said \
                 to be expired or not yet valid, check this computer's clock.",
                )
            }
            Self::Issuer { host, issuer } => {
                let message = format!(
                    "The certificate of {host} is not trusted: it was issued by \"{issuer}\", whom this computer does \
                     not know. Mostly that is a firewall or proxy that inspects TLS."
                );
                Report::new(Status::Certificate, message).remedy(format!(
                    "Exempt {host} from TLS inspection in the firewall or proxy. If it inspects TLS on purpose, add \
                     \"{issuer}\" to the system's trusted roots, or its certificate as \"ca_file\"."
                ))
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
            Self::NoAddress { host, family } => {
                let family = match family {
                    Family::Any => "usable",
                    Family::Ipv4 => "IPv4",
                    Family::Ipv6 => "IPv6",
                };
                Report::new(Status::NameResolution, format!("{host} has no {family} address.")).remedy(
                    "Set the connector's option \"ip_family\" to \"any\", and \"bind_address\", if it is set, to an \
                     address of the other family.",
                )
            }
            Self::Bind { address, source } => {
                Report::new(Status::Network, format!("Connections cannot begin at the address {address}: {source}."))
                    .remedy("Set the connector's option \"bind_address\" to an address of this computer, or remove it.")
            }
            Self::ProxyUnreachable { proxy, source } => {
                let inner = source.report();
                let told =
                    Report::new(Status::Proxy, format!("The proxy {proxy} cannot be reached: {}", inner.message))
                        .remedy(format!("{PROXY_ADDRESS} {}", inner.remedy.as_deref().unwrap_or_default()).trim_end());
                if inner.transient { told.transient() } else { told }
            }
            Self::ProxyLogin { proxy, given, status, offered } => {
                let message = if *given {
                    format!(
                        "The proxy {proxy} does not accept the user name and password that it was given (HTTP {status})."
                    )
                } else {
                    format!("The proxy {proxy} wants a user name and a password (HTTP {status}).")
                };
                let knows_basic = offered.is_empty() || offered.iter().any(|way| way.eq_ignore_ascii_case("Basic"));
                let remedy = if knows_basic {
                    "Set them in the connector's option \"proxy\" as http://user:password@host:port, with special \
                     characters percent-encoded; with \"system\" they are those of the variable HTTPS_PROXY. Or let the \
                     proxy admit this computer without."
                        .to_owned()
                } else {
                    format!(
                        "It knows {} only, and this library Basic only: ask the network administrator to let this \
                         computer through without authentication or with Basic, or set the connector's option \"proxy\" \
                         to another proxy.",
                        offered.join(", ")
                    )
                };
                Report::new(Status::Proxy, message).remedy(remedy)
            }
            Self::ProxyRefused { proxy, host, port, status } => {
                let told = Report::new(
                    Status::Proxy,
                    format!("The proxy {proxy} does not let us reach {host}:{port} (HTTP {status})."),
                );
                if *status >= 500 {
                    told.transient().remedy(format!(
                        "Ask the network administrator whether the proxy can reach {host} on port {port}, and may \
                         (CONNECT).",
                    ))
                } else {
                    told.remedy(format!(
                        "Ask the network administrator to allow CONNECT to port {port} of {host} in the proxy, or to let \
                         this computer go directly (the connector's option \"proxy\": \"none\", or NO_PROXY).",
                    ))
                }
            }
            Self::ProxyDeadline { proxy, host, port } => Report::new(
                Status::Proxy,
                format!("The proxy {proxy} did not reach {host}:{port} in time."),
            )
            .transient()
            .remedy(format!(
                "Ask the network administrator whether the proxy can reach {host} on port {port}; or give it more \
                         time by the connector's option \"timeouts\" (\"connect_s\").",
            )),
            Self::ProxyAnswer { proxy, reason } => {
                Report::new(Status::Proxy, format!("The proxy {proxy} gave no usable answer: {reason}."))
                    .transient()
                    .remedy(PROXY_ADDRESS)
            }
            Self::ProxyUnusable { proxy, scheme } => Report::new(
                Status::Proxy,
                format!("The proxy {scheme}://{proxy} that this system names cannot be used: it is not an HTTP proxy."),
            )
            .remedy("Set the connector's option \"proxy\" to an HTTP proxy (http://host:port) or to \"none\"."),
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
