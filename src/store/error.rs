//! What can go wrong with the store.

use std::io;
use std::path::{Path, PathBuf};

use crate::base::{Report, Status, limits};

/// A failure of the store. None holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More systems than anybody has.
    #[error("there are {} systems already", limits::SYSTEMS)]
    TooManySystems,
    /// Other processes were at it for too long.
    #[error("the store is busy")]
    Busy,
    /// A newer version of this library has written it.
    #[error("the store has version {found}, and this library knows {known}")]
    Newer {
        /// Of the file.
        found: i64,
        /// The newest that this library knows.
        known: i64,
    },
    /// The file is no database, or one with broken pages.
    #[error("the store's file is damaged")]
    Damaged {
        /// Where it is now, when it was just set aside.
        set_aside: Option<PathBuf>,
    },
    /// The directory, or a file in it, cannot be used as it is.
    #[error("{}: {problem}", .path.display())]
    Access {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, to follow its name in a sentence.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// The database engine may not write.
    #[error("the store cannot be written: {reason}")]
    Denied {
        /// Why.
        reason: String,
    },
    /// There is a store, but no key to it.
    #[error("the key file {} is missing", .path.display())]
    KeyMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// This key does not open it.
    #[error("the key does not open the store")]
    KeyWrong,
    /// The key is right, but one record does not open.
    #[error("a sealed record does not open")]
    Sealed,
    /// No space left.
    #[error("the disk is full")]
    DiskFull,
    /// It was closed while it was in use.
    #[error("the store was closed")]
    Closed,
    /// An engine that failed in a way it should not.
    #[error("the store failed: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// A file or directory that the operating system does not let us use.
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotFound => Self::Access {
                path: path.to_owned(),
                problem: format!("cannot be used: {error}"),
                remedy: "Let the account of this process own the data directory, on a disk that can be written.".into(),
            },
            _ => Self::Failed { reason: format!("{}: {error}", path.display()) },
        }
    }

    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::TooManySystems => {
                Report::new(Status::Limit, format!("There are {} systems already.", limits::SYSTEMS))
                    .remedy("Remove systems that are not used.")
            }
            Self::Busy => Report::new(Status::StoreBusy, "Other processes kept the store busy for too long.")
                .transient()
                .remedy("Try again. If it stays so, look for a process that hangs with the data directory open."),
            Self::Newer { found, known } => Report::new(
                Status::StoreVersion,
                format!(
                    "The store was written by a newer version of this library: its format is {found}, and the newest \
                     that is known here is {known}."
                ),
            )
            .remedy("Update the library here too. Nothing was changed in the store."),
            Self::Damaged { set_aside: Some(path) } => Report::new(
                Status::StoreDamaged,
                format!("The store's file was damaged. It is kept as \"{}\".", path.display()),
            )
            .remedy(
                "Put a backup of store.sqlite3 in its place, or open again without: that begins with an empty store, \
                 to which each system must be added and connected anew.",
            ),
            Self::Damaged { set_aside: None } => Report::new(Status::StoreDamaged, "The store's file is damaged.")
                .remedy(
                    "End all processes that use the data directory and start again. Check the disk; put a backup of \
                     store.sqlite3 in its place if it stays so.",
                ),
            Self::Access { path, problem, remedy } => {
                Report::new(Status::StoreAccess, format!("\"{}\" {problem}.", path.display())).remedy(remedy)
            }
            Self::Denied { reason } => {
                Report::new(Status::StoreAccess, format!("The store cannot be written: {reason}."))
                    .remedy("Let the account of this process write to the data directory and to all files in it.")
            }
            Self::KeyMissing { path } => Report::new(
                Status::StoreKey,
                format!("The store is sealed, and its key file \"{}\" is missing.", path.display()),
            )
            .remedy(
                "Put the key file back from a backup, or give the option \"key\". If the key is lost, remove \
                 store.sqlite3 and connect each system anew.",
            ),
            Self::KeyWrong => Report::new(Status::StoreKey, "The key does not open the store.").remedy(
                "Give the key with which the store was made: the option \"key\", or the file \"key\" in the data \
                 directory. If it is lost, remove store.sqlite3 and connect each system anew.",
            ),
            Self::Sealed => Report::new(
                Status::StoreKey,
                "The tokens of this system cannot be unsealed: they were changed, or copied from another system.",
            )
            .remedy("Sign the system out, and connect it again."),
            Self::DiskFull => Report::new(Status::DiskFull, "The disk of the data directory is full.")
                .remedy("Make room on the disk of the data directory, and try again."),
            Self::Closed => Report::new(Status::Closed, "The connector was closed."),
            Self::Failed { reason } => Report::new(Status::Store, format!("The store failed: {reason}."))
                .remedy("Try again. If it stays so, please report it with the log."),
        }
    }
}
