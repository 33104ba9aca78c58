//! The socket under a connection: what HTTP has no word for and Docker's clients do all the same. It hides from the server
//! Docker's old way to hijack a connection, clients that close their sending side early (`half_close`), and lingers.
//!
//! Before `Upgrade: tcp`, clients just sent `POST .../attach` and took the connection over after `200 OK`. HTTP has no
//! such thing, so the head of such a request gets an `Upgrade` on its way in, and the head of its answer loses it on the
//! way out: the server sees one kind of hijack only.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::Sleep;

use super::half_close::{Answering, Reminder, is_gone};
use super::heads::{Requests, answer_end};

/// Bytes that are received at a time while requests are looked at.
const READ_BYTES: usize = 8 << 10;

/// Time for a client that is still sending to read its answer, as long as Go's server gives it: an immediate close would give
/// a client that uploads "broken pipe" in place of our refusal.
const LINGER: Duration = Duration::from_millis(500);

/// How much unread request data is discarded before the socket is closed, as much as Go's server reads.
const LINGER_BYTES: usize = 256 << 10;

/// A client's socket.
#[derive(Debug)]
pub(super) struct Socket {
    stream: UnixStream,
    requests: Requests,
    answering: Arc<Answering>,
    /// Set when the client has closed its sending side while it was answered.
    half_closed: Option<Reminder>,
    /// Of the requests, read before all else.
    ready: Bytes,
    /// The answer's head so far, while it decides about a hijack.
    head: BytesMut,
    /// Rewritten bytes on their way out.
    pending: BytesMut,
    /// Set when everything is sent: the end, and the bytes that may still be thrown away.
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Socket {
    /// One that was just accepted; `answering` is told of each answer.
    pub(super) fn new(stream: UnixStream, answering: Arc<Answering>) -> Self {
        Self {
            stream,
            requests: Requests::new(),
            answering,
            half_closed: None,
            ready: Bytes::new(),
            head: BytesMut::new(),
            pending: BytesMut::new(),
            linger: None,
        }
    }

    /// The bare stream and what has been read of it but not used.
    pub(super) fn into_parts(self) -> (UnixStream, Bytes) {
        let mut unused = BytesMut::from(self.ready);
        unused.extend_from_slice(&self.requests.received);
        (self.stream, unused.freeze())
    }

    /// Receives until something can be passed on, which is then in `ready`; nothing at the end.
    fn poll_requests(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ended = false;
        loop {
            self.ready = self.requests.pass(ended);
            if ended || !self.ready.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.half_closed.is_none() {
                self.requests.received.reserve(READ_BYTES);
                let received = pin!(self.stream.read_buf(&mut self.requests.received));
                if ready!(received.poll(context))? > 0 {
                    continue;
                }
            }
            ready!(self.poll_end(context));
            ended = true;
        }
    }

    /// The end of what the client sends, which waits for an answer that is under way to a client that is still there.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let waits = self.answering.is_under_way() && self.requests.are_whole();
        if !waits || is_gone(&self.stream) {
            return Poll::Ready(());
        }
        self.half_closed.get_or_insert_default().poll(context);
        Poll::Pending
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

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ready.is_empty() {
            if this.requests.is_opaque() {
                let before = buffer.filled().len();
                ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
                if buffer.filled().len() == before {
                    ready!(this.poll_end(context));
                }
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_requests(context))?;
        }
        let length = this.ready.len().min(buffer.remaining());
        buffer.put_slice(&this.ready.split_to(length));
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
        if !this.requests.awaits_answer() {
            ready!(this.poll_drain(context))?;
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        this.head.extend_from_slice(bytes);
        if let Some(end) = answer_end(&this.head) {
            let first = this.head.split_to(end);
            this.pending
                .extend_from_slice(&this.requests.answer(&first));
            // An interim answer (100 Continue) comes before the one that counts.
            if !this.requests.awaits_answer() {
                let rest = this.head.split();
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
        if self.requests.awaits_answer() || !self.pending.is_empty() {
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
