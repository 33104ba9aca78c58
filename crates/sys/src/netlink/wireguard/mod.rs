//! WireGuard devices: keys and peers of a link of this kind (`linux/wireguard.h`).
//!
//! What a device has already is not touched, so that setting it again cuts no session off.

mod key;

use std::net::{IpAddr, SocketAddr};

use super::cidr::Cidr;
use super::error::Result;
use super::generic::{Family, HEADER_LEN};
use super::message::{Attributes, Message, u16_at};
use super::route::octets;
use super::socket::{ACK, DUMP, REQUEST};
pub use key::{KEY_BYTES, Key};

const VERSION: u8 = 1;
const CMD_GET_DEVICE: u8 = 0;
const CMD_SET_DEVICE: u8 = 1;

const DEVICE_IFNAME: u16 = 2;
const DEVICE_PRIVATE_KEY: u16 = 3;
const DEVICE_PUBLIC_KEY: u16 = 4;
const DEVICE_LISTEN_PORT: u16 = 6;
const DEVICE_FWMARK: u16 = 7;
const DEVICE_PEERS: u16 = 8;

const PEER_PUBLIC_KEY: u16 = 1;
const PEER_PRESHARED_KEY: u16 = 2;
const PEER_FLAGS: u16 = 3;
const PEER_ENDPOINT: u16 = 4;
const PEER_KEEPALIVE: u16 = 5;
const PEER_ALLOWED_IPS: u16 = 9;
const PEER_REMOVE: u32 = 1;
const PEER_REPLACE_ALLOWED_IPS: u32 = 2;
const PEER_UPDATE_ONLY: u32 = 4;

const ALLOWED_IP_FAMILY: u16 = 1;
const ALLOWED_IP_ADDRESS: u16 = 2;
const ALLOWED_IP_MASK: u16 = 3;

/// Addresses in one message: each takes 36 bytes at most, and the attribute around them is at most 64 KiB long.
const ADDRESSES_AT_ONCE: usize = 1000;

/// What a WireGuard device is told to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its own key.
    pub private_key: Key,
    /// UDP port; `None`: the kernel draws one.
    pub listen_port: Option<u16>,
    /// Mark of the packets that it sends, for rules of routing; 0: none.
    pub fwmark: u32,
    /// Whom it talks with; all others are removed.
    pub peers: Vec<WireguardPeer>,
}

/// Another end of a WireGuard device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireguardPeer {
    /// Its public key, by which it is known.
    pub public_key: Key,
    /// A key that both share, in addition.
    pub preshared_key: Option<Key>,
    /// Where it is; `None`: it is learnt from the packets that come.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between packets that keep a way through a firewall open; 0: none are sent.
    pub keepalive: u16,
    /// What it may send, and what is sent to it.
    pub allowed_ips: Vec<Cidr>,
}

/// What the kernel tells of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceState {
    /// Public key that belongs to its private one; `None` without one.
    pub public_key: Option<Key>,
    /// UDP port; 0 while it has none.
    pub listen_port: u16,
    /// Public keys of its peers, with the addresses of those that are known.
    pub peers: Vec<(Key, Option<SocketAddr>)>,
}

/// A handle on the WireGuard devices of the calling thread's network namespace.
#[derive(Debug)]
pub struct Wireguard(Family);

impl Wireguard {
    /// Opens it.
    ///
    /// # Errors
    /// `ENOENT` when the kernel has no WireGuard: the module comes with the first link of the kind.
    pub fn open() -> Result<Self> {
        Family::open("wireguard", VERSION).map(Self)
    }

    /// What the device called `name` is now.
    ///
    /// # Errors
    /// `ENODEV` when there is none, `EOPNOTSUPP` when the link is of another kind.
    pub fn device(&mut self, name: &str) -> Result<DeviceState> {
        let mut message = self.0.message(CMD_GET_DEVICE, REQUEST | ACK | DUMP);
        message.attr_str(DEVICE_IFNAME, name);
        let what = format!("read wireguard device {name}");
        // A device with many peers comes in several messages.
        let parts = self.0.socket.dump(&what, &mut message, |reply| {
            Some(decode(Attributes::after(reply.body, HEADER_LEN)))
        })?;
        Ok(parts.into_iter().fold(DeviceState::default(), join))
    }

    /// Makes the device called `name` what `device` says.
    ///
    /// # Errors
    /// As [`Self::device`], and when the kernel refuses a key or an address.
    pub fn set(&mut self, name: &str, device: &Device) -> Result<()> {
        let present = self.device(name)?;
        let gone = present.peers.iter().map(|(key, _)| key).filter(|key| {
            let mut peers = device.peers.iter();
            !peers.any(|peer| peer.public_key == **key)
        });
        for key in gone {
            self.change(name, "remove a peer", |message| {
                peer(message, key, PEER_REMOVE, |_| {});
            })?;
        }
        self.change(name, "set", |message| {
            message.attr(DEVICE_PRIVATE_KEY, device.private_key.bytes());
            if let Some(port) = device.listen_port {
                message.attr_u16(DEVICE_LISTEN_PORT, port);
            }
            message.attr_u32(DEVICE_FWMARK, device.fwmark);
        })?;
        device.peers.iter().try_for_each(|wanted| {
            let known = present
                .peers
                .iter()
                .find(|(key, _)| *key == wanted.public_key);
            // Where a peer is now is known better than where it was once: it may have moved.
            let endpoint = wanted
                .endpoint
                .filter(|_| known.is_none_or(|(_, at)| at.is_none()));
            self.set_peer(name, wanted, endpoint)
        })
    }

    /// Says where the peer with this key is, when the device has it.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_endpoint(&mut self, name: &str, key: &Key, endpoint: SocketAddr) -> Result<()> {
        self.change(name, "set the endpoint of a peer", |message| {
            peer(message, key, PEER_UPDATE_ONLY, |m| {
                m.attr(PEER_ENDPOINT, &socket_address(endpoint));
            });
        })
    }

    fn set_peer(
        &mut self,
        name: &str,
        wanted: &WireguardPeer,
        endpoint: Option<SocketAddr>,
    ) -> Result<()> {
        let key = &wanted.public_key;
        let what = "set a peer";
        let mut chunks = wanted.allowed_ips.chunks(ADDRESSES_AT_ONCE);
        let first = chunks.next().unwrap_or(&[]);
        self.change(name, what, |message| {
            peer(message, key, PEER_REPLACE_ALLOWED_IPS, |m| {
                let shared = wanted
                    .preshared_key
                    .as_ref()
                    .map_or(&[0; KEY_BYTES], Key::bytes);
                m.attr(PEER_PRESHARED_KEY, shared);
                if let Some(endpoint) = endpoint {
                    m.attr(PEER_ENDPOINT, &socket_address(endpoint));
                }
                m.attr_u16(PEER_KEEPALIVE, wanted.keepalive);
                allowed_ips(m, first);
            });
        })?;
        for more in chunks {
            self.change(name, what, |message| {
                peer(message, key, 0, |m| allowed_ips(m, more));
            })?;
        }
        Ok(())
    }

    fn change(&mut self, name: &str, what: &str, fill: impl FnOnce(&mut Message)) -> Result<()> {
        let mut message = self.0.message(CMD_SET_DEVICE, REQUEST | ACK);
        message.attr_str(DEVICE_IFNAME, name);
        fill(&mut message);
        let what = format!("wireguard device {name}: {what}");
        self.0.socket.request(&what, &mut message)
    }
}

/// The list of peers with one in it.
fn peer(message: &mut Message, key: &Key, flags: u32, fill: impl FnOnce(&mut Message)) {
    message.nest(DEVICE_PEERS, |m| {
        m.nest(0, |m| {
            m.attr(PEER_PUBLIC_KEY, key.bytes());
            m.attr_u32(PEER_FLAGS, flags);
            fill(m);
        });
    });
}

fn allowed_ips(message: &mut Message, addresses: &[Cidr]) {
    message.nest(PEER_ALLOWED_IPS, |m| {
        for address in addresses {
            let network = address.network();
            m.nest(0, |m| {
                let family = super::route::family(network.address());
                m.attr_u16(ALLOWED_IP_FAMILY, family.into())
                    .attr(ALLOWED_IP_ADDRESS, &octets(network.address()))
                    .attr_u8(ALLOWED_IP_MASK, network.prefix());
            });
        }
    });
}

/// `struct sockaddr_in` or `struct sockaddr_in6`: the family in host order, the port in network order (ip(7), ipv6(7)).
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = u16::from(super::route::family(address.ip()))
        .to_ne_bytes()
        .to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes.extend(v4.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(v6) => {
            bytes.extend(v6.flowinfo().to_be_bytes());
            bytes.extend(v6.ip().octets());
            bytes.extend(v6.scope_id().to_ne_bytes());
        }
    }
    bytes
}

fn read_socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?);
    let address: IpAddr = if bytes.len() < 28 {
        <[u8; 4]>::try_from(bytes.get(4..8)?).ok()?.into()
    } else {
        <[u8; 16]>::try_from(bytes.get(8..24)?).ok()?.into()
    };
    Some(SocketAddr::new(address, port))
}

fn decode(attributes: Attributes<'_>) -> DeviceState {
    let mut state = DeviceState::default();
    for (kind, value) in attributes {
        match kind {
            DEVICE_PUBLIC_KEY => state.public_key = Key::from_slice(value),
            DEVICE_LISTEN_PORT => state.listen_port = u16_at(value, 0).unwrap_or(0),
            DEVICE_PEERS => {
                let peers = Attributes(value).filter_map(|(_, peer)| decode_peer(Attributes(peer)));
                state.peers.extend(peers);
            }
            _ => {}
        }
    }
    state
}

fn decode_peer(attributes: Attributes<'_>) -> Option<(Key, Option<SocketAddr>)> {
    let (mut key, mut endpoint) = (None, None);
    for (kind, value) in attributes {
        match kind {
            PEER_PUBLIC_KEY => key = Key::from_slice(value),
            PEER_ENDPOINT => endpoint = read_socket_address(value),
            _ => {}
        }
    }
    Some((key?, endpoint))
}

/// A peer whose addresses need more than one message comes several times.
fn join(mut whole: DeviceState, part: DeviceState) -> DeviceState {
    whole.public_key = whole.public_key.or(part.public_key);
    whole.listen_port = whole.listen_port.max(part.listen_port);
    for (key, endpoint) in part.peers {
        if !whole.peers.iter().any(|(known, _)| *known == key) {
            whole.peers.push((key, endpoint));
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_come_back_as_they_were_sent() {
        for text in ["192.0.2.1:51820", "[2001:db8::1]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(read_socket_address(&socket_address(address)), Some(address));
        }
        assert_eq!(read_socket_address(&[0; 3]), None);
    }

    #[test]
    fn parts_of_a_device_are_one_device() {
        let key = |byte: u8| Key::from_slice(&[byte; 32]).unwrap();
        let part = |peers: &[u8]| DeviceState {
            public_key: None,
            listen_port: 7,
            peers: peers.iter().map(|byte| (key(*byte), None)).collect(),
        };
        let whole = [part(&[1, 2]), part(&[2, 3])]
            .into_iter()
            .fold(DeviceState::default(), join);
        assert_eq!(whole, part(&[1, 2, 3]));
    }
}
