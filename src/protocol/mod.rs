//! The mail conversations, as state machines without sockets.

pub mod sasl;
pub mod smtp;
