//! Composing mail: RFC 5322 (messages), 2045 to 2047 (MIME), 2183 and 2231 (file names), 6532 (addresses that are not
//! ASCII). Headers and the encoding of texts are lettre's; the structure and the attachments are written here, so that
//! an attachment is encoded only on its way out, and one that is a file is never in memory as a whole.
//!
//! Not here: signing (DKIM, S/MIME), pictures inside HTML (`multipart/related`), attached messages (`message/rfc822`),
//! BINARYMIME. Whoever needs them hands over ready-made MIME ([`Mail::from_mime`]).

pub mod compose;
pub mod content;
pub mod data;
pub mod error;
mod header;
pub mod mail;
mod ready_made;
#[cfg(test)]
mod tests;

pub use compose::{Composed, compose};
pub use content::{Content, FileSource};
pub use data::{MailData, MailDataReader};
pub use error::Error;
pub use mail::{Kind, Mail};
