//! The log: lines go to the logger and the subscriptions of each connector, and nowhere else. Secrets are kept out by
//! their types: what is logged is built from names, numbers and the service's own words.

use serde::Deserialize;

/// How important a line is; the numbers are those of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// No lines at all.
    Off = 0,
    /// Something failed and somebody should look.
    Error = 1,
    /// Something is not as it should be.
    Warning = 2,
    /// Milestones.
    #[default]
    Info = 3,
    /// One line for each exchange on the network.
    Debug = 4,
}

impl Level {
    /// The level of a number of the header.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        [Self::Off, Self::Error, Self::Warning, Self::Info, Self::Debug]
            .into_iter()
            .find(|level| *level as i32 == number)
    }

    /// The name in events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// A line on its way to a logger.
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// Who speaks, and what it says.
    pub text: String,
}
