//! What every layer stands on: statuses, reports of failure, limits, the clock, values.

pub mod clock;
pub mod limits;
pub mod report;
pub mod signals;
pub mod status;
pub mod timeouts;
pub mod value;

pub use clock::{Clock, Moment};
pub use report::{Report, ServiceWords};
pub use status::Status;
pub use timeouts::Timeouts;
pub use value::Value;
