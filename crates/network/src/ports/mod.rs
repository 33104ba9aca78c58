//! Published ports: reading the wishes, choosing host ports, and holding them by bound sockets.
//!
//! The kernel translates packets before they reach these sockets; they are bound so that no other program takes the
//! port unnoticed and so that a conflict shows at once, and they carry what is not translated (in the network child, [`super::helper`]).

mod socket;
mod wish;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine_api::{Error, PortMap, Result};

use super::record::PublishedPort;
pub(super) use socket::{BoundSocket, open};
use wish::parse_port;
pub(super) use wish::{PortWish, check, wishes};

/// First and last host port for wishes without one: the kernel's default range, which Docker uses.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// Chooses host ports.
#[derive(Debug)]
pub(super) struct PortAllocator {
    next: u16,
}

impl Default for PortAllocator {
    fn default() -> Self {
        Self { next: EPHEMERAL.0 }
    }
}

/// Why a port is not to be had.
enum Refusal {
    /// Another container has it.
    Allocated,
    /// The kernel refuses.
    Bind(io::Error),
}

impl PortAllocator {
    /// Takes host ports for one wish: one socket per address. `targets` are the container's IPv4 and IPv6 addresses,
    /// `default` the network's host address, `taken` the ports of other containers.
    pub(super) fn publish(
        &mut self,
        wish: &PortWish,
        default: Option<IpAddr>,
        targets: (Option<IpAddr>, Option<IpAddr>),
        taken: &[PublishedPort],
    ) -> Result<Vec<(PublishedPort, BoundSocket)>> {
        let addresses = match wish.host_address.or(default) {
            None => vec![
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ],
            Some(address) => vec![address],
        };
        let mut last = None;
        for port in self.candidates(wish.host_ports) {
            match bind_all(wish, &addresses, port, targets, taken) {
                Ok(bound) => {
                    if wish.host_ports.is_none() {
                        self.next = if port >= EPHEMERAL.1 {
                            EPHEMERAL.0
                        } else {
                            port + 1
                        };
                    }
                    return Ok(bound);
                }
                Err((address, refusal)) => last = Some((SocketAddr::new(address, port), refusal)),
            }
        }
        Err(refused(wish, last))
    }

    fn candidates(&self, wanted: Option<(u16, u16)>) -> Box<dyn Iterator<Item = u16>> {
        match wanted {
            Some((first, last)) => Box::new(first..=last),
            None => Box::new((self.next..=EPHEMERAL.1).chain(EPHEMERAL.0..self.next)),
        }
    }
}

fn refused(wish: &PortWish, last: Option<(SocketAddr, Refusal)>) -> Error {
    let transport = if wish.udp { "udp" } else { "tcp" };
    Error::server(match last {
        None => "all ports are allocated".into(),
        Some((at, Refusal::Allocated)) => {
            format!("Bind for {at} failed: port is already allocated")
        }
        Some((at, Refusal::Bind(error))) => {
            let version = if at.is_ipv6() { 6 } else { 4 };
            let reason = match error.kind() {
                io::ErrorKind::AddrInUse => "address already in use".to_owned(),
                io::ErrorKind::AddrNotAvailable => "cannot assign requested address".to_owned(),
                _ => error.to_string(),
            };
            format!(
                "Error starting userland proxy: listen {transport}{version} {at}: bind: {reason}"
            )
        }
    })
}

fn bind_all(
    wish: &PortWish,
    addresses: &[IpAddr],
    port: u16,
    targets: (Option<IpAddr>, Option<IpAddr>),
    taken: &[PublishedPort],
) -> std::result::Result<Vec<(PublishedPort, BoundSocket)>, (IpAddr, Refusal)> {
    let mut bound = Vec::new();
    for &host_address in addresses {
        let target = if host_address.is_ipv6() {
            targets.1.or(targets.0)
        } else {
            targets.0
        };
        let Some(target) = target else {
            continue;
        };
        if taken
            .iter()
            .any(|other| collides(other, wish.udp, host_address, port))
        {
            return Err((host_address, Refusal::Allocated));
        }
        match open(wish.udp, SocketAddr::new(host_address, port)) {
            Ok(socket) => {
                let published = PublishedPort {
                    udp: wish.udp,
                    container_port: wish.container_port,
                    host_address,
                    host_port: port,
                    target,
                };
                bound.push((published, socket));
            }
            // A host without IPv6 publishes on IPv4 only.
            Err(error) if addresses.len() > 1 && host_address.is_ipv6() && no_ipv6(&error) => {}
            Err(error) => return Err((host_address, Refusal::Bind(error))),
        }
    }
    Ok(bound)
}

fn no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || { error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) }
}

fn collides(other: &PublishedPort, udp: bool, address: IpAddr, port: u16) -> bool {
    let same_address = other.host_address == address
        || (other.host_address.is_ipv6() == address.is_ipv6()
            && (other.host_address.is_unspecified() || address.is_unspecified()));
    other.udp == udp && other.host_port == port && same_address
}

/// `NetworkSettings.Ports`.
pub(super) fn to_map(published: &[PublishedPort], exposed: &[String]) -> PortMap {
    let mut map: PortMap = BTreeMap::new();
    for port in exposed {
        if let Ok((udp, first, last)) = parse_port(port) {
            let transport = if udp { "udp" } else { "tcp" };
            map.extend((first..=last).map(|port| (format!("{port}/{transport}"), None)));
        }
    }
    for port in published {
        map.entry(port.key())
            .or_default()
            .get_or_insert_default()
            .push(port.binding());
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let wish = PortWish {
            udp: false,
            container_port: 80,
            host_address: None,
            host_ports: None,
        };
        let wish = PortWish {
            host_address: Some(Ipv4Addr::LOCALHOST.into()),
            ..wish
        };
        let target = (Some(IpAddr::from([10, 0, 0, 2])), None);
        let mut allocator = PortAllocator::default();
        let (first, _socket) = allocator
            .publish(&wish, None, target, &[])
            .unwrap()
            .remove(0);
        let same = PortWish {
            host_ports: Some((first.host_port, first.host_port)),
            ..wish.clone()
        };
        let port = first.host_port;
        let own = allocator
            .publish(&same, None, target, &[first])
            .unwrap_err();
        assert_eq!(
            own.message,
            format!("Bind for 127.0.0.1:{port} failed: port is already allocated")
        );
        let alien = allocator.publish(&same, None, target, &[]).unwrap_err();
        assert_eq!(
            alien.message,
            format!(
                "Error starting userland proxy: listen tcp4 127.0.0.1:{port}: bind: address already in use"
            )
        );
        let other = allocator.publish(&wish, None, target, &[]).unwrap();
        assert_ne!(other[0].0.host_port, port);
    }
}
