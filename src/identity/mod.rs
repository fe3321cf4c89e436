//! Sign-in and tokens: RFC 8628 (device flow) and RFC 6749 section 6 (refresh) against the Microsoft identity platform
//! v2.0, or any other server that a [`cloud::Cloud`] record names. No sockets here: this module makes requests as
//! bytes, and takes answers as bytes with the time at which they came.
//!
//! Not here: client credentials, authorization code, claims challenges (mail protocols cannot carry them back).

pub mod aadsts;
pub mod account;
pub mod answer;
pub mod cloud;
pub mod device;
pub mod error;
pub mod request;
pub mod token;

pub use account::Account;
pub use answer::Answer;
pub use cloud::Cloud;
pub use device::{DeviceFlow, Progress, UserCode};
pub use error::Error;
pub use request::{App, Request};
pub use token::Tokens;
