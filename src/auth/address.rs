//! Where a request comes from. What a proxy says of it is believed only of the proxies that the operator lists.

use crate::egress::is_private;
use ipnet::IpNet;
use std::net::IpAddr;

/// Proxies in front of this server.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Networks and addresses of the config.
    ///
    /// # Errors
    /// The one that is neither.
    pub fn new(listed: &[String]) -> Result<Self, String> {
        let read = |one: &String| {
            one.parse::<IpNet>().or_else(|_| one.parse::<IpAddr>().map(IpNet::from)).map_err(|_| one.clone())
        };
        listed.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether many clients may stand behind who is connected: a listed proxy, and as long as none is listed whoever is on the
    /// operator's own network.
    pub(crate) fn stands_for_many(&self, peer: IpAddr) -> bool {
        if self.0.is_empty() { is_private(peer.to_canonical()) } else { self.has(peer) }
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client, given who is connected and the `X-Forwarded-For` headers in their order: each proxy has added whom it
    /// heard from at the end. What stands before the first address that no listed proxy vouches for can be anybody's invention.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer;
        for hop in forwarded.rev().flat_map(|header| header.rsplit(',')) {
            if !self.has(client) {
                break;
            }
            let Some(before) = address(hop.trim()) else { break };
            client = before;
        }
        client.to_canonical()
    }
}

/// As proxies write it: bare, in brackets, with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| Some(text.split_once(']')?.0)).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_counts_only_where_a_listed_proxy_wrote_it() {
        let proxies = Proxies::new(&["10.0.0.0/8".into(), "fd00::1".into()]).unwrap();
        let client =
            |peer: &str, headers: &[&str]| proxies.client(peer.parse().unwrap(), headers.iter().copied()).to_string();
        for (peer, headers, is) in [
            ("203.0.113.7", &["198.51.100.1"][..], "203.0.113.7"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            // The client made the first one up.
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["127.0.0.1", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("fd00::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, not an address"], "10.0.0.1"),
        ] {
            assert_eq!(client(peer, headers), is, "{peer} {headers:?}");
        }
        assert_eq!(Proxies::new(&["proxy.example".into()]).unwrap_err(), "proxy.example");
    }
}
