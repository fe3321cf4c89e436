//! What can be wrong with a mail before it is sent.

use std::io;
use std::path::PathBuf;

use crate::base::{Report, Status};

/// A mail that cannot be composed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A part of the mail is not what it must be.
    #[error("{field}: {parameter} {problem}")]
    Field {
        /// The part of the mail: `recipient`, `subject`, `header "X-Foo"`, …
        field: String,
        /// The parameter of the call.
        parameter: &'static str,
        /// What is wrong with it, as the rest of a sentence.
        problem: String,
    },
    /// A part of the mail is longer than this library takes.
    #[error("{field}: {parameter} is longer than {limit} octets")]
    TooLong {
        /// The part of the mail.
        field: String,
        /// The parameter of the call.
        parameter: &'static str,
        /// Octets.
        limit: usize,
    },
    /// Nobody is named as sender, and the system has no sender address.
    #[error("the mail has no sender")]
    NoSender,
    /// There is nobody to send to.
    #[error("the mail has no recipient")]
    NoRecipient,
    /// The mail was made from ready-made MIME, which is not changed any more.
    #[error("{what} cannot be set on a mail that was made from MIME")]
    ReadyMade {
        /// What was to be set.
        what: &'static str,
    },
    /// More of something than one mail may have.
    #[error("more than {limit} {what}")]
    TooMany {
        /// Recipients, attachments, headers.
        what: &'static str,
        /// The most.
        limit: usize,
    },
    /// Bigger than Exchange Online takes.
    #[error("the mail has {size} octets, at most {limit} are possible")]
    TooBig {
        /// Octets after encoding; of a mail that was given up early, what it has at least.
        size: u64,
        /// The most.
        limit: u64,
    },
    /// A directory, a device, a pipe.
    #[error("{} is not a file", .path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// A file that cannot be opened or read.
    #[error("{} cannot be read", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that is not any more what it was when it was attached.
    #[error("{} has changed since it was attached", .path.display())]
    FileChanged {
        /// Which.
        path: PathBuf,
    },
}

impl Error {
    pub(super) fn field(field: impl Into<String>, parameter: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field: field.into(), parameter, problem: problem.into() }
    }

    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Field { field, parameter, problem } => {
                Report::new(Status::Argument, format!("The mail's {field} cannot be used: \"{parameter}\" {problem}."))
            }
            Self::TooLong { field, parameter, limit } => Report::new(
                Status::Argument,
                format!("The mail's {field} cannot be used: \"{parameter}\" is longer than {limit} octets."),
            ),
            Self::NoSender => Report::new(Status::Argument, "The mail has no sender.")
                .remedy("Set the sender of the mail, or the sender address in the settings of the system."),
            Self::NoRecipient => Report::new(Status::Argument, "The mail has no recipient."),
            Self::ReadyMade { what } => Report::new(
                Status::Argument,
                format!("The {what} cannot be set on a mail that was made from MIME; only recipients can be added."),
            ),
            Self::TooMany { what, limit } => {
                Report::new(Status::Limit, format!("A mail can have at most {limit} {what}."))
            }
            Self::TooBig { size, limit } => Report::new(
                Status::MessageTooBig,
                format!(
                    "The mail has at least {} MB; Exchange Online takes {} MB at most.",
                    megabytes(*size),
                    megabytes(*limit)
                ),
            )
            .remedy("Send fewer or smaller attachments, or a link to them."),
            Self::NotAFile { path } => {
                Report::new(Status::File, format!("{} is not a file, so it cannot be attached.", path.display()))
            }
            Self::File { path, source } => {
                Report::new(Status::File, format!("The file {} cannot be read: {source}.", path.display()))
                    .remedy("Check that the file exists and that the server's account may read it.")
            }
            Self::FileChanged { path } => Report::new(
                Status::File,
                format!("The file {} has changed since it was attached, so nothing was sent.", path.display()),
            )
            .remedy("Attach the file again when nothing writes to it any more."),
        }
    }
}

fn megabytes(octets: u64) -> u64 {
    octets.div_ceil(1_000_000)
}
