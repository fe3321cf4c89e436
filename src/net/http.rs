//! HTTP for the identity service: one POST at a time, no redirects, bounded answers, the system's proxy.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Proxy, Response};
use rustls::ClientConfig;
use zeroize::Zeroizing;

use super::{Error, stream, tls};
use crate::base::limits;

/// The longest `Retry-After` that is believed.
const RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// A client for one TLS configuration.
pub struct HttpClient {
    client: Client,
    /// Host and port of the proxy that the settings name.
    proxy: Option<String>,
}

/// An answer, read to its end.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; may hold secrets.
    pub body: Zeroizing<Vec<u8>>,
    /// `Retry-After`, RFC 9110 section 10.2.3.
    pub retry_after: Option<Duration>,
    /// What time it is at the service, in seconds since 1970 (`Date`, RFC 9110 section 6.6.1).
    pub date_unix_s: Option<i64>,
}

/// Why no answer came, and whether the request may have reached the service.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// The request may have been acted upon.
    pub sent: bool,
}

impl HttpClient {
    /// `proxy`: `"system"`, `"none"`, or the proxy's address.
    pub fn new(tls: &ClientConfig, proxy: &str) -> Result<Self, Error> {
        let builder = Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver))
            .timeout(limits::HTTP_EXCHANGE)
            .connect_timeout(limits::CONNECT)
            // No connection is kept: one that the server closes at that moment would lose the answer to a poll.
            .pool_max_idle_per_host(0)
            .https_only(true)
            .user_agent(concat!("myq-exchange-online/", env!("CARGO_PKG_VERSION")));
        let builder = match proxy {
            "system" => builder,
            "none" => builder.no_proxy(),
            address => {
                // Without the address in the words: it may hold the proxy's password.
                let proxy = Proxy::all(address).map_err(|_| Error::Proxy {
                    host: "the sign-in service".to_owned(),
                    reason: "the setting \"proxy\" is not an address".to_owned(),
                })?;
                builder.proxy(proxy)
            }
        };
        let client = builder.build().map_err(|error| Error::Roots { reason: deepest(&error) })?;
        let proxy = reqwest::Url::parse(proxy)
            .ok()
            .and_then(|proxy| Some(format!("{}:{}", proxy.host_str()?, proxy.port_or_known_default()?)));
        Ok(Self { client, proxy })
    }

    /// Posts a form and reads the whole answer.
    pub async fn post(&self, url: &str, form: &[u8], correlation_id: &str) -> Result<Answer, Failure> {
        let host = host_of(url);
        let posted = self
            .client
            .post(url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "application/json")
            .header("client-request-id", correlation_id)
            .body(form.to_vec())
            .send();
        let response = posted.await.map_err(|error| {
            let told = match (&self.proxy, told(&host, &error)) {
                (Some(proxy), Error::Connect { host, source, .. }) => {
                    Error::Proxy { host, reason: format!("no connection to the proxy {proxy}: {source}") }
                }
                (_, told) => told,
            };
            Failure { sent: !error.is_connect(), error: told }
        })?;
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let date = header("date").and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        let now = date.unwrap_or_else(SystemTime::now);
        let retry_after = header("retry-after").and_then(|text| parse_retry_after(text, now));
        let retry_after = retry_after.map(|wait| wait.min(RETRY_AFTER));
        let date = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let date_unix_s = date.and_then(|since| i64::try_from(since.as_secs()).ok());
        let body = read(response, &host).await.map_err(|error| Failure { error, sent: true })?;
        Ok(Answer { status, body, retry_after, date_unix_s })
    }
}

async fn read(mut response: Response, host: &Host) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(|error| told(host, &error))? {
        if body.len() + chunk.len() > limits::HTTP_BODY {
            return Err(Error::TooLong { host: host.name.clone() });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whom we talk to, for the words of an error.
struct Host {
    name: String,
    port: u16,
}

fn host_of(url: &str) -> Host {
    let url = reqwest::Url::parse(url).ok();
    Host {
        name: url.as_ref().and_then(|url| url.host_str()).unwrap_or_default().to_owned(),
        port: url.as_ref().and_then(reqwest::Url::port_or_known_default).unwrap_or_default(),
    }
}

/// Seconds, which is Microsoft's form, or an HTTP date (RFC 9110 section 5.6.7) by the service's clock.
fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text.trim()).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

/// Our own words for an error of reqwest: what is in its chain tells more than its kind.
fn told(host: &Host, error: &reqwest::Error) -> Error {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<Unresolved>() {
            return Error::NameResolution { host: ours.0.clone() };
        }
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return tls::handshake_error(&host.name, error);
        }
        cause = beneath(inner);
    }
    let (host, port) = (host.name.clone(), host.port);
    let text = deepest(error);
    if error.is_timeout() {
        Error::Deadline { host, step: "talking to the sign-in service" }
    } else if text.contains("tunnel") || text.contains("proxy") {
        Error::Proxy { host, reason: text }
    } else if error.is_connect() {
        Error::Connect { host, port, source: std::io::Error::other(text) }
    } else {
        Error::Broken { host, source: std::io::Error::other(text) }
    }
}

/// What an error wraps. An `io::Error` hides what it wraps behind the source of that.
fn beneath<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// The innermost cause, which names the fault. reqwest's outer texts name the address, which is known.
fn deepest(error: &reqwest::Error) -> String {
    let mut innermost: &dyn StdError = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Resolves names as mail connections do, with the same deadline.
struct Resolver;

/// A name without an address, so that it can be told from other faults of a connection.
#[derive(Debug, thiserror::Error)]
#[error("{0} cannot be resolved")]
struct Unresolved(String);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match stream::resolve(name.as_str(), 0).await {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(_) => Err(Box::new(Unresolved(name.as_str().to_owned())) as Box<dyn StdError + Send + Sync>),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_comes_in_two_forms() {
        let now = SystemTime::now();
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
        assert!(parse_retry_after("Fri, 31 Dec 2100 23:59:59 GMT", now).is_some_and(|wait| wait > RETRY_AFTER));
        assert_eq!(parse_retry_after("soon", now), None);
    }
}
