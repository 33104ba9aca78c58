//! Carries what the kernel does not translate from a published port to its container: clients of `::1`, and IPv6
//! clients of a container that has IPv4 only. Docker starts a `docker-proxy` process per port for this.
//!
//! All other traffic never gets here: nf_tables translates it first. Bounded by [`CLIENT_LIMIT`] per port.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet, spawn_local};
use tokio::time::timeout;

use super::ports::BoundSocket;

/// Clients of one port at the same time.
const CLIENT_LIMIT: usize = 64;
/// How long the container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A UDP client that is silent for so long is forgotten; conntrack's value for answered streams.
const UDP_IDLE: Duration = Duration::from_secs(90);
/// Largest datagram.
const DATAGRAM_BYTES: usize = 64 * 1024;
/// Wait after a failed accept, so that a lasting error (no descriptors left) does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A held port; dropping it ends the proxy and frees the port.
#[derive(Debug)]
pub(super) struct Proxy(AbortHandle);

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Proxy {
    /// Starts on the current `LocalSet`.
    pub(super) fn start(socket: BoundSocket, target: SocketAddr) -> io::Result<Self> {
        let task = match socket {
            BoundSocket::Tcp(listener) => {
                spawn_local(tcp(TcpListener::from_std(listener)?, target))
            }
            BoundSocket::Udp(socket) => {
                spawn_local(udp(Rc::new(UdpSocket::from_std(socket)?), target))
            }
        };
        Ok(Self(task.abort_handle()))
    }
}

async fn tcp(listener: TcpListener, target: SocketAddr) {
    let slots = Arc::new(Semaphore::new(CLIENT_LIMIT));
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((mut client, _)) = accepted else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            continue;
        };
        connections.spawn_local(async move {
            let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
            if let Ok(Ok(mut container)) = connected {
                // A broken connection ends both sides; there is nobody to tell.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut container).await;
            }
            drop(slot);
        });
    }
}

async fn udp(socket: Rc<UdpSocket>, target: SocketAddr) {
    let mut clients: HashMap<SocketAddr, Rc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let (len, client) = tokio::select! {
            received = socket.recv_from(&mut buffer) => match received {
                Ok(received) => received,
                Err(_) => {
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            },
            Some(Ok(gone)) = answers.join_next() => {
                clients.remove(&gone);
                continue;
            }
        };
        if !clients.contains_key(&client) {
            if clients.len() >= CLIENT_LIMIT {
                continue;
            }
            let Ok(upstream) = connect_udp(target).await else {
                continue;
            };
            let upstream = Rc::new(upstream);
            clients.insert(client, upstream.clone());
            answers.spawn_local(answer(socket.clone(), upstream, client));
        }
        if let Some(upstream) = clients.get(&client) {
            let _ = upstream.send(&buffer[..len]).await;
        }
    }
}

async fn connect_udp(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if target.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// Carries the container's answers back until the client has been silent for [`UDP_IDLE`].
async fn answer(socket: Rc<UdpSocket>, upstream: Rc<UdpSocket>, client: SocketAddr) -> SocketAddr {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while let Ok(Ok(len)) = timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        let _ = socket.send_to(&buffer[..len], client).await;
    }
    client
}
