//! How many connections are open, in all and from each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::limits::Limits;
use super::measure;
use crate::access::Peer;

/// Counts open connections.
pub(super) struct Connections {
    most: usize,
    most_per_ip: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One open connection; dropped when it closes.
pub(super) struct Slot(Arc<Connections>, IpAddr);

impl Connections {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let (most, most_per_ip) = (limits.connections, limits.connections_per_ip);
        Arc::new(Self { most, most_per_ip, open: Mutex::default() })
    }

    /// A slot for a connection from `ip`; none if the server or the address has enough.
    pub(super) fn open(self: &Arc<Self>, ip: IpAddr) -> Option<Slot> {
        let ip = share(ip);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let of_ip = open.get(&ip).copied().unwrap_or(0);
        if all >= self.most || of_ip >= self.most_per_ip {
            measure::connection_refused();
            return None;
        }
        open.insert(ip, of_ip + 1);
        measure::connections(all + 1);
        Some(Slot(Arc::clone(self), ip))
    }
}

impl Slot {
    /// Whoever is connected.
    pub(super) fn peer(&self) -> Peer {
        Peer(self.1)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.1);
            }
        }
        measure::connections(open.values().sum());
    }
}

/// Who shares: an IPv4 address, or an IPv6 network of 64 bits, which one host has to itself.
fn share(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & (u128::MAX << 64)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(connections: usize, connections_per_ip: usize) -> Arc<Connections> {
        Connections::new(&Limits { connections, connections_per_ip, ..Limits::default() })
    }

    #[test]
    fn address_over_its_share_leaves_room_for_others() {
        let (a, b) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let open = connections(3, 2);
        let held = (open.open(a), open.open(a));
        assert!(held.0.is_some() && held.1.is_some());
        assert!(open.open(a).is_none());
        let other = open.open(b);
        assert!(other.is_some());
        assert!(open.open(b).is_none(), "the server has enough");
        drop(held);
        assert!(open.open(a).is_some());
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let open = connections(9, 1);
        let held = open.open("2001:db8::1".parse().expect("an address"));
        assert!(held.is_some());
        assert!(open.open("2001:db8::2".parse().expect("an address")).is_none());
        assert!(open.open("2001:db8:0:1::1".parse().expect("an address")).is_some());
    }
}
