//! Wrong use of the library, and work that was ended from outside.

use crate::base::{Report, Status};

/// A failure that is not one of the world outside.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// A parameter, or a field in it, is not what it must be.
    #[error("{parameter}{}: {reason}", .field.as_ref().map(|field| format!(", {field}")).unwrap_or_default())]
    Argument {
        /// The parameter's name in the header.
        parameter: &'static str,
        /// The member of an options text.
        field: Option<String>,
        /// Why.
        reason: String,
    },
    /// A handle is none, or not any more, or of another kind.
    #[error("{parameter} is not a live handle of its kind")]
    Handle {
        /// The parameter's name in the header.
        parameter: &'static str,
    },
    /// The connector was closed.
    #[error("the connector was closed")]
    Closed,
    /// This is a forked child.
    #[error("this process was forked from one that had the library open")]
    Forked,
    /// A callback waits for itself.
    #[error("a callback cannot wait for its own operation")]
    WouldDeadlock,
    /// Nothing of that identifier.
    #[error("there is no {what} with the identifier {id}")]
    NotFound {
        /// `system`, `sign-in`
        what: &'static str,
        /// As given.
        id: String,
    },
    /// Ended on demand.
    #[error("{what}")]
    Canceled {
        /// What ended it.
        what: &'static str,
    },
    /// No result in the caller's time.
    #[error("no result within the time given")]
    Timeout,
    /// A limit of this library.
    #[error("there are too many {what}")]
    Limit {
        /// Of what.
        what: &'static str,
    },
    /// An administrator switched the system off.
    #[error("the system is disabled")]
    Disabled,
    /// The system was never connected.
    #[error("the system is not connected")]
    NotConnected,
    /// Somebody else changed the system at the same moment.
    #[error("the system was changed at the same time by somebody else")]
    Changed,
}

impl UseError {
    /// An argument error without a field.
    pub fn argument(parameter: &'static str, reason: impl Into<String>) -> Self {
        Self::Argument { parameter, field: None, reason: reason.into() }
    }

    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Argument { parameter, field, reason } => {
                let field = field.as_deref().filter(|field| !field.is_empty());
                let named =
                    field.map_or_else(|| format!("\"{parameter}\""), |field| format!("\"{field}\" in \"{parameter}\""));
                Report::new(Status::Argument, format!("The value of {named} cannot be used: {reason}."))
                    .remedy(format!("Correct {named}."))
            }
            Self::Handle { parameter } => Report::new(
                Status::Handle,
                format!("\"{parameter}\" is not a live handle of its kind (NULL, freed or another kind)."),
            ),
            Self::Closed => Report::new(Status::Closed, "The connector was closed."),
            Self::Forked => Report::new(
                Status::Forked,
                "This process was forked from one that had the library open, and cannot use it.",
            )
            .remedy("Open no connector before a fork: each process opens its own afterwards."),
            Self::WouldDeadlock => {
                Report::new(Status::WouldDeadlock, "A callback cannot wait for the operation that called it.")
            }
            Self::NotFound { what, id } => {
                Report::new(Status::NotFound, format!("There is no {what} with the identifier \"{id}\"."))
            }
            Self::Canceled { what } => Report::new(Status::Canceled, format!("{what}.")),
            Self::Timeout => Report::new(Status::CallTimeout, "There was no result within the time given.")
                .transient()
                .remedy("Try again, or give more time."),
            Self::Limit { what } => Report::new(Status::Limit, format!("There are too many {what}."))
                .remedy("Free what is not needed any more."),
            Self::Disabled => Report::new(Status::Disabled, "The system is switched off.")
                .remedy("Switch it on again: the setting \"enabled\" of the system."),
            Self::NotConnected => {
                let mut report = Report::new(Status::SignInRequired, "The system is not connected yet.")
                    .remedy("Connect it: start the sign-in and confirm the code in a web browser.");
                report.sign_in_required = true;
                report
            }
            Self::Changed => {
                Report::new(Status::StoreBusy, "The system was changed at the same time by somebody else.")
                    .transient()
                    .remedy("Read the system again and repeat the change.")
            }
        }
    }
}
