//! Connects a print server to Microsoft Exchange Online: sign-in by device code, OAuth 2.0 tokens, mail out and in.
//!
//! The product is the C ABI (`include/myq_exchange_online.h`); everything below it is safe Rust without `unsafe`.
//! Data flows one way: host → [`ffi`] → [`connector`] → [`identity`] / [`protocol`] / [`mime`] / [`store`] → [`net`].
//! `identity`, `protocol` and `mime` take bytes and a time and give bytes and events; they hold no socket.

#![deny(unsafe_code)]
#![deny(
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::print_stderr
)]

#[cfg(panic = "abort")]
compile_error!("a panic must unwind to the C boundary: build with panic = \"unwind\"");

pub mod base;
pub mod connector;
mod error;
pub mod explain;
pub mod ffi;
pub mod identity;
pub mod mime;
pub mod net;
pub mod protocol;
pub mod store;

pub use error::Error;
