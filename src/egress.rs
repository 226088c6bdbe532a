//! Where the server may connect to on behalf of its users: the public internet, and what the operator lists. Otherwise whoever
//! may name a URL could look around inside the operator's network.

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Url};
use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use wardroom_actors::domain::ids::TenantId;
use wardroom_actors::ports::BoxFuture;

/// Hosts of one tenant.
const HOSTS: usize = 100;

/// Chooses who encrypts what this process sends, once; to be called before anything is asked over the network.
pub fn provide_tls() {
    // Whoever came first decides.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The only hosts that a tenant's URLs may name: `example.com`, `*.example.com` for whatever is below it, or an address. What is private
/// stays so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// Reads such a list; none at all is nowhere.
    ///
    /// # Errors
    /// What is no host.
    pub fn read(list: &[String]) -> Result<Self, String> {
        if list.len() > HOSTS {
            return Err(format!("a tenant has at most {HOSTS} hosts"));
        }
        let read = |text: &String| host(text).ok_or_else(|| format!("{text:?} is no host"));
        list.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> &[String] {
        &self.0
    }

    fn allow(&self, host: &str) -> bool {
        self.0.iter().any(|one| match one.strip_prefix('*') {
            Some(end) => host.len() > end.len() && host.ends_with(end),
            None => one == host,
        })
    }
}

/// One of such a list, as URLs have it.
fn host(text: &str) -> Option<String> {
    let (below, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let name = name.parse::<Ipv6Addr>().map_or_else(|_| name.to_owned(), |address| format!("[{address}]"));
    // A port would be left out where it is the usual one.
    let url = Url::parse(&format!("http://{name}/"))
        .ok()
        .filter(|_| !name.rsplit(']').next().is_some_and(|end| end.contains(':')))?;
    let host = url.host_str().filter(|host| url.as_str() == format!("http://{host}/") && !host.contains('*'))?;
    (below.is_empty() || url.domain().is_some()).then(|| format!("{below}{host}"))
}

/// The rules.
#[derive(Debug, Default)]
pub struct Egress {
    /// Nothing is refused.
    pub all: bool,
    /// Hosts by name.
    pub hosts: Vec<String>,
    /// Networks.
    pub networks: Vec<IpNet>,
    /// Ports of everybody else; none: any.
    pub ports: Vec<u16>,
    /// Of tenants that have such a list.
    tenants: RwLock<HashMap<TenantId, Hosts>>,
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
    /// A name that leads to none of the operator's networks, with a port that is meant for those alone.
    #[error("{0} is in none of the networks of egress.allow, and its port none of egress.ports")]
    Outside(String),
    /// A host that is none of the tenant's.
    #[error("{0} is none of the hosts that this tenant's URLs may name")]
    Host(String),
}

/// Why a host that may be asked gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// Our own rules, once its name was looked up.
    #[error("{0}")]
    Refused(Refused),
    /// It does not speak TLS, or nobody vouches that it is the one.
    #[error("cannot be trusted ({0})")]
    Tls(rustls::Error),
    /// It did not answer in time.
    #[error("takes too long")]
    Timeout,
    /// Nobody is there.
    #[error("cannot be reached")]
    Unreachable,
    /// It began, and did not end.
    #[error("broke off")]
    Broken,
}

impl From<&reqwest::Error> for Failure {
    fn from(error: &reqwest::Error) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(one) = cause {
            if let Some(refused) = one.downcast_ref::<Refused>() {
                return Self::Refused(refused.clone());
            }
            if let Some(tls) = one.downcast_ref::<rustls::Error>() {
                return Self::Tls(tls.clone());
            }
            // What an io::Error holds is not its source, but beside it.
            let held = one.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = held.map(|held| held as &(dyn Error + 'static)).or_else(|| one.source());
        }
        match () {
            () if error.is_timeout() => Self::Timeout,
            () if error.is_connect() => Self::Unreachable,
            () => Self::Broken,
        }
    }
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

    /// From now on these tenants have these lists, and all others none. One that cannot be read leads nowhere.
    pub fn set_tenants(&self, tenants: HashMap<TenantId, Vec<String>>) {
        let read = |(tenant, list): (_, Vec<_>)| (tenant, Hosts::read(&list).unwrap_or(Hosts(vec![])));
        let tenants = tenants.into_iter().map(read).collect();
        *self.tenants.write().unwrap_or_else(PoisonError::into_inner) = tenants;
    }

    /// Reads a URL, a tenant's or the operator's own, and refuses what cannot be allowed whatever its name resolves to.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn url(&self, whose: Option<TenantId>, text: &str) -> Result<Url, Refused> {
        let not_http = || Refused::NotHttp(text.to_owned());
        let url = Url::parse(text).map_err(|_| not_http())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(not_http());
        }
        let host = url.host_str().ok_or_else(not_http)?;
        let lists = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        if whose.and_then(|tenant| lists.get(&tenant)).is_some_and(|hosts| !hosts.allow(host)) {
            return Err(Refused::Host(host.to_owned()));
        }
        // An address in the place of a name is connected to without asking a resolver.
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        if address.is_some_and(|address| !self.allows(address)) {
            return Err(Refused::Private(host.to_owned()));
        }
        // Which network a name leads to is not known yet: of names `Clients` sees to that.
        let in_network = address.map_or(!self.networks.is_empty(), |address| self.lists(address));
        match url.port_or_known_default() {
            Some(port) if !in_network && self.is_for_listed(host, port) => Err(Refused::Port(host.to_owned(), port)),
            _ => Ok(url),
        }
    }

    /// Whether a port is one that only hosts and networks which the operator lists may be asked at, and this host is none of those.
    fn is_for_listed(&self, host: &str, port: u16) -> bool {
        !self.all && !self.ports.is_empty() && !self.ports.contains(&port) && !self.allows_host(host)
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
        // Teredo, benchmarks, documentation; and whatever is not in the block of global unicast addresses.
        (None, [0x2001, 0 | 2 | 0xdb8, ..], _) => true,
        (None, [0x3fff, second, ..], _) if second < 0x1000 => true,
        (None, [first, ..], _) => first & 0xe000 != 0x2000,
    }
}

/// Clients that connect by these rules. Where a name with a port for listed networks alone leads is seen to by a client of its own, because
/// who resolves names is not told the port.
pub struct Clients {
    anywhere: Client,
    /// Where there are such networks.
    inside: Option<Client>,
    rules: Arc<Egress>,
}

impl Clients {
    /// Clients that are otherwise as this says.
    ///
    /// # Errors
    /// When the system has no certificates to trust.
    pub fn new(rules: Arc<Egress>, like: impl Fn() -> ClientBuilder) -> reqwest::Result<Self> {
        let client = |inside| like().dns_resolver(Arc::new(Resolver::new(Arc::clone(&rules), inside))).build();
        let inside = (!rules.networks.is_empty()).then(|| client(true)).transpose()?;
        Ok(Self { anywhere: client(false)?, inside, rules })
    }

    /// Reads a URL as [`Egress::url`] does; answers it with the client that asks it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn url(&self, whose: Option<TenantId>, text: &str) -> Result<(Url, &Client), Refused> {
        let url = self.rules.url(whose, text)?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let inside = self.inside.as_ref().filter(|_| self.rules.is_for_listed(host, port));
        Ok((url, inside.unwrap_or(&self.anywhere)))
    }
}

/// Resolves names to addresses that are allowed: the connection goes to what was looked at, not to a second answer.
struct Resolver {
    rules: Arc<Egress>,
    /// To those of listed networks alone.
    inside: bool,
    look_up: fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>,
}

impl Resolver {
    /// One that asks the system.
    fn new(rules: Arc<Egress>, inside: bool) -> Self {
        let look_up = |host: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.collect()) })
        };
        Self { rules, inside, look_up }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, inside, look_up) = (Arc::clone(&self.rules), self.inside, self.look_up);
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = look_up(host.clone()).await?;
            if inside && !found.iter().all(|address| rules.lists(address.ip())) {
                return Err(Refused::Outside(host).into());
            }
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
            "[2001:2::1]",
            "[2001:db8::1]",
            "[3fff:fff::1]",
            "[::ffff:127.0.0.1]",
            "127.0.0.2",
            "127.1",
            "0",
            "198.18.0.1",
            "192.0.2.1",
            "203.0.113.1",
            "2130706433",
            "0x7f.1",
            "017700000001",
        ] {
            let refused = rules.url(None, &format!("http://{private}:8080/hook"));
            assert!(matches!(refused, Err(Refused::Private(_))), "{private}: {refused:?}");
        }
        for public in
            ["8.8.8.8", "172.217.16.46", "[2606:4700::1]", "[3fff:1000::1]", "example.com", "10.example.com", "n8n"]
        {
            assert!(rules.url(None, &format!("https://{public}/hook")).is_ok(), "{public}");
        }
        for odd in ["ftp://example.com", "file:///etc/passwd", "example.com/hook", "http://", ""] {
            assert!(matches!(rules.url(None, odd), Err(Refused::NotHttp(_))), "{odd}");
        }
    }

    #[test]
    fn an_operator_opens_what_is_needed() {
        let rules = Egress::new(&["10.0.0.0/8".into(), "192.168.1.7".into(), "N8N".into()], &[80, 443], false);
        assert!(rules.url(None, "http://10.9.9.9/").is_ok() && rules.url(None, "http://192.168.1.7/").is_ok());
        assert!(rules.url(None, "http://192.168.1.8/").is_err());
        assert!(rules.allows_host("n8n") && !rules.allows_host("db"));
        // Ports: of those that are listed any, of others some.
        for (url, refused) in [
            ("http://10.9.9.9:6379/", false),
            ("http://n8n:5678/", false),
            ("https://example.com/", false),
            ("http://example.com:443/", false),
            ("http://[2606:4700::1111]:25/", true),
        ] {
            assert_eq!(matches!(rules.url(None, url), Err(Refused::Port(..))), refused, "{url}");
        }
        let hosts = Egress::new(&["n8n".into()], &[443], false);
        assert!(hosts.url(None, "https://example.com:22/").is_err() && hosts.url(None, "http://n8n:22/").is_ok());
        assert!(Egress::new(&[], &[80, 443], true).url(None, "http://127.0.0.1/").is_ok());
    }

    #[test]
    fn a_tenant_s_urls_name_the_hosts_of_its_list() {
        let list = |hosts: &[&str]| Hosts::read(&hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>());
        let rules = Egress::default();
        let (one, other) = (TenantId::generate(), TenantId::generate());
        let hosts =
            list(&["Hooks.Example.com", "*.example.org", "8.8.8.8", "2606:4700::1", "10.0.0.1", "bücher.example"])
                .unwrap();
        assert_eq!(hosts.list().last().map(String::as_str), Some("xn--bcher-kva.example"));
        rules.set_tenants([(one, hosts.list().to_vec())].into());
        for (host, allowed) in [
            ("hooks.example.com", true),
            ("HOOKS.EXAMPLE.COM:8443", true),
            ("a.b.example.org", true),
            ("8.8.8.8", true),
            ("134744072", true),
            ("[2606:4700:0::1]", true),
            ("b%C3%BCcher.example", true),
            ("example.org", false),
            (".example.org", false),
            ("badexample.org", false),
            ("hooks.example.com.", false),
            ("hooks.example.com.evil.example", false),
            ("hooks.example.com@evil.example", false),
            ("8.8.4.4", false),
        ] {
            let refused = rules.url(Some(one), &format!("https://{host}/x"));
            assert_eq!(refused.is_ok(), allowed, "{host}: {refused:?}");
        }
        // Of whom there is no list; and what is private stays so.
        assert!(
            rules.url(Some(other), "https://evil.example/").is_ok() && rules.url(None, "https://evil.example/").is_ok()
        );
        assert!(matches!(rules.url(Some(one), "http://10.0.0.1/"), Err(Refused::Private(_))));
        for nowhere in [vec![], vec!["8.8.8.8".to_owned(), "no host".to_owned()]] {
            rules.set_tenants([(one, nowhere)].into());
            assert_eq!(rules.url(Some(one), "https://8.8.8.8/"), Err(Refused::Host("8.8.8.8".into())));
        }
        rules.set_tenants(HashMap::new());
        assert!(rules.url(Some(one), "https://8.8.8.8/").is_ok());
        for bad in [
            "",
            "*",
            "*.",
            "*.8.8.8.8",
            "a b",
            "a/b",
            "a:80",
            "u@a",
            "http://a",
            "a?b",
            "*.*.a",
            "a.*",
            "%2A.a",
            "[::1",
            "a#",
        ] {
            assert!(list(&[bad]).is_err(), "{bad}");
        }
        assert!(list(&["a"; HOSTS]).is_ok() && list(&["a"; HOSTS + 1]).is_err());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        let of = |rules: Egress, name: &str| Resolver::new(Arc::new(rules), false).resolve(name.parse().unwrap());
        let ask = |rules: Egress| of(rules, "localhost");
        assert!(ask(Egress::default()).await.is_err());
        assert!(of(Egress::new(&["localhost".into()], &[], false), "localhost.").await.is_err(), "not the one listed");
        assert!(
            ask(Egress::new(&["localhost".into()], &[], false)).await.is_ok_and(|mut found| found.next().is_some())
        );
    }

    #[tokio::test]
    async fn a_port_for_the_inside_leads_nowhere_else() {
        provide_tls();
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut guest, _)) = server.accept().await {
                let _ = guest.read(&mut [0; 1024]).await;
                let _ = guest.write_all(b"HTTP/1.1 204 x\r\nconnection: close\r\n\r\n").await;
            }
        });
        let ask = async |allow: &[&str], ports: &[u16]| {
            let allow: Vec<_> = allow.iter().map(|one| (*one).to_owned()).collect();
            let rules = Arc::new(Egress::new(&allow, ports, false));
            let clients = Clients::new(rules, || Client::builder().no_proxy()).unwrap();
            let (url, client) = clients.url(None, &format!("http://localhost:{port}/"))?;
            let answer = client.get(url).send().await;
            answer.map(|answer| answer.status().as_u16()).map_err(|error| match Failure::from(&error) {
                Failure::Refused(refused) => refused,
                other => panic!("{other}"),
            })
        };
        let (home, elsewhere) = (["127.0.0.0/8", "::1"], ["10.0.0.0/8"]);
        let host = || "localhost".to_owned();
        assert_eq!(ask(&home, &[443]).await, Ok(204), "a name of that network, at any port");
        assert_eq!(ask(&elsewhere, &[443]).await, Err(Refused::Outside(host())));
        assert_eq!(ask(&elsewhere, &[port]).await, Err(Refused::Private(host())));
        assert_eq!(ask(&[], &[443]).await, Err(Refused::Port(host(), port)));
        assert_eq!(ask(&["localhost", "10.0.0.0/8"], &[443]).await, Ok(204), "it is listed itself");
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
        let client = client.dns_resolver(Arc::new(Resolver { rules, inside: false, look_up })).build().unwrap();
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
