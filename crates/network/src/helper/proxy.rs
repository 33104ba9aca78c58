//! Carries what the kernel does not translate from a published port to its container: clients of `::1`, and IPv6
//! clients of a container that has IPv4 only. Docker starts a `docker-proxy` process per port for this.
//!
//! All other traffic never gets here: nf_tables translates it first. Bounded by [`CLIENT_LIMIT`] per port.

use std::cell::RefCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use engine_api::tasks::spawn;
use tokio::io::ReadBuf;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::ports::BoundSocket;

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

/// A held port; dropping it ends the proxy and frees the port at once, before its task is next polled: a container
/// that restarts takes the same port in the same breath.
#[derive(Debug)]
pub(super) struct Proxy {
    socket: Slot,
    task: AbortHandle,
}

/// The socket, until its [`Proxy`] goes.
type Slot = Rc<RefCell<Option<Socket>>>;

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.socket.borrow_mut().take();
        self.task.abort();
    }
}

impl Proxy {
    /// Starts on the current `LocalSet`.
    pub(super) fn start(socket: BoundSocket, target: SocketAddr) -> io::Result<Self> {
        let (socket, is_tcp) = match socket {
            BoundSocket::Tcp(listener) => (Socket::Tcp(TcpListener::from_std(listener)?), true),
            BoundSocket::Udp(socket) => (Socket::Udp(UdpSocket::from_std(socket)?), false),
        };
        let socket = Rc::new(RefCell::new(Some(socket)));
        let task = if is_tcp {
            spawn(tcp(socket.clone(), target)).abort_handle()
        } else {
            spawn(udp(socket.clone(), target)).abort_handle()
        };
        Ok(Self { socket, task })
    }
}

async fn accept(slot: &Slot) -> io::Result<TcpStream> {
    poll_fn(|context| match &*slot.borrow() {
        Some(Socket::Tcp(listener)) => listener.poll_accept(context).map_ok(|(stream, _)| stream),
        _ => Poll::Pending,
    })
    .await
}

async fn receive(slot: &Slot, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    poll_fn(|context| match &*slot.borrow() {
        Some(Socket::Udp(socket)) => {
            let mut space = ReadBuf::new(buffer);
            let received = ready!(socket.poll_recv_from(context, &mut space));
            Poll::Ready(received.map(|from| (space.filled().len(), from)))
        }
        _ => Poll::Pending,
    })
    .await
}

async fn send_back(slot: &Slot, datagram: &[u8], client: SocketAddr) -> io::Result<usize> {
    poll_fn(|context| match &*slot.borrow() {
        // One task at a time could be woken for writing, but several answer: a full socket loses the datagram.
        Some(Socket::Udp(socket)) => match socket.poll_send_to(context, datagram, client) {
            Poll::Pending => Poll::Ready(Ok(0)),
            done => done,
        },
        _ => Poll::Ready(Ok(0)),
    })
    .await
}

async fn tcp(slot: Slot, target: SocketAddr) {
    let permits = Arc::new(Semaphore::new(CLIENT_LIMIT));
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&slot) => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok(mut client) = accepted else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            continue;
        };
        connections.spawn_local(async move {
            let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await;
            if let Ok(Ok(mut container)) = connected {
                // A broken connection ends both sides; there is nobody to tell.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut container).await;
            }
            drop(permit);
        });
    }
}

async fn udp(slot: Slot, target: SocketAddr) {
    let mut clients: HashMap<SocketAddr, Rc<UdpSocket>> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        let received = tokio::select! {
            received = receive(&slot, &mut buffer) => received,
            Some(Ok(gone)) = answers.join_next() => {
                clients.remove(&gone);
                continue;
            }
        };
        let Ok((len, client)) = received else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
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
            answers.spawn_local(answer(slot.clone(), upstream, client));
        }
        if let Some(upstream) = clients.get(&client) {
            // Datagrams may be lost.
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
async fn answer(slot: Slot, upstream: Rc<UdpSocket>, client: SocketAddr) -> SocketAddr {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while let Ok(Ok(len)) = timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        // Datagrams may be lost.
        let _ = send_back(&slot, &buffer[..len], client).await;
    }
    client
}
