//! Asking the host's DNS servers: over the transport the client used, one server after the other.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::message::Query;

/// How long all servers together may take: resolvers ask again after 5 s (resolv.conf(5), `timeout`).
const TOTAL: Duration = Duration::from_millis(4500);
/// Longest answer over UDP.
const UDP_BYTES: usize = 4096;
/// Codes of a server that has no answer but may not be the only one to ask: SERVFAIL, NOTIMP, REFUSED (RFC 1035, 4.1.1).
/// They are those after which glibc's resolver asks its next server, too.
const TRY_NEXT: [u8; 3] = [2, 4, 5];

/// The first good answer of `servers`, as received. When there is none, the first failure that a server told; `None` when
/// no server said anything.
pub(super) async fn ask(
    servers: &[SocketAddr],
    query: &Query,
    request: &[u8],
    tcp: bool,
) -> Option<Vec<u8>> {
    let end = Instant::now() + TOTAL;
    let mut failure = None;
    for (position, server) in servers.iter().enumerate() {
        // A silent server leaves the others their part of the time.
        let waiting = u32::try_from(servers.len() - position).unwrap_or(u32::MAX);
        let now = Instant::now();
        let part = now + end.saturating_duration_since(now) / waiting;
        let attempt = async {
            if tcp {
                over_tcp(*server, query, request).await
            } else {
                over_udp(*server, query, request).await
            }
        };
        match timeout_at(part, attempt).await {
            Ok(Ok(reply)) if !is_failure(&reply) => return Some(reply),
            Ok(Ok(reply)) => {
                failure.get_or_insert(reply);
            }
            // Silent, not there, or not speaking DNS
            Ok(Err(_)) | Err(_) => {}
        }
    }
    failure
}

/// Whether the answer's code says that another server may know more.
fn is_failure(reply: &[u8]) -> bool {
    reply
        .get(3)
        .is_some_and(|flags| TRY_NEXT.contains(&(flags & 0xf)))
}

async fn over_udp(server: SocketAddr, query: &Query, request: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    // A fresh socket per request: a random source port, and only this server may answer.
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; UDP_BYTES];
    loop {
        let received = socket.recv(&mut buffer).await?;
        if query.is_answered_by(&buffer[..received]) {
            buffer.truncate(received);
            return Ok(buffer);
        }
        if query.has_id_of(&buffer[..received]) {
            // Meant as the answer, and broken: waiting longer brings no other
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &Query, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, request).await?;
    let reply = read_framed(&mut stream).await?;
    if query.is_answered_by(&reply) {
        Ok(reply)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Reads a message with its two-byte length (RFC 1035, 4.2.2).
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message with its two-byte length.
pub(super) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len =
        u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::message::{TYPE_A, tests::request as question};

    /// What a server does with a question.
    #[derive(Clone, Copy)]
    enum Server {
        Answers(u8),
        Malformed,
        Silent,
    }

    /// A server over both transports; its address.
    async fn start(server: Server) -> SocketAddr {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = tokio::net::TcpListener::bind(address).await.unwrap();
        let reply = move |request: &[u8]| match server {
            Server::Answers(code) => {
                let mut reply = request.to_vec();
                reply[2] |= 0x80;
                reply[3] = 0x80 | code;
                Some(reply)
            }
            Server::Malformed => Some(request[..7].to_vec()),
            Server::Silent => None,
        };
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            loop {
                let (len, from) = udp.recv_from(&mut buffer).await.unwrap();
                if let Some(reply) = reply(&buffer[..len]) {
                    udp.send_to(&reply, from).await.unwrap();
                }
            }
        });
        tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let request = read_framed(&mut stream).await.unwrap();
                if let Some(reply) = reply(&request) {
                    write_framed(&mut stream, &reply).await.unwrap();
                }
                open.push(stream);
            }
        });
        address
    }

    /// Asks these servers for a name. Returns the response code of the reply; none when there is no reply.
    async fn asked(servers: &[Server], tcp: bool) -> Option<u8> {
        let mut addresses = Vec::new();
        for server in servers {
            addresses.push(start(*server).await);
        }
        let request = question("name.test", TYPE_A);
        let query = Query::parse(&request).unwrap();
        let reply = ask(&addresses, &query, &request, tcp).await;
        reply.map(|reply| reply[3] & 0xf)
    }

    #[tokio::test]
    async fn a_server_that_fails_hands_on_to_the_next() {
        for tcp in [false, true] {
            for first in [
                Server::Answers(2),
                Server::Answers(4),
                Server::Answers(5),
                Server::Malformed,
                Server::Silent,
            ] {
                assert_eq!(asked(&[first, Server::Answers(0)], tcp).await, Some(0));
            }
            // That there is no such name is an answer
            let servers = [Server::Answers(3), Server::Answers(0)];
            assert_eq!(asked(&servers, tcp).await, Some(3));
        }
    }

    #[tokio::test]
    async fn without_an_answer_the_first_failure_is_told_within_the_time() {
        let begin = Instant::now();
        let servers = [Server::Answers(5), Server::Silent, Server::Answers(2)];
        assert_eq!(asked(&servers, false).await, Some(5));
        assert_eq!(asked(&[Server::Malformed], false).await, None);
        assert!(begin.elapsed() < TOTAL);
        let begin = Instant::now();
        assert_eq!(asked(&[Server::Silent; 3], false).await, None);
        assert!(begin.elapsed() < TOTAL + Duration::from_millis(500));
    }
}
