//! HTTP for the identity service: one POST at a time, no redirects, bounded answers, by the same road as mail.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Proxy, Response};
use zeroize::Zeroizing;

use super::road::Family;
use super::{Error, Road, Stream, tls};
use crate::base::limits;

/// The longest `Retry-After` that is believed.
const RETRY_AFTER: Duration = Duration::from_secs(3_600);

/// A client that goes one road.
pub struct HttpClient {
    client: Client,
    road: Road,
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
    /// A client that goes the road.
    pub fn new(road: &Road) -> Result<Self, Error> {
        let proxies = Arc::clone(&road.proxies);
        let proxy = Proxy::custom(move |url| {
            let to = Host::of(url);
            proxies.toward(&to.name, to.port).ok().flatten()?.url()
        });
        let client = Client::builder()
            .tls_backend_preconfigured((*road.tls).clone())
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver(road.clone())))
            .proxy(proxy)
            .local_address(road.bind_address)
            .timeout(road.timeouts.http())
            .connect_timeout(road.timeouts.connect())
            // No connection is kept: one that the server closes at that moment would lose the answer to a poll.
            .pool_max_idle_per_host(0)
            .https_only(true)
            .user_agent(concat!("myq-exchange-online/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::Roots { reason: deepest(&error) })?;
        Ok(Self { client, road: road.clone() })
    }

    /// Posts a form and reads the whole answer.
    pub async fn post(&self, url: &str, form: &[u8], correlation_id: &str) -> Result<Answer, Failure> {
        let host = reqwest::Url::parse(url).map(|url| Host::of(&url)).unwrap_or_default();
        self.road.check(&host.name, host.port).map_err(|error| Failure { error, sent: false })?;
        let posted = self
            .client
            .post(url)
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Accept", "application/json")
            .header("client-request-id", correlation_id)
            .body(form.to_vec())
            .send();
        let response = match posted.await {
            Ok(response) => response,
            Err(error) => {
                return Err(Failure { sent: !error.is_connect(), error: self.told(&host, &error).await });
            }
        };
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

    /// Why no answer came. What a proxy said to CONNECT is lost in reqwest, so it is asked once more in our own words.
    async fn told(&self, host: &Host, error: &reqwest::Error) -> Error {
        if error.is_connect()
            && let Ok(Some(proxy)) = self.road.proxies.toward(&host.name, host.port)
        {
            if error.is_timeout() {
                return Error::ProxyDeadline { proxy: proxy.to_string(), host: host.name.clone(), port: host.port };
            }
            let again =
                tokio::time::timeout(self.road.timeouts.http(), Stream::connect(&self.road, &host.name, host.port));
            if let Ok(Err(theirs)) = again.await {
                return theirs;
            }
        }
        told(host, error)
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

/// Whom we talk to.
#[derive(Default)]
struct Host {
    name: String,
    port: u16,
}

impl Host {
    fn of(url: &reqwest::Url) -> Self {
        let name = url.host_str().unwrap_or_default();
        Self {
            name: name.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
        }
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
    let mut system = None;
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<Unresolved>() {
            return match ours {
                Unresolved { host, family: None } => Error::NameResolution { host: host.clone() },
                Unresolved { host, family: Some(family) } => Error::NoAddress { host: host.clone(), family: *family },
            };
        }
        if let Some(code) = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            system = Some(code);
        }
        if let Some(error) = inner.downcast_ref::<rustls::Error>() {
            return tls::handshake_error(&host.name, error);
        }
        cause = beneath(inner);
    }
    let (host, port) = (host.name.clone(), host.port);
    let source = system.map_or_else(|| std::io::Error::other(deepest(error)), std::io::Error::from_raw_os_error);
    if error.is_timeout() && error.is_connect() {
        Error::Silent { host, port }
    } else if error.is_timeout() {
        Error::Deadline { host, step: "talking to the sign-in service" }
    } else if error.is_connect() {
        Error::Connect { host, port, source }
    } else {
        Error::Broken { host, source }
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
struct Resolver(Road);

/// A name without an address that can be used, so that it can be told from other faults of a connection.
#[derive(Debug, thiserror::Error)]
#[error("{host} cannot be resolved")]
struct Unresolved {
    host: String,
    family: Option<Family>,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let road = self.0.clone();
        Box::pin(async move {
            match road.resolve(name.as_str(), 0).await {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(error) => {
                    let family = if let Error::NoAddress { family, .. } = error { Some(family) } else { None };
                    let unresolved = Unresolved { host: name.as_str().to_owned(), family };
                    Err(Box::new(unresolved) as Box<dyn StdError + Send + Sync>)
                }
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
