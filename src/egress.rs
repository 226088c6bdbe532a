//! Where the server may connect to on behalf of its users: the public internet, and what the operator lists. Otherwise whoever
//! may name a URL could look around inside the operator's network.

use ipnet::IpNet;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use wardroom_actors::ports::BoxFuture;

/// Chooses who encrypts what this process sends, once; to be called before anything is asked over the network.
pub fn provide_tls() {
    // Whoever came first decides.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The rules.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Nothing is refused.
    pub all: bool,
    /// Hosts by name.
    pub hosts: Vec<String>,
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Ports of everybody else; none: any.
    pub ports: Vec<u16>,
}

/// Why a connection was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a URL, or none that can be fetched.
    #[error("{0:?} is not an http or https URL")]
    NotHttp(String),
    /// An address inside the operator's network.
    #[error("{0} is a private address: the operator has to list it in egress.allow")]
    Private(String),
    /// A port that is not meant for this.
    #[error("port {1} of {0} is none of egress.ports: the operator has to list it there, or the host in egress.allow")]
    Port(String, u16),
}

impl Egress {
    /// Hosts, networks and ports as the config lists them.
    #[must_use]
    pub fn new(allow: &[String], ports: &[u16], all: bool) -> Self {
        let mut rules = Self { all, ports: ports.to_vec(), ..Self::default() };
        for one in allow {
            match one.parse::<IpNet>().or_else(|_| one.parse::<IpAddr>().map(IpNet::from)) {
                Ok(network) => rules.networks.push(network),
                Err(_) => rules.hosts.push(one.to_ascii_lowercase()),
            }
        }
        rules
    }

    /// Reads a URL and refuses what cannot be allowed whatever its name resolves to.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn url(&self, text: &str) -> Result<Url, Refused> {
        let not_http = || Refused::NotHttp(text.to_owned());
        let url = Url::parse(text).map_err(|_| not_http())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(not_http());
        }
        let host = url.host_str().ok_or_else(not_http)?;
        // An address in the place of a name is connected to without asking a resolver.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if address.is_some_and(|address| !self.allows(address)) {
            return Err(Refused::Private(host.to_owned()));
        }
        // Which network a name leads to is not known yet.
        let in_network = address.map_or(!self.networks.is_empty(), |address| self.lists(address));
        let listed = self.all || in_network || self.allows_host(host);
        match url.port_or_known_default() {
            Some(port) if !listed && !self.ports.is_empty() && !self.ports.contains(&port) => {
                Err(Refused::Port(host.to_owned(), port))
            }
            _ => Ok(url),
        }
    }

    fn lists(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.all || !is_private(address) || self.lists(address)
    }

    fn allows_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|one| one.eq_ignore_ascii_case(host))
    }
}

/// Not reachable from everywhere, or not for one receiver.
#[must_use]
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // This network, carrier-grade NAT, protocol assignments, benchmarks, reserved.
        || first == 0
        || (first == 100 && second & 0xc0 == 64)
        || (first, second, third) == (192, 0, 0)
        || (first == 198 && second & 0xfe == 18)
        || first >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    // An IPv4 address in IPv6 clothes: mapped, NAT64, 6to4.
    match (address.to_ipv4_mapped(), address.segments(), address.octets()) {
        (Some(plain), ..) => is_private_v4(plain),
        (None, [0x64, 0xff9b, 0, 0, 0, 0, ..], [.., a, b, c, d]) => is_private_v4(Ipv4Addr::new(a, b, c, d)),
        (None, [0x2002, ..], [_, _, a, b, c, d, ..]) => is_private_v4(Ipv4Addr::new(a, b, c, d)),
        // Teredo, documentation; and whatever is not in the block of global unicast addresses.
        (None, [0x2001, 0 | 0xdb8, ..], _) => true,
        (None, [first, ..], _) => first & 0xe000 != 0x2000,
    }
}

/// Resolves names to addresses that are allowed: the connection goes to what was looked at, not to a second answer.
pub struct Resolver {
    rules: Arc<Egress>,
    look_up: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>,
}

impl Resolver {
    /// One that asks the system.
    #[must_use]
    pub fn new(rules: Arc<Egress>) -> Self {
        let look_up = |host: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.collect()) })
        };
        Self { rules, look_up }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, look_up) = (Arc::clone(&self.rules), self.look_up);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = look_up(host.clone()).await?;
            // A name that leads inside as well is nobody's whom a user may name.
            if rules.allows_host(&host) || found.iter().all(|address| rules.allows(address.ip())) {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            Err(Refused::Private(host).into())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[test]
    fn private_addresses_are_refused_in_any_clothes() {
        let rules = Egress::default();
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "[::1]",
            "[::]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[::7f00:1]",
            "[::ffff:0:7f00:1]",
            "[64:ff9b:1::a00:1]",
            "2130706433",
            "0x7f.1",
            "017700000001",
        ] {
            let refused = rules.url(&format!("http://{private}:8080/hook"));
            assert!(matches!(refused, Err(Refused::Private(_))), "{private}: {refused:?}");
        }
        for public in ["8.8.8.8", "[2606:4700::1]", "example.com", "n8n"] {
            assert!(rules.url(&format!("https://{public}/hook")).is_ok(), "{public}");
        }
        for odd in ["ftp://example.com", "file:///etc/passwd", "example.com/hook", "http://", ""] {
            assert!(matches!(rules.url(odd), Err(Refused::NotHttp(_))), "{odd}");
        }
    }

    #[test]
    fn an_operator_opens_what_is_needed() {
        let rules = Egress::new(&["10.0.0.0/8".into(), "192.168.1.7".into(), "N8N".into()], &[80, 443], false);
        assert!(rules.url("http://10.9.9.9/").is_ok() && rules.url("http://192.168.1.7/").is_ok());
        assert!(rules.url("http://192.168.1.8/").is_err());
        assert!(rules.allows_host("n8n") && !rules.allows_host("db"));
        // Ports: of those that are listed any, of others some.
        for (url, refused) in [
            ("http://10.9.9.9:6379/", false),
            ("http://n8n:5678/", false),
            ("https://example.com/", false),
            ("http://example.com:443/", false),
            ("http://[2606:4700::1111]:25/", true),
        ] {
            assert_eq!(matches!(rules.url(url), Err(Refused::Port(..))), refused, "{url}");
        }
        let hosts = Egress::new(&["n8n".into()], &[443], false);
        assert!(hosts.url("https://example.com:22/").is_err() && hosts.url("http://n8n:22/").is_ok());
        assert!(Egress::new(&[], &[80, 443], true).url("http://127.0.0.1/").is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        let ask = |rules: Egress| Resolver::new(Arc::new(rules)).resolve("localhost".parse().unwrap());
        assert!(ask(Egress::default()).await.is_err());
        assert!(
            ask(Egress::new(&["localhost".into()], &[], false)).await.is_ok_and(|mut found| found.next().is_some())
        );
    }

    /// A name that leads to a public address when it is looked at, and inside from then on. Of loopback one address plays the public
    /// one.
    #[tokio::test]
    async fn a_name_that_turns_inside_is_not_followed() {
        static LOOKED: AtomicUsize = AtomicUsize::new(0);
        let outside = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = outside.local_addr().unwrap().port();
        let inside = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
        let rules = Arc::new(Egress::new(&["127.0.0.1".into()], &[], false));
        let look_up = |_: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let last = if LOOKED.fetch_add(1, Ordering::SeqCst) == 0 { 1 } else { 2 };
            Box::pin(async move { Ok(vec![SocketAddr::from(([127, 0, 0, last], 0))]) })
        };
        provide_tls();
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = client.dns_resolver(Arc::new(Resolver { rules, look_up })).build().unwrap();
        let url = format!("http://rebinding.example:{port}/");
        let served = tokio::spawn(async move {
            let (mut guest, _) = outside.accept().await.unwrap();
            let mut asked = [0; 1024];
            let _ = guest.read(&mut asked).await.unwrap();
            guest.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        });
        let first = client.get(&url).send().await.unwrap();
        assert_eq!((first.text().await.unwrap().as_str(), LOOKED.load(Ordering::SeqCst)), ("ok", 1), "looked at once");
        served.await.unwrap();
        assert!(client.get(&url).send().await.is_err());
        assert_eq!(LOOKED.load(Ordering::SeqCst), 2);
        let came = tokio::time::timeout(std::time::Duration::from_millis(50), inside.accept()).await;
        assert!(came.is_err(), "nothing came inside");
    }
}
