//! The C ABI: handles, texts, errors, the guard around every body. The only unsafe code, one file for each C noun.
//!
//! Exported functions are written out in full: cbindgen does not see what a macro makes. Their comments become the
//! header, which is the product; a test compares it with the committed one.
#![expect(unsafe_code, reason = "this is where C begins; each block says why it is sound")]
#![expect(non_camel_case_types, reason = "types are called as the header calls them")]

pub mod callback;
pub mod check;
pub mod connector;
pub mod device_code;
pub mod error;
pub mod events;
pub mod library;
pub mod mail;
pub mod operation;
pub mod send;
pub mod sign_in;
pub mod status;
pub mod string;
pub mod system;
pub mod token;
pub mod value;

mod fork;
mod guard;
mod handle;
mod text;

pub use callback::{mxo_drop_fn, mxo_log_fn, mxo_operation_fn};
pub use connector::mxo_connector;
pub use device_code::mxo_device_code;
pub use error::mxo_error;
pub use events::mxo_events;
pub use mail::mxo_mail;
pub use operation::mxo_operation;
pub use status::mxo_status;
pub use value::mxo_value;
