//! XOAUTH2: the initial response of a login and the challenge of its refusal.
//!
//! SASL is RFC 4422, base64 RFC 4648. XOAUTH2 is Google's and has no RFC; Microsoft speaks the same. OAUTHBEARER
//! (RFC 7628) is not supported, since Exchange Online does not offer it.

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::base::{Report, Status, limits};

/// Why no initial response was made. Never holds the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A field holds nothing, or a character that could end it early: the separator is U+0001, the line ends with CRLF.
    #[error("the {0} is empty or holds a character that it must not hold")]
    Field(Field),
    /// RFC 4954 section 4 gives a response line 12288 octets.
    #[error("the token makes a login line of {0} octets, longer than SMTP allows")]
    TooLong(usize),
}

/// The two fields of XOAUTH2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// The user principal name of the mailbox.
    User,
    /// The access token.
    Token,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Field::User => "user",
            Field::Token => "token",
        })
    }
}

impl Error {
    /// The same for the host.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Error::Field(Field::User) => Report::new(Status::Argument, format!("The login was not tried: {self}."))
                .remedy("Give `user` as the user principal name of the mailbox, such as scan@contoso.com."),
            Error::Field(Field::Token) => Report::new(Status::Protocol, format!("The login was not tried: {self}."))
                .remedy("Sign in again, so that a new access token is issued."),
            Error::TooLong(_) => Report::new(Status::Limit, format!("The login was not tried: {self}.")).remedy(
                "Reduce what the token carries: remove optional and group claims from the app registration (Token \
                 configuration), or use an account that is a member of fewer groups.",
            ),
        }
    }
}

/// The initial response of XOAUTH2, in base64 and never wrapped.
///
/// # Errors
///
/// A field that is empty or holds a forbidden character; a result longer than [`limits::SASL_LINE`].
pub fn xoauth2(user: &str, token: &SecretString) -> Result<SecretString, Error> {
    let token = token.expose_secret();
    if user.is_empty() || user.chars().any(char::is_control) {
        return Err(Error::Field(Field::User));
    }
    // RFC 6750 section 2.1: a bearer token is visible ASCII.
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::Field(Field::Token));
    }

    let parts = ["user=", user, "\u{1}auth=Bearer ", token, "\u{1}\u{1}"];
    // Exact capacities: a buffer that grows leaves its old contents behind unwiped.
    let plain_length = parts.iter().map(|part| part.len()).sum();
    let mut plain = Zeroizing::new(Vec::with_capacity(plain_length));
    parts.iter().for_each(|part| plain.extend_from_slice(part.as_bytes()));

    let length = base64::encoded_len(plain.len(), true).unwrap_or(usize::MAX);
    if length > limits::SASL_LINE - 2 {
        return Err(Error::TooLong(length.saturating_add(2)));
    }
    // `encode` would pass the text through a buffer on the stack; this writes it where it stays.
    let mut encoded = Zeroizing::new(vec![0; length]);
    STANDARD.encode_slice(plain.as_slice(), &mut encoded).map_err(|_| Error::TooLong(length))?;
    let text = String::from_utf8(std::mem::take(&mut *encoded)).map_err(|_| Error::Field(Field::Token))?;
    Ok(SecretString::from(text))
}

/// What the server says in the challenge of a refusal: base64 of JSON such as `{"status":"401","scope":"…"}`. What is
/// not base64 is kept as it came; the length is that of [`limits::SERVICE_TEXT`] at most.
#[must_use]
pub fn challenge(text: &str) -> String {
    // Servers are seen to leave the padding out.
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &ALPHABET,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let decoded = LENIENT.decode(text.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let mut kept = decoded.unwrap_or_else(|| text.trim().to_owned());
    kept.truncate(kept.floor_char_boundary(limits::SERVICE_TEXT));
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn makes_what_microsoft_documents() {
        let response =
            xoauth2("test@contoso.onmicrosoft.com", &token("EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA")).unwrap();
        assert_eq!(
            response.expose_secret(),
            "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0Nj\
             bFJDM0VvQUEBAQ=="
        );
    }

    #[test]
    fn never_wraps_a_long_token() {
        let response = xoauth2("a@b", &token(&"x".repeat(9_000))).unwrap();
        assert!(response.expose_secret().len() > 12_000);
        assert!(!response.expose_secret().contains(['\r', '\n', ' ']));
    }

    #[test]
    fn refuses_what_could_end_a_field_early() {
        for user in ["", "a\u{1}auth=Bearer x", "a\r\nb", "a\u{7f}", "a\u{85}"] {
            assert_eq!(xoauth2(user, &token("t")).unwrap_err(), Error::Field(Field::User), "{user:?}");
        }
        for secret in ["", "t\u{1}", "t\r\n", "t t", "tö"] {
            assert_eq!(xoauth2("a@b", &token(secret)).unwrap_err(), Error::Field(Field::Token), "{secret:?}");
        }
        assert!(xoauth2("jörg@contoso.com", &token("t")).is_ok());
    }

    #[test]
    fn keeps_to_the_longest_line_of_rfc_4954() {
        // "user=a" + "^Aauth=Bearer " + "^A^A" are 22 octets; 12284 base64 characters hold 9213.
        assert!(xoauth2("a", &token(&"x".repeat(9_213 - 22))).is_ok());
        let error = xoauth2("a", &token(&"x".repeat(9_214 - 22 + 1))).unwrap_err();
        assert!(matches!(error, Error::TooLong(_)));
        assert!(!format!("{error} {error:?}").contains("xx"));
    }

    #[test]
    fn reads_a_challenge_with_and_without_padding() {
        let json = r#"{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}"#;
        let padded = STANDARD.encode(json);
        assert_eq!(challenge(&padded), json);
        assert_eq!(challenge(padded.trim_end_matches('=')), json);
        assert_eq!(challenge(" not base64! "), "not base64!");
        assert_eq!(challenge(""), "");
        assert_eq!(challenge(&"ö".repeat(limits::SERVICE_TEXT)).len(), limits::SERVICE_TEXT);
        assert_eq!(challenge(&format!("x{}", "ö".repeat(limits::SERVICE_TEXT))).len(), limits::SERVICE_TEXT - 1);
    }
}
