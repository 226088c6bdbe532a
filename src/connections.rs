//! Connections of clients: how many one address may have, and for how long an answer may wait to be taken.

use crate::auth::address::Proxies;
use crate::auth::watch::Origin;
use crate::live::gate::Conn;
use crate::metrics::Metrics;
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net;
use dashmap::{DashMap, Entry};
use std::any::Any;
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

/// Descriptors that a connection takes: its own, and the one by which it is cut from outside.
const DESCRIPTORS: u64 = 2;

/// How long a connection too many is open, to be told so.
const FAREWELL: Duration = Duration::from_secs(2);

/// How many connections there may be at once, of so many descriptors. Half of those is left for browsers, files and the database: a
/// client must not be able to use up what they live on.
#[must_use]
pub fn room(wanted: usize, descriptors: u64) -> usize {
    let room = usize::try_from(descriptors / 2 / DESCRIPTORS).unwrap_or(usize::MAX);
    wanted.min(room).max(1)
}

/// Whom connections come from.
pub struct Connections {
    /// Of one address; 0: any number.
    most: u32,
    /// How long a client may take nothing of what waits for it.
    stall: Duration,
    proxies: Proxies,
    open: DashMap<Origin, u32>,
    metrics: Arc<Metrics>,
}

/// A connection that is counted, as long as it is open.
struct Seat {
    connections: Arc<Connections>,
    /// Nothing where any number may come from.
    origin: Option<Origin>,
}

/// Left with a connection of an address that has too many: what it asks is not looked at.
pub struct Crowded;

impl Connections {
    /// None yet.
    #[must_use]
    pub fn new(most: u32, stall: Duration, proxies: Proxies, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { most, stall, proxies, open: DashMap::new(), metrics })
    }

    /// A client has connected.
    pub fn connected(self: &Arc<Self>, io: &dyn Any, extensions: &mut Extensions) {
        let over_tls = || Some(io.downcast_ref::<TlsStream<net::TcpStream>>()?.get_ref().0);
        let Some(stream) = io.downcast_ref::<net::TcpStream>().or_else(over_tls) else { return };
        let (Ok(peer), Ok(fd)) = (stream.peer_addr(), stream.as_fd().try_clone_to_owned()) else { return };
        // A second handle of the connection, so that a client that does not read can be cut off from outside.
        let conn = TcpStream::from(fd);
        // The kernel sees whether anything is taken, also of what it has yet to send when nobody here waits for that.
        let _ =
            rustix::net::sockopt::set_tcp_user_timeout(&conn, self.stall.as_millis().try_into().unwrap_or(u32::MAX));
        let conn = Arc::new(conn);
        match self.seat(peer.ip()) {
            Some(seat) => drop(extensions.insert(seat)),
            None => {
                extensions.insert(Crowded);
                let conn = Arc::downgrade(&conn);
                actix_rt::spawn(async move {
                    tokio::time::sleep(FAREWELL).await;
                    conn.upgrade().map(|conn| conn.shutdown(Shutdown::Both))
                });
            }
        }
        extensions.insert(Conn(conn));
    }

    /// One more from there; nothing when there are too many.
    fn seat(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let origin = (self.most > 0 && !self.proxies.stands_for_many(peer)).then(|| Origin::from(peer));
        if let Some(origin) = origin {
            let mut open = self.open.entry(origin).or_default();
            if *open >= self.most {
                return None;
            }
            *open += 1;
        }
        self.metrics.connections(1);
        Some(Seat { connections: Arc::clone(self), origin })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.connections.metrics.connections(-1);
        if let Some(Entry::Occupied(mut open)) = self.origin.map(|origin| self.connections.open.entry(origin)) {
            *open.get_mut() = open.get().saturating_sub(1);
            if *open.get() == 0 {
                open.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(listed: &[&str]) -> Arc<Connections> {
        let listed: Vec<_> = listed.iter().map(|&one| one.to_owned()).collect();
        let (proxies, metrics) = (Proxies::new(&listed).unwrap(), Arc::new(Metrics::new().unwrap()));
        Connections::new(2, Duration::from_secs(60), proxies, metrics)
    }

    #[test]
    fn an_address_has_so_many_connections_and_a_proxy_any_number() {
        let seats = |connections: &Arc<Connections>, peers: &[&str]| -> Vec<_> {
            peers.iter().filter_map(|peer| connections.seat(peer.parse().unwrap())).collect()
        };
        for (listed, peers, most) in [
            (&[][..], &["192.168.1.5"; 4][..], 4),
            (&[], &["8.8.8.8"; 4], 2),
            (&[], &["8.8.8.8", "::ffff:8.8.8.8", "8.8.8.8"], 2),
            (&[], &["8.8.8.8", "8.8.8.8", "8.8.4.4", "8.8.4.4"], 4),
            (&[], &["2a00::1", "2a00::2", "2a00::3", "2a00:0:0:1::1"], 3),
            (&[], &["127.0.0.1"; 4], 4),
            (&["10.0.0.0/8"], &["127.0.0.1"; 4], 2),
            (&["10.0.0.0/8"], &["10.1.2.3"; 4], 4),
        ] {
            let connections = connections(listed);
            let held = seats(&connections, peers);
            assert_eq!(held.len(), most, "{listed:?} {peers:?}");
            drop(held);
            assert!(connections.open.is_empty(), "{peers:?}: who has gone is forgotten");
            assert_eq!(seats(&connections, peers).len(), most, "{peers:?}: and may come again");
        }
    }

    #[test]
    fn half_of_the_descriptors_is_left_for_the_rest() {
        for (wanted, descriptors, is) in
            [(10_000, 1 << 20, 10_000), (10_000, 1024, 256), (10, 1024, 10), (0, 1024, 1), (9, 0, 1)]
        {
            assert_eq!(room(wanted, descriptors), is, "{wanted} of {descriptors}");
        }
    }
}
