//! The sockets that hold published ports.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

/// Connections that wait to be accepted by the proxy.
const BACKLOG: i32 = 128;

/// A bound socket.
#[derive(Debug)]
pub(crate) enum BoundSocket {
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

/// Binds (and for TCP listens) without blocking, IPv6 apart from IPv4.
pub(crate) fn open(udp: bool, address: SocketAddr) -> io::Result<BoundSocket> {
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
    // Connections of an earlier holder in TIME_WAIT do not matter.
    set_socket_reuseaddr(&fd, true)?;
    bind(&fd, &address)?;
    listen(&fd, BACKLOG)?;
    Ok(BoundSocket::Tcp(fd.into()))
}
