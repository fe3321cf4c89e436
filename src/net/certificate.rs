//! Who issued a certificate: what tells a firewall that inspects TLS from the service itself.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Longest name that is shown, in characters.
const NAME: usize = 120;

/// The issuer of a certificate as people know it: organisation and common name, as far as they are there.
#[must_use]
pub fn issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.issuer();
    let organization = text(name.iter_organization());
    let common = text(name.iter_common_name());
    match (organization, common) {
        (Some(organization), Some(common)) if organization != common => Some(format!("{common} ({organization})")),
        (Some(name), _) | (None, Some(name)) => Some(name),
        (None, None) => Some(shown(&name.to_string())),
    }
}

fn text<'a>(mut attributes: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>) -> Option<String> {
    attributes.find_map(|attribute| attribute.as_str().ok()).filter(|name| !name.is_empty()).map(shown)
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(NAME).collect()
}

/// A verifier that also tells who issued what it refused.
#[derive(Debug)]
pub(super) struct Naming(pub(super) Arc<dyn ServerCertVerifier>);

/// Why a certificate was refused, and who issued it.
#[derive(Debug)]
pub(super) struct Refused {
    reason: String,
    pub(super) issuer: Option<String>,
    /// Nothing is wrong with it but that nobody whom we trust issued it.
    pub(super) untrusted: bool,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for Refused {}

impl ServerCertVerifier for Naming {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            rustls::Error::InvalidCertificate(reason) => {
                let untrusted = matches!(reason, CertificateError::UnknownIssuer);
                let refused = Refused { reason: reason.to_string(), issuer: issuer(end_entity), untrusted };
                rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
