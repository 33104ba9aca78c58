//! The archive on its way between the engine's connection and the thread that reads or writes it.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Pieces on their way: a copy of any size takes no more memory than these.
pub(super) const DEPTH: usize = 4;

/// What the engine sends, as a reader.
pub(super) struct Incoming {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Incoming {
    pub(super) fn new(pieces: mpsc::Receiver<Bytes>) -> Self {
        Self {
            pieces,
            piece: Bytes::new(),
        }
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// What goes to the engine, as a writer that counts.
pub(super) struct Outgoing {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    pub(super) bytes: u64,
}

impl Outgoing {
    pub(super) fn new(pieces: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { pieces, bytes: 0 }
    }
}

impl Write for Outgoing {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        // A closed channel: the engine has answered before the end, and its answer says why.
        self.pieces
            .blocking_send(Ok(Bytes::copy_from_slice(buffer)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        self.bytes += buffer.len() as u64;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
