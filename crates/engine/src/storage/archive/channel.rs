//! Archives as streams: blocking readers and writers over bounded channels.

use std::io::{self, Read, Write};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::options::{ByteStream, STREAM_DEPTH};

/// Bytes sent at once.
const BLOCK: usize = 64 * 1024;

/// Runs a writer in another thread; what it writes arrives in the stream, an error too.
pub(super) fn produce(
    write: impl FnOnce(ChannelWriter) -> io::Result<()> + Send + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
    tokio::task::spawn_blocking(move || {
        let errors = sender.clone();
        if let Err(error) = write(ChannelWriter {
            sender,
            buffer: Vec::with_capacity(BLOCK),
        }) {
            // The reader may be gone, which then was the error.
            let _ = errors.blocking_send(Err(error));
        }
    });
    receiver
}

/// Writes into a bounded channel.
pub(super) struct ChannelWriter {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BLOCK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let block = std::mem::replace(&mut self.buffer, Vec::with_capacity(BLOCK));
        self.sender
            .blocking_send(Ok(Bytes::from(block)))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for ChannelWriter {
    fn drop(&mut self) {
        // The reader may be gone.
        let _ = self.flush();
    }
}

/// Reads from a bounded channel.
pub(super) struct ChannelReader {
    pub(super) body: ByteStream,
    pub(super) rest: Bytes,
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.body.blocking_recv() {
                Some(block) => self.rest = block?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}
