//! The network: TLS roots, proxies, deadlines, and one way to open a stream. Everything here has a hard deadline.

pub mod error;
pub mod http;
pub mod stream;
pub mod tls;

pub use error::Error;
pub use http::HttpClient;
pub use stream::Stream;
