//! The server's loops: UDP datagrams and TCP connections of one container.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine_api::tasks::spawn;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::forward::{ask, read_framed, write_framed};
use super::message::{
    Malformed, Query, Record, ResponseCode, TYPE_A, TYPE_AAAA, TYPE_PTR, UDP_MAX, refusal,
};
use super::{Directory, FORWARD_LIMIT};

/// Longest request over UDP.
const REQUEST_BYTES: usize = 4096;
/// How long a TCP client may stay silent.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// Wait after a failed receive, so that a lasting error does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// A running server; dropping it ends it and closes its sockets.
#[derive(Debug)]
pub(crate) struct Server {
    tasks: [AbortHandle; 2],
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Server {
    /// Starts serving on the current `LocalSet`.
    ///
    /// # Errors
    /// When the sockets cannot be registered with the event loop.
    pub(crate) fn start(
        udp: std::net::UdpSocket,
        tcp: std::net::TcpListener,
        directory: Rc<dyn Directory>,
    ) -> io::Result<Self> {
        let (udp, tcp) = (
            Rc::new(UdpSocket::from_std(udp)?),
            TcpListener::from_std(tcp)?,
        );
        let slots = Arc::new(Semaphore::new(FORWARD_LIMIT));
        let datagrams = spawn(serve_udp(udp, directory.clone(), slots.clone()));
        let connections = spawn(serve_tcp(tcp, directory, slots));
        Ok(Self {
            tasks: [datagrams.abort_handle(), connections.abort_handle()],
        })
    }
}

async fn serve_udp(socket: Rc<UdpSocket>, directory: Rc<dyn Directory>, slots: Arc<Semaphore>) {
    let mut buffer = vec![0; REQUEST_BYTES];
    loop {
        let Ok((len, client)) = socket.recv_from(&mut buffer).await else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
        };
        let request = buffer[..len].to_vec();
        match decide(&request, &*directory, UDP_MAX) {
            Decision::Silence => {}
            Decision::Reply(reply) => drop(socket.send_to(&reply, client).await),
            Decision::Forward(query) => {
                let Ok(slot) = slots.clone().try_acquire_owned() else {
                    // Too many wait already: the client asks again.
                    continue;
                };
                let (socket, directory) = (socket.clone(), directory.clone());
                spawn(async move {
                    let reply = forward(&query, &request, &*directory, false).await;
                    drop(socket.send_to(&reply, client).await);
                    drop(slot);
                });
            }
        }
    }
}

async fn serve_tcp(listener: TcpListener, directory: Rc<dyn Directory>, slots: Arc<Semaphore>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ERROR_PAUSE).await;
            continue;
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            continue;
        };
        let directory = directory.clone();
        spawn(async move {
            // A client that errs or stays silent is hung up on.
            let _ = serve_connection(stream, &*directory).await;
            drop(slot);
        });
    }
}

async fn serve_connection(mut stream: TcpStream, directory: &dyn Directory) -> io::Result<()> {
    loop {
        let request = timeout(TCP_IDLE, read_framed(&mut stream)).await??;
        let reply = match decide(&request, directory, usize::from(u16::MAX)) {
            Decision::Silence => return Ok(()),
            Decision::Reply(reply) => reply,
            Decision::Forward(query) => forward(&query, &request, directory, true).await,
        };
        timeout(TCP_IDLE, write_framed(&mut stream, &reply)).await??;
    }
}

enum Decision {
    Silence,
    Reply(Vec<u8>),
    Forward(Query),
}

/// What to do with a request, without waiting for anything.
fn decide(request: &[u8], directory: &dyn Directory, limit: usize) -> Decision {
    let query = match Query::parse(request) {
        Ok(query) => query,
        Err(Malformed::Ignore) => return Decision::Silence,
        Err(Malformed::Refuse(id, code)) => return Decision::Reply(refusal(id, code)),
    };
    match local_answer(&query, directory) {
        Some(records) => Decision::Reply(query.answer(ResponseCode::NoError, &records, limit)),
        None => Decision::Forward(query),
    }
}

/// Records for a name the directory knows (none of the asked type: an empty answer); `None`: ask upstream.
fn local_answer(query: &Query, directory: &dyn Directory) -> Option<Vec<Record>> {
    if !query.is_internet() {
        return None;
    }
    match query.kind {
        TYPE_A | TYPE_AAAA => {
            let addresses = directory.lookup(&query.name)?.into_iter();
            let wanted = addresses.filter(|address| address.is_ipv6() == (query.kind == TYPE_AAAA));
            Some(wanted.map(Record::Address).collect())
        }
        TYPE_PTR => {
            let name = directory.reverse(query.reverse_address()?)?;
            Some(vec![Record::Name(name)])
        }
        _ => directory.lookup(&query.name).map(|_| Vec::new()),
    }
}

async fn forward(query: &Query, request: &[u8], directory: &dyn Directory, tcp: bool) -> Vec<u8> {
    let servers = directory.upstreams();
    match ask(&servers, query, request, tcp).await {
        Some(reply) => reply,
        // A single label is a container that is not there: say so at once instead of "try again".
        None if servers.is_empty() && !query.name.contains('.') => {
            query.answer(ResponseCode::NameError, &[], UDP_MAX)
        }
        None => query.answer(ResponseCode::ServerFailure, &[], UDP_MAX),
    }
}
