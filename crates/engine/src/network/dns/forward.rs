//! Asking the host's DNS servers: over the transport the client used, one server after the other.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::Query;

/// How long one server may take. Resolvers ask again after 5 s.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest answer over UDP.
const UDP_BYTES: usize = 4096;

/// The first answer of `servers`, as received; `None` when none answers.
pub(super) async fn ask(
    servers: &[SocketAddr],
    query: &Query,
    request: &[u8],
    tcp: bool,
) -> Option<Vec<u8>> {
    for server in servers {
        let attempt = async {
            if tcp {
                over_tcp(*server, request).await
            } else {
                over_udp(*server, query, request).await
            }
        };
        if let Ok(Ok(reply)) = timeout(SERVER_TIMEOUT, attempt).await
            && query.is_answered_by(&reply)
        {
            return Some(reply);
        }
    }
    None
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
    }
}

async fn over_tcp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    write_framed(&mut stream, request).await?;
    read_framed(&mut stream).await
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
