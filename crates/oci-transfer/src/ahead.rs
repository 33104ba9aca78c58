//! Reading ahead in its own thread, so that one processor fetches and checks while another inflates and writes.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// Bytes of one chunk.
const CHUNK: usize = 64 * 1024;
/// Chunks that may wait: 1 MiB for each stream.
const WAITING: usize = 16;

/// What was read ahead of who reads this.
pub(crate) struct Ahead {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    position: usize,
}

/// Reads `reader` in a thread of `scope`, which gives it back at its end, after its first error, or once the [`Ahead`] is
/// dropped.
pub(crate) fn read_ahead<'scope, R: Read + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut reader: R,
) -> (Ahead, ScopedJoinHandle<'scope, R>) {
    let (sender, chunks) = sync_channel(WAITING);
    let thread = scope.spawn(move || {
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let result = reader
                .by_ref()
                .take(CHUNK as u64)
                .read_to_end(&mut chunk)
                .map(|_| chunk);
            let is_last = !matches!(&result, Ok(chunk) if chunk.len() == CHUNK);
            if sender.send(result).is_err() || is_last {
                return reader;
            }
        }
    });
    let ahead = Ahead {
        chunks,
        chunk: Vec::new(),
        position: 0,
    };
    (ahead, thread)
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position == self.chunk.len() {
            let Ok(next) = self.chunks.recv() else {
                return Ok(0); // the thread has ended, and so has the stream
            };
            self.chunk = next?;
            self.position = 0;
        }
        let mut left = &self.chunk[self.position..];
        let count = left.read(buffer)?;
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails after its bytes.
    struct Broken<'a>(&'a [u8]);

    impl Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the line is cut")),
                count => Ok(count),
            }
        }
    }

    fn content() -> Vec<u8> {
        (0..CHUNK * (WAITING + 3) + 7).map(|n| n as u8).collect()
    }

    #[test]
    fn every_byte_comes_in_order() {
        for content in [content(), vec![1; CHUNK], Vec::new()] {
            let mut out = Vec::new();
            std::thread::scope(|scope| {
                let (mut ahead, thread) = read_ahead(scope, &content[..]);
                ahead.read_to_end(&mut out).unwrap();
                assert!(thread.join().unwrap().is_empty());
            });
            assert_eq!(out, content);
        }
    }

    #[test]
    fn an_error_comes_through() {
        let content = content();
        std::thread::scope(|scope| {
            let (mut ahead, _) = read_ahead(scope, Broken(&content));
            let error = ahead.read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.to_string(), "the line is cut");
        });
    }

    #[test]
    fn the_reader_comes_back_when_nobody_reads_on() {
        let content = content();
        let rest = std::thread::scope(|scope| {
            let (mut ahead, thread) = read_ahead(scope, &content[..]);
            ahead.read_exact(&mut [0; 10]).unwrap();
            drop(ahead);
            thread.join().unwrap()
        });
        assert!(!rest.is_empty());
    }
}
