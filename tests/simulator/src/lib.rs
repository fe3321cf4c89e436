//! A Microsoft in a box: the identity platform's device flow and Exchange Online's SMTP
//! submission on loopback, over TLS from a CA of its own.
//!
//! It is true to Microsoft (`exchange.md`), not to any client: what Microsoft refuses is refused, in
//! Microsoft's words. Everything that can go wrong there can be asked for by name, see [`Simulator::misbehave`]
//! and the README. Not served: IMAP, POP3, other grants than the device code's and refreshing.
//!
//! ```
//! let sim = exchange_simulator::Simulator::start(exchange_simulator::Options::default())?;
//! assert!(sim.identity_url().starts_with("https://localhost:"));
//! sim.misbehave(serde_json::json!({"name": "tenant-disabled", "times": 1}));
//! # Ok::<(), std::io::Error>(())
//! ```

mod certificates;
mod clock;
mod control;
mod http;
mod identity;
mod ids;
mod knobs;
mod misbehave;
mod options;
mod simulator;
mod smtp;
mod state;
mod wire;

pub use options::{Account, Options};
pub use simulator::Simulator;
pub use state::{Mail, Request, SmtpSession};
