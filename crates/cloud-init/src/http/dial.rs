//! How a connection is made: to an address on a link, from a port that only root can have, or through a socket file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, TcpConnector,
    Transport,
};

/// Ports that only root can bind; below 512 they are assigned (services(5)), so the upper half is tried.
const LOW_PORTS: std::ops::Range<u16> = 700..1024;
/// Most ports tried when others use them.
const MOST_PORTS: usize = 32;

/// How the host is reached.
#[derive(Debug, Clone, Default)]
pub struct Dial {
    /// Index of the link for link-local IPv6 addresses, which mean nothing without one.
    pub link: Option<u32>,
    /// Whether the source port must be below 1024 (Scaleway's user data).
    pub low_port: bool,
    /// A socket file to connect to, whatever the address says (LXD).
    pub socket_file: Option<PathBuf>,
}

impl Dial {
    pub(super) fn agent(&self, config: Config) -> Agent {
        let connector =
            ().chain(Special(self.clone()))
                .chain(TcpConnector::default())
                .chain(RustlsConnector::default());
        Agent::with_parts(config, connector, Scoped(self.clone()))
    }
}

/// Adds the link to link-local addresses. Needs no name server where the host is an address or a socket file.
#[derive(Debug)]
struct Scoped(Dial);

impl Resolver for Scoped {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or("").trim_matches(['[', ']']);
        let default = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default);
        let address = match host.parse::<IpAddr>() {
            _ if self.0.socket_file.is_some() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() => {
                SocketAddrV6::new(ip, port, 0, self.0.link.unwrap_or(0)).into()
            }
            Ok(ip) => SocketAddr::new(ip, port),
            Err(_) => return DefaultResolver::default().resolve(uri, config, timeout),
        };
        let mut addresses = self.empty();
        addresses.push(address);
        Ok(addresses)
    }
}

/// Makes the connections that ureq's own connector does not make.
#[derive(Debug)]
struct Special(Dial);

impl Connector<()> for Special {
    type Out = Socket;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Socket>, ureq::Error> {
        let socket: OwnedFd = if let Some(path) = &self.0.socket_file {
            UnixStream::connect(path)?.into()
        } else if self.0.low_port {
            let limit = details.timeout.not_zero();
            let address = details.addrs.iter().next();
            from_low_port(
                address.ok_or(ureq::Error::HostNotFound)?,
                limit.map_or(super::CONNECT, |left| *left),
            )?
        } else {
            return Ok(None);
        };
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Socket { socket, buffers }))
    }
}

/// Connects from the first low port that is free.
fn from_low_port(to: &SocketAddr, limit: Duration) -> std::io::Result<OwnedFd> {
    let (family, any): (_, IpAddr) = match to {
        SocketAddr::V4(_) => (AddressFamily::INET, Ipv4Addr::UNSPECIFIED.into()),
        SocketAddr::V6(_) => (AddressFamily::INET6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let mut last = std::io::Error::other("no port below 1024 is free");
    for port in LOW_PORTS.rev().take(MOST_PORTS) {
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        // connect(2) waits as long as a write may (socket(7), SO_SNDTIMEO).
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(limit))?;
        let bound = bind(&socket, &SocketAddr::new(any, port));
        match bound.and_then(|()| connect(&socket, to)) {
            Ok(()) => return Ok(socket),
            // Somebody has the port, or an earlier connection from it to the same host is not over.
            Err(error @ (Errno::ADDRINUSE | Errno::ADDRNOTAVAIL)) => last = error.into(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

/// HTTP over a socket that is connected already.
struct Socket {
    socket: OwnedFd,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish()
    }
}

impl Socket {
    fn limit(&self, which: sockopt::Timeout, timeout: &NextTimeout) -> Result<(), ureq::Error> {
        let left = timeout.not_zero().map(|left| *left);
        sockopt::set_socket_timeout(&self.socket, which, left)
            .map_err(|error| failed(error, timeout))
    }
}

fn failed(error: Errno, timeout: &NextTimeout) -> ureq::Error {
    match error {
        Errno::AGAIN | Errno::TIMEDOUT => ureq::Error::Timeout(timeout.reason),
        error => std::io::Error::from(error).into(),
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.limit(sockopt::Timeout::Send, &timeout)?;
        let mut rest = &self.buffers.output()[..amount];
        while !rest.is_empty() {
            let flags = rustix::net::SendFlags::NOSIGNAL;
            let sent = rustix::net::send(&self.socket, rest, flags);
            rest = &rest[sent.map_err(|error| failed(error, &timeout))?..];
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.limit(sockopt::Timeout::Recv, &timeout)?;
        let input = self.buffers.input_append_buf();
        let amount =
            rustix::io::read(&self.socket, input).map_err(|error| failed(error, &timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        false // one question a connection
    }
}
