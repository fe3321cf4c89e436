//! The authority that the simulator makes for itself, and what it shows at a handshake.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// Every name that a client may know a loopback server by.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// A certificate that a client has to refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Flaw {
    /// Right name, right dates, made by an authority that nobody knows.
    UnknownIssuer,
    WrongName,
    Expired,
    NotYetValid,
}

/// The authority and the server configuration for a good handshake.
pub(crate) struct Certificates {
    authority: Issuer<'static, KeyPair>,
    good: Arc<ServerConfig>,
}

impl Certificates {
    /// Makes an authority, or takes up the one that an earlier run left in `directory`.
    pub(crate) fn in_directory(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let (key_file, ca_file) = (directory.join("ca-key.pem"), directory.join("ca.pem"));
        let authority = if key_file.exists() && ca_file.exists() {
            // Name and key are all that ties a leaf to its issuer, and both are the same as then.
            let key = KeyPair::from_pem(&fs::read_to_string(&key_file)?).map_err(io::Error::other)?;
            Issuer::new(authority_params(), key)
        } else {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            let params = authority_params();
            let certificate = params.self_signed(&key).map_err(io::Error::other)?;
            write_private(&key_file, &key.serialize_pem())?;
            fs::write(&ca_file, certificate.pem())?;
            Issuer::new(params, key)
        };
        let good = serve(&authority, &leaf_params(&NAMES)?)?;
        Ok(Self { authority, good })
    }

    pub(crate) fn good(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.good)
    }

    pub(crate) fn flawed(&self, flaw: Flaw) -> io::Result<Arc<ServerConfig>> {
        let now = OffsetDateTime::now_utc();
        let mut params = leaf_params(&NAMES)?;
        match flaw {
            Flaw::UnknownIssuer => {
                let key = KeyPair::generate().map_err(io::Error::other)?;
                return serve(&Issuer::new(authority_params(), key), &params);
            }
            Flaw::WrongName => params = leaf_params(&["mail.other.example"])?,
            Flaw::Expired => {
                params.not_before = now - Duration::days(60);
                params.not_after = now - Duration::days(30);
            }
            Flaw::NotYetValid => {
                params.not_before = now + Duration::days(30);
                params.not_after = now + Duration::days(60);
            }
        }
        serve(&self.authority, &params)
    }
}

fn authority_params() -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Exchange simulator test authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = now - Duration::days(1);
    params.not_after = now + Duration::days(3650);
    params
}

fn leaf_params(names: &[&str]) -> io::Result<CertificateParams> {
    let now = OffsetDateTime::now_utc();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, "Exchange simulator");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - Duration::days(1);
    // Apple refuses leaves that live longer than 825 days.
    params.not_after = now + Duration::days(365);
    Ok(params)
}

fn serve(authority: &Issuer<'_, KeyPair>, params: &CertificateParams) -> io::Result<Arc<ServerConfig>> {
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.signed_by(&key, authority).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

#[cfg(unix)]
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(not(unix))]
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
}
