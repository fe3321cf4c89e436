//! Sign-in and tokens, by RFC 8628 and RFC 6749 against the Microsoft identity platform v2.0: without sockets.
