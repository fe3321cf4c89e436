//! Builds the header.
fn main() {}
