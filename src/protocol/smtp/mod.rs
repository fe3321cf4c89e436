//! Submission of mail: a client's side of SMTP, without a socket and without a clock.
//!
//! RFC 6409 (submission), 5321 (SMTP), 3207 (STARTTLS), 8314 (implicit TLS), 4954 (AUTH), 1870 (SIZE), 2034 and 3463
//! (enhanced codes), 6152 (8BITMIME), 6531 (SMTPUTF8).
//!
//! Not supported: a conversation in clear, HELO, any login but XOAUTH2, and, for the time being, PIPELINING (RFC 2920),
//! BDAT (RFC 3030) and DSN (RFC 3461), whose presence is only noted.

mod capabilities;
mod dot;
mod error;
mod refusal;
mod reply;
mod session;

#[cfg(test)]
mod tests;

pub use capabilities::Capabilities;
pub use error::Error;
pub use refusal::{Refusal, Stage, explain};
pub use reply::Reply;
pub use session::{BodyKind, Delivery, Event, Security, Session, Wait, is_client_name};
