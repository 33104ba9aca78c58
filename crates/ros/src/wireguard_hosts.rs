//! Peers of WireGuard devices that are named by their hosts: looked up again and again until each has an address, since DNS
//! may come later than the link.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use netconf::Plan;
use netconf::wireguard::Endpoint;
use sys::netlink::wireguard::{Key, Wireguard};

use crate::problems;

const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Looks names up in a separate thread, for one plan at a time.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    /// The number of the plan that counts.
    latest: Arc<AtomicU64>,
}

struct Peer {
    device: String,
    key: Key,
    host: String,
    port: u16,
}

impl Hosts {
    /// Begins with the peers of this plan; a search for those of an earlier one ends.
    pub(crate) fn look_up(&self, plan: &Plan) {
        let number = self.latest.fetch_add(1, Ordering::Relaxed) + 1;
        let mut peers = peers(plan);
        if peers.is_empty() {
            return;
        }
        let latest = Arc::clone(&self.latest);
        std::thread::spawn(move || {
            let mut pause = FIRST_PAUSE;
            while latest.load(Ordering::Relaxed) == number {
                peers.retain(|peer| !place(peer));
                if peers.is_empty() {
                    return;
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        });
    }
}

fn peers(plan: &Plan) -> Vec<Peer> {
    let devices = plan.wireguards.iter();
    let named = devices.flat_map(|(name, device)| {
        device.peers.iter().filter_map(|peer| match &peer.endpoint {
            Some(Endpoint::Host(host, port)) => Some(Peer {
                device: name.clone(),
                key: peer.public_key.clone(),
                host: host.clone(),
                port: *port,
            }),
            Some(Endpoint::At(_)) | None => None,
        })
    });
    named.collect()
}

/// Whether nothing more is to be done for a peer.
fn place(peer: &Peer) -> bool {
    let addresses = (peer.host.as_str(), peer.port).to_socket_addrs();
    let Some(address) = addresses.ok().and_then(|mut found| found.next()) else {
        return false;
    };
    let set = Wireguard::open()
        .and_then(|mut devices| devices.set_endpoint(&peer.device, &peer.key, address));
    match set {
        Ok(()) => println!("{}: {} is {address}", peer.device, peer.host),
        Err(error) => problems::warn("network", &format!("{}: {error}", peer.device)),
    }
    true
}
