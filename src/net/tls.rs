//! TLS: which authorities are trusted. One configuration for HTTP, SMTP, IMAP and POP3.

use std::io::Read;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{CertificateError, ClientConfig, OtherError};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use serde::{Deserialize, Serialize};

use super::Error;
use super::certificate::{Naming, Refused};

/// Whom to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roots {
    /// The system's authorities, a company's own among them, and those of the `ca_file`s.
    #[default]
    Platform,
    /// Those of the `ca_file`s only.
    File,
}

/// Longest file with certificates that is read, in octets; a system's whole bundle has a quarter of a million.
const PEM: u64 = 16 * 1024 * 1024;

/// Builds a client configuration: TLS 1.2 and 1.3, no client certificates, no key log.
pub fn configuration(roots: Roots, ca_files: &[&str]) -> Result<Arc<ClientConfig>, Error> {
    let mut extra = Vec::new();
    for path in ca_files {
        extra.extend(read_pem(path)?);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| Error::Roots { reason: error.to_string() };
    let builder = builder(&provider).map_err(unusable)?;
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        Roots::Platform => Arc::new(Verifier::new_with_extra_roots(extra, provider).map_err(unusable)?),
        Roots::File => {
            if extra.is_empty() {
                // Nobody is trusted, which the verifier below would not take.
                return Ok(Arc::new(
                    builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
                ));
            }
            let mut store = rustls::RootCertStore::empty();
            for certificate in extra {
                store.add(certificate).map_err(unusable)?;
            }
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider).build();
            verifier.map_err(|error| Error::Roots { reason: error.to_string() })?
        }
    };
    let config = builder.dangerous().with_custom_certificate_verifier(Arc::new(Naming(verifier)));
    Ok(Arc::new(config.with_no_client_auth()))
}

fn builder(
    provider: &Arc<CryptoProvider>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::clone(provider)).with_safe_default_protocol_versions()
}

fn read_pem(path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unusable = |reason: String| Error::CaFile { path: path.to_owned(), reason };
    let system_says = |error: std::io::Error| unusable(error.to_string());
    // Asked before it is opened: a named pipe would keep the opening thread for ever.
    if !std::fs::metadata(path).map_err(system_says)?.is_file() {
        return Err(unusable("it is not a regular file".to_owned()));
    }
    let mut pem = Vec::new();
    let mut file = std::fs::File::open(path).map_err(system_says)?.take(PEM + 1);
    let length = file.read_to_end(&mut pem).map_err(system_says)?;
    if length as u64 > PEM {
        return Err(unusable(format!("it is longer than {PEM} octets")));
    }
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() {
        return Err(unusable("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The error of a handshake, told apart: certificate or something else.
pub(super) fn handshake_error(host: &str, error: &rustls::Error) -> Error {
    let host = host.to_owned();
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(refused))) => {
            match refused.downcast_ref::<Refused>() {
                Some(Refused { issuer: Some(issuer), untrusted: true, .. }) => {
                    Error::Issuer { host, issuer: issuer.clone() }
                }
                named => {
                    let issuer = named.and_then(|named| named.issuer.clone());
                    Error::Certificate { host, reason: refused.to_string(), issuer }
                }
            }
        }
        rustls::Error::InvalidCertificate(reason) => {
            Error::Certificate { host, reason: reason.to_string(), issuer: None }
        }
        other => Error::Tls { host, reason: other.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_certificates_says_so() {
        let missing = configuration(Roots::File, &["/nonexistent/ca.pem"]).unwrap_err();
        assert!(matches!(missing, Error::CaFile { .. }), "{missing}");
        let device = configuration(Roots::Platform, &["/dev/zero"]).unwrap_err();
        assert!(device.to_string().contains("regular file"), "{device}");
        let empty = configuration(Roots::File, &[concat!(env!("CARGO_MANIFEST_DIR"), "/LICENSE")]).unwrap_err();
        assert!(empty.to_string().contains("no certificate"), "{empty}");
    }
}
