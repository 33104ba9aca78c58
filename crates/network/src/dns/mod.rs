//! Embedded DNS at 127.0.0.11 of containers on user-defined networks.
//!
//! Answers for containers' names, aliases, ids and host names; forwards everything else to the host's servers (or the
//! container's own `--dns`). The sockets are opened inside the container's namespace on a free port, and an nf_tables
//! rule there sends port 53 to it, so that a container may run its own name server on port 53. Requests are
//! served by the network child ([`super::helper`]): parsing is pure and bounded, a request in flight costs one task
//! and one socket, and [`FORWARD_LIMIT`] bounds them per container.

mod forward;
pub mod message;
mod server;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use sys::netlink::Cidr;
use sys::netlink::nftables::{
    Batch, Chain, ChainType, Family, Hook, PRIORITY_DSTNAT, Rule, Transport,
};

pub(super) use server::Server;

/// Where containers find the server, as in Docker.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The port of DNS.
pub const PORT: u16 = 53;
/// Requests of one container that wait for an upstream server at the same time.
pub const FORWARD_LIMIT: usize = 64;
/// Servers that are asked: what resolv.conf(5) takes.
const SERVER_LIMIT: usize = 3;
/// Table inside the container's namespace.
const TABLE: &str = "system-docker-dns";

/// What the server answers with; asked again for every request.
pub trait Directory {
    /// Addresses of a container on the asker's networks; `None` when no container has that name.
    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>>;
    /// Name of the container with this address on the asker's networks.
    fn reverse(&self, address: IpAddr) -> Option<String>;
    /// Servers for all other names; empty when the container must not reach outside.
    fn upstreams(&self) -> Vec<SocketAddr>;
}

/// The server's sockets, opened in the container's namespace.
#[derive(Debug)]
pub struct Sockets {
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
}

impl Sockets {
    /// Opens the sockets in the calling thread's namespace, loopback being up, and redirects port 53 to them. Without
    /// nf_tables the server takes port 53 itself.
    ///
    /// # Errors
    /// When neither way works.
    pub fn open() -> io::Result<Self> {
        let redirected = Self::bind(0).and_then(|sockets| {
            let (udp, tcp) = (
                sockets.udp.local_addr()?.port(),
                sockets.tcp.local_addr()?.port(),
            );
            redirect(udp, tcp).map_err(io::Error::other)?;
            Ok(sockets)
        });
        redirected.or_else(|_| Self::bind(PORT))
    }

    fn bind(port: u16) -> io::Result<Self> {
        let udp = std::net::UdpSocket::bind((ADDRESS, port))?;
        let tcp = std::net::TcpListener::bind((ADDRESS, port))?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        Ok(Self { udp, tcp })
    }

    /// The open sockets, UDP first, to be given away.
    pub(super) fn files(&self) -> [BorrowedFd<'_>; 2] {
        [self.udp.as_fd(), self.tcp.as_fd()]
    }
}

/// The servers at these addresses that questions are forwarded to: none is the embedded one.
pub(super) fn upstreams(addresses: impl Iterator<Item = IpAddr>) -> Vec<SocketAddr> {
    addresses
        .filter(|address| *address != ADDRESS)
        .map(|address| SocketAddr::new(address, PORT))
        .take(SERVER_LIMIT)
        .collect()
}

fn redirect(udp: u16, tcp: u16) -> sys::netlink::Result<()> {
    let chain = Chain {
        name: "output",
        kind: ChainType::Nat,
        hook: Hook::Output,
        priority: PRIORITY_DSTNAT,
    };
    let to = IpAddr::V4(ADDRESS);
    let mut batch = Batch::new();
    batch
        .add_table(Family::Ipv4, TABLE)
        .add_chain(Family::Ipv4, TABLE, &chain)
        .flush_table(Family::Ipv4, TABLE);
    for (transport, port) in [(Transport::Udp, udp), (Transport::Tcp, tcp)] {
        let rule = Rule::new()
            .destination(Cidr::host(to))
            .to_port(transport, PORT)
            .dnat(to, port);
        batch.add_rule(Family::Ipv4, TABLE, chain.name, &rule);
    }
    batch.commit()
}
