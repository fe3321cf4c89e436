//! How a connector reaches hosts: by which proxy, from which address, over which family, in what time. Mail and HTTP go
//! the same road.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::ClientConfig;
use serde::Deserialize;
use tokio::net::TcpSocket;
use tokio::time::timeout;

use super::{Error, Proxies};
use crate::base::Timeouts;

/// Most addresses of a name that are tried.
const ADDRESSES: usize = 16;

/// Which addresses are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Both, staggered (RFC 8305).
    #[default]
    Any,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}

impl Family {
    /// Whether an address is of it.
    #[must_use]
    pub fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Ipv4 => address.is_ipv4(),
            Self::Ipv6 => address.is_ipv6(),
        }
    }
}

/// How hosts are reached.
#[derive(Clone)]
pub struct Road {
    /// Which proxy, if any.
    pub proxies: Arc<Proxies>,
    /// Where our connections begin.
    pub bind_address: Option<IpAddr>,
    /// Where they may lead.
    pub family: Family,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// TLS with the hosts, and with a proxy that wants it.
    pub tls: Arc<ClientConfig>,
}

impl Road {
    /// The family that is left by the address from which we connect.
    fn reachable(&self) -> Family {
        match self.bind_address {
            None => self.family,
            Some(IpAddr::V4(_)) => Family::Ipv4,
            Some(IpAddr::V6(_)) => Family::Ipv6,
        }
    }

    /// The addresses of a name, never cached: Microsoft's differ by place and change often.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let unresolved = || Error::NameResolution { host: host.to_owned() };
        let found = match timeout(self.timeouts.resolve(), tokio::net::lookup_host((host, port))).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => return Err(unresolved()),
            Err(_) => return Err(Error::Deadline { host: host.to_owned(), step: "resolving its name" }),
        };
        let family = self.reachable();
        let found: Vec<_> = found.collect();
        let usable: Vec<_> = found.iter().filter(|address| family.has(address.ip())).take(ADDRESSES).copied().collect();
        match (usable.is_empty(), found.is_empty()) {
            (false, _) => Ok(interleaved(&usable)),
            (true, true) => Err(unresolved()),
            (true, false) => Err(Error::NoAddress { host: host.to_owned(), family }),
        }
    }

    /// A socket that begins where it should.
    pub(super) fn socket(&self, to: SocketAddr) -> std::io::Result<TcpSocket> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(from) = self.bind_address {
            socket.bind(SocketAddr::new(from, 0))?;
        }
        Ok(socket)
    }

    /// What can be known beforehand of the way to a host; for a client that connects by itself.
    pub(super) fn check(&self, host: &str, port: u16) -> Result<(), Error> {
        self.check_bind_address()?;
        let family = self.reachable();
        let is_foreign = host.parse().is_ok_and(|address| !family.has(address));
        if self.proxies.toward(host, port)?.is_none() && is_foreign {
            return Err(Error::NoAddress { host: host.to_owned(), family });
        }
        Ok(())
    }

    /// Whether the address from which we are to connect is one of this computer's.
    pub(super) fn check_bind_address(&self) -> Result<(), Error> {
        let Some(address) = self.bind_address else { return Ok(()) };
        let bound = self.socket(SocketAddr::new(address, 0));
        bound.map(drop).map_err(|source| Error::Bind { address, source })
    }
}

/// Both families in turn, the resolver's first choice first (RFC 8305 section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let longest = first.len().max(second.len());
    (0..longest).flat_map(|index| [first.get(index), second.get(index)]).flatten().copied().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::net::proxy::Choice;
    use crate::net::tls;

    /// The road of default options, but without the environment's proxy.
    pub(in crate::net) fn plain() -> Road {
        Road {
            proxies: Arc::new(Proxies::new(&Choice::Direct)),
            bind_address: None,
            family: Family::default(),
            timeouts: Timeouts::default(),
            tls: tls::configuration(tls::Roots::Platform, &[]).unwrap(),
        }
    }

    #[test]
    fn families_take_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mixed = [address("[::1]:1"), address("[::2]:1"), address("127.0.0.1:1")];
        assert_eq!(interleaved(&mixed), [mixed[0], mixed[2], mixed[1]]);
    }

    #[tokio::test]
    async fn only_addresses_of_the_family_are_used() {
        let v6 = Road { family: Family::Ipv6, ..plain() };
        let refused = v6.resolve("127.0.0.1", 1).await.unwrap_err();
        assert!(matches!(refused, Error::NoAddress { family: Family::Ipv6, .. }), "{refused}");
        assert_eq!(v6.resolve("::1", 1).await.unwrap(), ["[::1]:1".parse().unwrap()]);
        let bound = Road { bind_address: Some("::1".parse().unwrap()), ..plain() };
        assert!(bound.resolve("127.0.0.1", 1).await.is_err());
    }

    #[test]
    fn an_address_of_another_computer_is_told() {
        let road = Road { bind_address: Some("192.0.2.1".parse().unwrap()), ..plain() };
        assert!(matches!(road.check_bind_address(), Err(Error::Bind { .. })));
    }
}
