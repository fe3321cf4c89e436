//! Composing mail.
