//! The body of a request (client) or an answer (server): nothing, bytes at hand, or bytes that arrive on a bounded channel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

/// A body to send. The channel's bound is what holds a producer back when the other side reads slowly.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// All bytes at once.
    Full(Bytes),
    /// Pieces as they come; an error breaks the transfer off, so that the other side sees that it is not whole.
    Stream(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body {
    /// The JSON of a value and a newline, as Docker writes it.
    ///
    /// # Errors
    /// When the value cannot be written as JSON: a map whose keys are not text.
    pub fn json<T: serde::Serialize>(value: &T) -> serde_json::Result<Self> {
        let mut text = serde_json::to_vec(value)?;
        text.push(b'\n');
        Ok(Self::Full(text.into()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(receiver) => receiver
                .poll_recv(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
