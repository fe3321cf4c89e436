//! The one error above those of the layers.

use crate::base::{Report, Status};
use crate::{connector, identity, mime, net, protocol, store};

/// Any failure of this library.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library was used in a way that cannot work, or the work was ended.
    #[error(transparent)]
    Use(#[from] connector::UseError),
    /// Sign-in and tokens.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The network.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// SMTP.
    #[error(transparent)]
    Smtp(#[from] protocol::smtp::Error),
    /// The SASL response.
    #[error(transparent)]
    Sasl(#[from] protocol::sasl::Error),
    /// Composing a mail.
    #[error(transparent)]
    Mime(#[from] mime::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A failure that was kept, told again.
    #[error("{}", .0.message)]
    Told(Box<Report>),
    /// A fault of this library.
    #[error("internal error: {0}")]
    Internal(&'static str),
    /// A fault of this library that was caught.
    #[error("internal error: {0}")]
    Panicked(String),
}

impl Error {
    /// What a host is told.
    #[must_use]
    pub fn report(&self) -> Report {
        match self {
            Self::Use(error) => error.report(),
            Self::Identity(error) => error.report(),
            Self::Net(error) => error.report(),
            Self::Smtp(error) => error.report(),
            Self::Sasl(error) => error.report(),
            Self::Mime(error) => error.report(),
            Self::Store(error) => error.report(),
            Self::Told(report) => (**report).clone(),
            Self::Internal(what) => internal(what),
            Self::Panicked(what) => internal(what),
        }
    }

    /// The error for a caught panic.
    #[must_use]
    pub fn panicked(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied().map(str::to_owned);
        Self::Panicked(text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default())
    }
}

fn internal(what: &str) -> Report {
    Report::new(Status::Internal, format!("Internal error: {what}.")).remedy("Please report this with the log.")
}

impl From<Report> for Error {
    fn from(report: Report) -> Self {
        Self::Told(Box::new(report))
    }
}
