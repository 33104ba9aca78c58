//! Published ports: reading the wishes, choosing host ports, and holding them by bound sockets.
//!
//! The kernel translates packets before they reach these sockets; they are bound so that no other program takes the
//! port unnoticed and so that a conflict shows at once, and they carry what is not translated (in the network child, [`super::helper`]).

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use engine_api::{Error, PortBinding, PortMap, Result};
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::record::PublishedPort;

/// First and last host port for wishes without one: the kernel's default range, which Docker uses.
const EPHEMERAL: (u16, u16) = (32768, 60999);
/// Connections that wait to be accepted by the proxy.
const BACKLOG: i32 = 128;
/// Ports one container may publish: ranges are written quickly and each port costs sockets and rules.
const PORT_LIMIT: usize = 4096;

/// A port of the container that shall be reachable on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PortWish {
    pub(super) udp: bool,
    pub(super) container_port: u16,
    /// Host address; `None`: all, IPv4 and IPv6.
    pub(super) host_address: Option<IpAddr>,
    /// Host ports that will do, first to last; `None`: any free one.
    pub(super) host_ports: Option<(u16, u16)>,
}

/// A bound socket.
#[derive(Debug)]
pub(super) enum BoundSocket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl AsFd for BoundSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

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

/// Reads `80/tcp` or `8000-8010/udp`: (udp, first, last).
fn parse_port(text: &str) -> Result<(bool, u16, u16)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let invalid = || Error::bad_parameter(format!("invalid port specification: {text:?}"));
    let udp = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => false,
        "udp" => true,
        "sctp" => {
            return Err(Error::bad_parameter(
                "sctp ports cannot be published by System Docker",
            ));
        }
        other => return Err(Error::bad_parameter(format!("invalid proto: {other}"))),
    };
    let (first, last) = parse_range(range).ok_or_else(invalid)?;
    if first == 0 {
        Err(invalid())
    } else {
        Ok((udp, first, last))
    }
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn parse_binding(udp: bool, container_port: u16, binding: &PortBinding) -> Result<PortWish> {
    let host_ports = match binding.host_port.as_str() {
        "" | "0" => None,
        text => Some(
            parse_range(text)
                .filter(|(first, _)| *first > 0)
                .ok_or_else(|| {
                    Error::bad_parameter(format!("invalid port specification: {text:?}"))
                })?,
        ),
    };
    let host_address = match binding.host_ip.as_str() {
        "" => None,
        text => Some(
            text.trim_matches(['[', ']'])
                .parse()
                .map_err(|_| Error::bad_parameter(format!("invalid IP address: {text}")))?,
        ),
    };
    Ok(PortWish {
        udp,
        container_port,
        host_address,
        host_ports,
    })
}

/// Reads `PortBindings`, and `ExposedPorts` when all of them shall be published. Also the check at container create.
pub(super) fn wishes(
    bindings: &PortMap,
    exposed: &[String],
    publish_all: bool,
) -> Result<Vec<PortWish>> {
    let mut wishes = Vec::new();
    for (port, bindings) in bindings {
        let (udp, first, last) = parse_port(port)?;
        for container_port in first..=last {
            for binding in bindings.iter().flatten() {
                wishes.push(parse_binding(udp, container_port, binding)?);
            }
        }
    }
    if publish_all {
        for port in exposed {
            let (udp, first, last) = parse_port(port)?;
            for container_port in first..=last {
                if !wishes
                    .iter()
                    .any(|w: &PortWish| w.udp == udp && w.container_port == container_port)
                {
                    wishes.push(PortWish {
                        udp,
                        container_port,
                        host_address: None,
                        host_ports: None,
                    });
                }
            }
        }
    }
    if wishes.len() > PORT_LIMIT {
        return Err(Error::bad_parameter(format!(
            "more than {PORT_LIMIT} published ports"
        )));
    }
    Ok(wishes)
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

/// Binds (and for TCP listens) without blocking, IPv6 apart from IPv4.
pub(super) fn open(udp: bool, address: SocketAddr) -> io::Result<BoundSocket> {
    let family = if address.is_ipv6() {
        AddressFamily::INET6
    } else {
        AddressFamily::INET
    };
    let kind = if udp {
        SocketType::DGRAM
    } else {
        SocketType::STREAM
    };
    let fd: OwnedFd = socket_with(
        family,
        kind,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    if address.is_ipv6() {
        set_ipv6_v6only(&fd, true)?;
    }
    if udp {
        bind(&fd, &address)?;
        return Ok(BoundSocket::Udp(fd.into()));
    }
    // Connections of an earlier holder in TIME_WAIT are no reason to refuse.
    set_socket_reuseaddr(&fd, true)?;
    bind(&fd, &address)?;
    listen(&fd, BACKLOG)?;
    Ok(BoundSocket::Tcp(fd.into()))
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

    fn binding(host_ip: &str, host_port: &str) -> Option<Vec<PortBinding>> {
        Some(vec![PortBinding {
            host_ip: host_ip.into(),
            host_port: host_port.into(),
        }])
    }

    #[test]
    fn wishes_are_read_with_ranges() {
        let bindings = PortMap::from([
            ("80/tcp".into(), binding("127.0.0.1", "8000-8010")),
            ("53/udp".into(), binding("", "")),
            ("81".into(), None),
        ]);
        let all = wishes(&bindings, &["80/tcp".into(), "90-91".into()], true).unwrap();
        let text: Vec<_> = all
            .iter()
            .map(|w| (w.udp, w.container_port, w.host_ports))
            .collect();
        assert_eq!(
            text,
            [
                (true, 53, None),
                (false, 80, Some((8000, 8010))),
                (false, 90, None),
                (false, 91, None)
            ]
        );
        for (port, host_port) in [
            ("0/tcp", "80"),
            ("80/icmp", "80"),
            ("80/tcp", "9-8"),
            ("x", ""),
            ("80", "70000"),
        ] {
            let bad = PortMap::from([(port.into(), binding("", host_port))]);
            assert_eq!(
                wishes(&bad, &[], false).unwrap_err().status,
                400,
                "{port} {host_port}"
            );
        }
    }

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
