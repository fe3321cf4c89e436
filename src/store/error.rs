//! What can go wrong with the store.

use crate::base::{Report, Status, limits};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// More systems than anybody has.
    #[error("there are {} systems already", limits::SYSTEMS)]
    TooManySystems,
    /// An engine that failed in a way it should not.
    #[error("the store failed: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::TooManySystems => {
                Report::new(Status::Limit, format!("There are {} systems already.", limits::SYSTEMS))
                    .remedy("Remove systems that are not used.")
            }
            Self::Failed { reason } => Report::new(Status::Store, format!("The store failed: {reason}.")),
        }
    }
}
