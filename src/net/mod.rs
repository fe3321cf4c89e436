//! The network: TLS roots, proxies, deadlines, and one way to open a stream. Everything here has a hard deadline.

pub mod certificate;
pub mod error;
pub mod http;
pub mod proxy;
pub mod road;
pub mod stream;
pub mod tls;
mod tunnel;

pub use error::Error;
pub use http::HttpClient;
pub use proxy::{Proxies, Proxy};
pub use road::Road;
pub use stream::Stream;
