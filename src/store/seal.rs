//! Sealing of secrets at rest: XChaCha20-Poly1305 with a random nonce (draft-irtf-cfrg-xchacha, RFC 8439). Where a
//! secret belongs is authenticated with it, so that a record copied to another place does not open there.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

use super::Error;

/// Octets of a key.
pub const KEY: usize = 32;
const NONCE: usize = 24;
/// The first octet of what is sealed: a later way of sealing has another.
const FORMAT: u8 = 1;

/// The key that seals a store.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; KEY]>);

impl DataKey {
    /// A new one, from the operating system's generator.
    pub fn random() -> Result<Self, Error> {
        let mut key = Self(Zeroizing::default());
        random(&mut *key.0)?;
        Ok(key)
    }

    /// From its octets, if there are as many as there must be.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Self(Zeroizing::default());
        (bytes.len() == KEY).then(|| key.0.copy_from_slice(bytes))?;
        Some(key)
    }

    /// From base64 of its octets.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text).map(Zeroizing::new).ok()?;
        Self::from_bytes(&bytes)
    }

    /// Its octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &*self.0
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DataKey(…)")
    }
}

impl PartialEq for DataKey {
    fn eq(&self, other: &Self) -> bool {
        // Takes the same time wherever they differ.
        self.0.iter().zip(other.0.iter()).fold(0, |differing, (one, other)| differing | (one ^ other)) == 0
    }
}

impl Eq for DataKey {}

impl<'de> Deserialize<'de> for DataKey {
    /// From base64. The text is read in place, and what is said of a wrong one does not quote it.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl de::Visitor<'_> for Base64 {
            type Value = DataKey;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "\"key\" as base64 of {KEY} octets")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<DataKey, E> {
                DataKey::from_base64(text)
                    .ok_or_else(|| E::custom(format_args!("\"key\" must be base64 of {KEY} octets")))
            }
        }

        deserializer.deserialize_str(Base64)
    }
}

/// Where a secret belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The identifier of the record.
    pub row: &'a str,
    /// The column.
    pub column: &'a str,
}

impl Place<'_> {
    /// Names of tables and columns, and identifiers, hold no NUL.
    fn name(&self) -> String {
        format!("{}\0{}\0{}", self.table, self.row, self.column)
    }
}

/// What seals and opens.
pub struct Seal(XChaCha20Poly1305);

impl Seal {
    /// With a key.
    pub fn new(key: &DataKey) -> Result<Self, Error> {
        XChaCha20Poly1305::new_from_slice(key.as_bytes()).map(Self).map_err(|_| Error::KeyWrong)
    }

    /// Seals a secret for its place.
    pub fn seal(&self, place: Place<'_>, secret: &SecretString) -> Result<Vec<u8>, Error> {
        let mut nonce = [0; NONCE];
        random(&mut nonce)?;
        let place = place.name();
        let payload = Payload { msg: secret.expose_secret().as_bytes(), aad: place.as_bytes() };
        let failed = |_| Error::Failed { reason: "a record could not be sealed".to_owned() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(failed)?;
        Ok([&[FORMAT][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<SecretString, Error> {
        let (format, rest) = sealed.split_first().ok_or(Error::Sealed)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Error::Sealed)?;
        if *format != FORMAT {
            return Err(Error::Sealed);
        }
        let place = place.name();
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let bytes = self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| Error::Sealed)?;
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::Sealed)?;
        Ok(SecretString::from(text))
    }
}

fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Failed { reason: format!("no randomness: {error}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { table: "grants", row: "1", column: "access_token" };

    #[test]
    fn what_is_sealed_opens_in_its_place_and_nowhere_else() {
        let key = DataKey::random().unwrap();
        let seal = Seal::new(&key).unwrap();
        let sealed = seal.seal(PLACE, &"secret".into()).unwrap();
        assert!(!sealed.windows(6).any(|bytes| bytes == b"secret"));
        assert_ne!(sealed, seal.seal(PLACE, &"secret".into()).unwrap(), "the nonce is random");
        assert_eq!(seal.open(PLACE, &sealed).unwrap().expose_secret(), "secret");
        for place in
            [Place { table: "other", ..PLACE }, Place { row: "2", ..PLACE }, Place { column: "refresh_token", ..PLACE }]
        {
            assert!(matches!(seal.open(place, &sealed), Err(Error::Sealed)), "{place:?}");
        }
        let other = Seal::new(&DataKey::random().unwrap()).unwrap();
        assert!(matches!(other.open(PLACE, &sealed), Err(Error::Sealed)));
    }

    #[test]
    fn a_changed_or_short_record_does_not_open() {
        let seal = Seal::new(&DataKey::random().unwrap()).unwrap();
        let sealed = seal.seal(PLACE, &"secret".into()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open(PLACE, &changed).is_err(), "octet {at}");
            assert!(seal.open(PLACE, &sealed[..at]).is_err(), "{at} octets");
        }
    }

    #[test]
    fn a_key_is_neither_printed_nor_quoted() {
        let text = STANDARD.encode([7; KEY]);
        let key: DataKey = serde_json::from_str(&format!("\"{text}\"")).unwrap();
        assert_eq!(key.as_bytes(), [7; KEY]);
        assert_eq!(format!("{key:?}"), "DataKey(…)");
        assert!(key == key.clone() && key != DataKey::random().unwrap());
        for wrong in [text.trim_end_matches('='), "AAAA", ""] {
            let error = serde_json::from_str::<DataKey>(&format!("\"{wrong}\"")).unwrap_err().to_string();
            assert!(error.contains("base64 of 32"), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
