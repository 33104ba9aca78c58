//! Answers that go on: bytes, JSON lines, and hijacked connections.

use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use http::{Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Longest line of a JSON stream, in bytes: an event with hundreds of labels fits.
pub const MAX_LINE_BYTES: usize = 4 << 20;

/// An answer's body, piece by piece. Dropping it ends the request.
#[derive(Debug)]
pub struct ByteStream {
    body: Incoming,
}

impl ByteStream {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { body }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// When the connection breaks before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame
                .map_err(|error| Error::server(format!("engine's answer broke off: {error}")))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Reads the body as a stream of JSON values.
    pub fn json_lines<T: DeserializeOwned>(self) -> JsonLines<T> {
        JsonLines {
            stream: self,
            buffer: LineBuffer::default(),
            values: PhantomData,
        }
    }
}

/// A stream of JSON values, one per line.
#[derive(Debug)]
pub struct JsonLines<T> {
    stream: ByteStream,
    buffer: LineBuffer,
    values: PhantomData<T>,
}

impl<T: DeserializeOwned> JsonLines<T> {
    /// The next value; none at the end.
    ///
    /// # Errors
    /// When the connection breaks, a line exceeds [`MAX_LINE_BYTES`] or is not such a value.
    pub async fn next(&mut self) -> Result<Option<T>> {
        loop {
            if let Some(line) = self.buffer.take_line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let value = json_reader::from_slice(&line).map_err(|error| {
                    Error::server(format!("engine's line is not understood: {error}"))
                })?;
                return Ok(Some(value));
            }
            match self.stream.next().await? {
                Some(bytes) => self.buffer.push(&bytes)?,
                None if self.buffer.is_empty() => return Ok(None),
                None => self.buffer.push(b"\n")?,
            }
        }
    }
}

/// Cuts bytes into lines, however they arrive.
#[derive(Debug, Default)]
struct LineBuffer {
    bytes: BytesMut,
    searched: usize,
}

impl LineBuffer {
    fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > MAX_LINE_BYTES && !self.bytes[self.searched..].contains(&b'\n') {
            return Err(Error::server(format!(
                "engine's line exceeds {MAX_LINE_BYTES} bytes"
            )));
        }
        Ok(())
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        match self.bytes[self.searched..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            Some(offset) => {
                let line = self.bytes.split_to(self.searched + offset + 1);
                self.searched = 0;
                Some(line)
            }
            None => {
                self.searched = self.bytes.len();
                None
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A connection that the engine handed over: write standard input, read output.
#[derive(Debug)]
pub struct Hijacked {
    /// Both directions; shutting its writing side down is end of file for the process.
    pub io: TokioIo<Upgraded>,
    /// Output is framed ([`crate::framing`]); else it is raw (a terminal's).
    pub multiplexed: bool,
}

impl Hijacked {
    pub(crate) async fn new(response: Response<Incoming>) -> Result<Self> {
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let multiplexed =
            content_type.is_some_and(|v| v.as_bytes().ends_with(b"multiplexed-stream"));
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| {
            Error::server(format!("engine did not hand over the connection: {error}"))
        })?;
        Ok(Self {
            io: TokioIo::new(upgraded),
            multiplexed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_any_cut() {
        let text = b"{\"a\":1}\r\n\n{\"b\":2}\n{\"c\"";
        for step in 1..text.len() {
            let mut buffer = LineBuffer::default();
            let mut lines = Vec::new();
            for chunk in text.chunks(step) {
                buffer.push(chunk).unwrap();
                while let Some(line) = buffer.take_line() {
                    lines.push(String::from_utf8(line.to_vec()).unwrap());
                }
            }
            assert_eq!(lines, ["{\"a\":1}\r\n", "\n", "{\"b\":2}\n"]);
            assert!(!buffer.is_empty());
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut buffer = LineBuffer::default();
        let piece = vec![b'x'; MAX_LINE_BYTES / 2 + 1];
        assert!(buffer.push(&piece).is_ok());
        assert!(buffer.push(&piece).is_err());
    }
}
