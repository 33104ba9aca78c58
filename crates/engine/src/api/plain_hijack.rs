//! The socket under a connection, with Docker's old way to hijack it.
//!
//! Before `Upgrade: tcp`, clients just sent `POST .../attach` and took the connection over after `200 OK`. HTTP has no
//! such thing, so the head of such a request gets an `Upgrade` on its way in, and the head of its answer loses it on the
//! way out: the server sees one kind of hijack only.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::Sleep;

/// Marks a request that got its `Upgrade` here.
pub(super) const MARKER: &str = "x-engine-plain-hijack";

/// Longest head that is looked at, in bytes; a longer one is the HTTP parser's affair.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Time for a client that is still sending to read its answer, as long as Go's server gives it: who closes at once takes
/// the refusal of an upload away from the client, which sees "broken pipe" only.
const LINGER: Duration = Duration::from_millis(500);

/// Bytes that are read of what nobody wants while lingering, as many as Go's server reads.
const LINGER_BYTES: usize = 256 << 10;

/// A client's socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: UnixStream,
    /// Read before the stream.
    prefix: Bytes,
    /// The answer's head so far, while it has to be rewritten.
    head: Option<BytesMut>,
    /// Rewritten bytes on their way out.
    pending: BytesMut,
    /// Set when everything is sent: the end, and the bytes that may still be thrown away.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Socket {
    /// Waits for the first request's head and prepares for an old hijack if it asks for one.
    ///
    /// # Errors
    /// When the socket fails; a client that leaves without a request is `UnexpectedEof`.
    pub(super) async fn open(mut stream: UnixStream) -> io::Result<Self> {
        let mut received = BytesMut::with_capacity(4096);
        let end = loop {
            if let Some(end) = head_end(&received) {
                break Some(end);
            }
            if received.len() >= MAX_HEAD_BYTES {
                break None;
            }
            if stream.read_buf(&mut received).await? == 0 {
                if received.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                break None;
            }
        };
        let hijack = end.is_some_and(|end| wants_plain_hijack(&received[..end]));
        let prefix = match end {
            Some(end) if hijack => with_upgrade(&received, end),
            _ => received.freeze(),
        };
        Ok(Self {
            stream,
            prefix,
            head: hijack.then(BytesMut::new),
            pending: BytesMut::new(),
            linger: None,
        })
    }

    /// The bare stream and what has been read of it but not used.
    pub(super) fn into_parts(self) -> (UnixStream, Bytes) {
        (self.stream, self.prefix)
    }

    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until the client has closed its side too, but not for long.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (end, bytes) = self
            .linger
            .get_or_insert_with(|| (Box::pin(tokio::time::sleep(LINGER)), LINGER_BYTES));
        let mut scrap = [0; 4096];
        while *bytes > 0 {
            let mut buffer = ReadBuf::new(&mut scrap);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *bytes = bytes.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        end.as_mut().poll(context).map(Ok)
    }
}

/// Where the head ends (after its empty line).
fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn wants_plain_hijack(head: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(head) else {
        return false;
    };
    let mut lines = text.split("\r\n");
    let mut words = lines.next().unwrap_or("").split(' ');
    let (Some("POST"), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next())
    else {
        return false;
    };
    let path = target.split('?').next().unwrap_or("");
    let hijacks = (path.contains("/containers/") && path.ends_with("/attach"))
        || (path.contains("/exec/") && path.ends_with("/start"));
    let has_upgrade = lines.any(|line| {
        line.split(':')
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("upgrade"))
    });
    hijacks && !has_upgrade
}

fn with_upgrade(received: &[u8], end: usize) -> Bytes {
    let mut bytes = BytesMut::from(&received[..end - 2]);
    bytes.extend_from_slice(
        format!("Connection: Upgrade\r\nUpgrade: tcp\r\n{MARKER}: 1\r\n\r\n").as_bytes(),
    );
    bytes.extend_from_slice(&received[end..]);
    bytes.freeze()
}

/// Turns `101` into `200 OK` without the upgrade headers; other answers stay as they are.
fn rewrite(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    if !text.starts_with("HTTP/1.1 101") {
        return head.to_vec();
    }
    let mut answer = String::from("HTTP/1.1 200 OK\r\n");
    for line in text.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or("");
        if !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("upgrade") {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
    }
    answer.push_str("\r\n");
    answer.into_bytes()
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let length = this.prefix.len().min(buffer.remaining());
        buffer.put_slice(&this.prefix.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(head) = &mut this.head else {
            ready!(this.poll_drain(context))?;
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        };
        head.extend_from_slice(bytes);
        if let Some(end) = head_end(head) {
            let first = head.split_to(end);
            this.pending.extend_from_slice(&rewrite(&first));
            // An interim answer (100 Continue) comes before the one that counts.
            if !first.starts_with(b"HTTP/1.1 100") {
                let rest = this.head.take().unwrap_or_default();
                this.pending.extend_from_slice(&rest);
            }
        }
        if let Poll::Ready(Err(error)) = this.poll_drain(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(this.poll_drain(context))?;
            ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
        }
        this.poll_linger(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.head.is_some() || !self.pending.is_empty() {
            let first = slices
                .iter()
                .find(|slice| !slice.is_empty())
                .map_or(&[][..], |slice| slice);
            return self.poll_write(context, first);
        }
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_hijacks_are_touched() {
        let wants = |text: &str| wants_plain_hijack(text.as_bytes());
        assert!(wants(
            "POST /v1.24/containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n"
        ));
        assert!(wants("POST /exec/0a/start HTTP/1.1\r\n\r\n"));
        assert!(!wants(
            "POST /exec/0a/start HTTP/1.1\r\nUPGRADE: tcp\r\n\r\n"
        ));
        assert!(!wants("POST /containers/a/start HTTP/1.1\r\n\r\n"));
        assert!(!wants("GET /containers/a/attach HTTP/1.1\r\n\r\n"));
        assert!(!wants("\u{0}\r\n\r\n"));
    }

    #[test]
    fn heads_are_rewritten() {
        let request = b"POST /exec/a/start HTTP/1.1\r\nHost: x\r\n\r\nbody";
        let end = head_end(request).unwrap();
        let text = String::from_utf8(with_upgrade(request, end).to_vec()).unwrap();
        assert_eq!(
            text,
            "POST /exec/a/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nx-engine-plain-hijack: 1\r\n\r\nbody"
        );
        let answer = b"HTTP/1.1 101 UPGRADED\r\ncontent-type: a\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n";
        assert_eq!(
            rewrite(answer),
            b"HTTP/1.1 200 OK\r\ncontent-type: a\r\n\r\n"
        );
        assert_eq!(
            rewrite(b"HTTP/1.1 404 Not Found\r\nupgrade: x\r\n\r\n"),
            b"HTTP/1.1 404 Not Found\r\nupgrade: x\r\n\r\n"
        );
    }
}
