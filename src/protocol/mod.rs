//! The mail conversations, as state machines without sockets.
