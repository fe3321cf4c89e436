//! Names that are made up: GUIDs, codes, opaque secrets.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Letters and digits of a user code. Vowels and look-alikes are left out, as Microsoft does.
const CODE_ALPHABET: &[u8] = b"BCDFGHJKLMNPQRSTVWXYZ23456789";
/// Codes of work accounts have nine characters.
const CODE_LENGTH: usize = 9;

pub(crate) fn random(buffer: &mut [u8]) {
    // The operating system's source does not fail on a machine that can also do TLS.
    SystemRandom::new().fill(buffer).expect("the operating system gives random octets");
}

pub(crate) fn guid() -> String {
    let mut raw = [0; 16];
    random(&mut raw);
    format_guid(raw)
}

/// A GUID that is always the same for the same name, so that two runs know an account by one oid.
pub(crate) fn guid_of(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.to_lowercase().as_bytes());
    let mut raw = [0; 16];
    raw.copy_from_slice(&hash.as_ref()[..16]);
    format_guid(raw)
}

fn format_guid(mut raw: [u8; 16]) -> String {
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let hex: String = raw.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

pub(crate) fn user_code() -> String {
    let mut raw = [0; CODE_LENGTH];
    random(&mut raw);
    raw.iter().map(|octet| char::from(CODE_ALPHABET[usize::from(*octet) % CODE_ALPHABET.len()])).collect()
}

/// A number from 0 to `bound`, without `bound` itself.
pub(crate) fn below(bound: u64) -> u64 {
    let mut raw = [0; 8];
    random(&mut raw);
    u64::from_be_bytes(raw) % bound.max(1)
}

/// An opaque secret: `prefix` and random base64url up to `length` characters.
pub(crate) fn secret(prefix: &str, length: usize) -> String {
    let mut raw = vec![0; length];
    random(&mut raw);
    let mut text = format!("{prefix}{}", URL_SAFE_NO_PAD.encode(raw));
    text.truncate(length.max(prefix.len() + 16));
    text
}

/// A session id as Exchange prints it: sixteen hexadecimal digits.
pub(crate) fn session() -> String {
    let mut raw = [0; 8];
    random(&mut raw);
    raw[0] = 0x08;
    raw.iter().map(|octet| format!("{octet:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_shaped_as_one_and_follows_from_its_name() {
        assert_eq!(guid_of("A@b"), guid_of("a@B"));
        assert_ne!(guid(), guid());
        let parts: Vec<usize> = guid().split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn a_secret_has_the_length_asked_for() {
        assert_eq!(secret("1.AX", 1200).len(), 1200);
        assert_eq!(user_code().len(), 9);
    }
}
