//! Docker's multiplexed stream: standard output and error in one connection, each piece behind an 8-byte header
//! (`[stream, 0, 0, 0, length as big-endian u32]`).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes in a frame's header.
pub const HEADER_BYTES: usize = 8;

/// Largest frame a decoder accepts, in bytes: engines send pieces of at most some tens of KiB.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// Which of a process's streams a piece belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// Standard input (0).
    Stdin,
    /// Standard output (1).
    Stdout,
    /// Standard error (2).
    Stderr,
    /// An error of the engine itself (3).
    SystemError,
}

impl StreamKind {
    /// The number in the header's first byte.
    pub fn number(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::SystemError => 3,
        }
    }

    /// The stream of a header's first byte.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Stdin),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::SystemError),
            _ => None,
        }
    }
}

/// Why a multiplexed stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The header's first byte names no stream.
    #[error("frame names unknown stream {0}")]
    UnknownStream(u8),
    /// The header announces more than [`MAX_FRAME_BYTES`].
    #[error("frame of {0} bytes is too long")]
    TooLong(u32),
}

/// One frame. A payload of 4 GiB and more is cut (nobody reads that much at once).
pub fn encode(kind: StreamKind, payload: &[u8]) -> Bytes {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + payload.len());
    frame.put_u32(u32::from(kind.number()) << 24);
    frame.put_u32(length);
    frame.extend_from_slice(&payload[..length as usize]);
    frame.freeze()
}

/// Splits a multiplexed stream into its pieces, however the bytes arrive.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that have arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole piece, if it has arrived.
    ///
    /// # Errors
    /// When the header is not one; the stream cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<(StreamKind, Bytes)>, FrameError> {
        let Some((header, _)) = self.buffer.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [number, _, _, _, a, b, c, d] = *header;
        let kind = StreamKind::from_number(number).ok_or(FrameError::UnknownStream(number))?;
        let announced = u32::from_be_bytes([a, b, c, d]);
        let length = announced as usize;
        if length > MAX_FRAME_BYTES {
            return Err(FrameError::TooLong(announced));
        }
        if self.buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some((kind, self.buffer.split_to(length).freeze())))
    }

    /// True when no piece is half read.
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_survive_any_cut() {
        let mut stream = encode(StreamKind::Stdout, b"out").to_vec();
        stream.extend_from_slice(&encode(StreamKind::Stderr, b""));
        stream.extend_from_slice(&encode(StreamKind::Stderr, b"error\n"));
        for step in 1..stream.len() {
            let mut decoder = Decoder::new();
            let mut pieces = Vec::new();
            for chunk in stream.chunks(step) {
                decoder.push(chunk);
                while let Some(piece) = decoder.next_frame().unwrap() {
                    pieces.push(piece);
                }
            }
            assert!(decoder.is_at_boundary());
            assert_eq!(
                pieces,
                [
                    (StreamKind::Stdout, Bytes::from("out")),
                    (StreamKind::Stderr, Bytes::new()),
                    (StreamKind::Stderr, Bytes::from("error\n")),
                ]
            );
        }
    }

    #[test]
    fn header_is_docker_s() {
        assert_eq!(
            &encode(StreamKind::Stderr, b"ab")[..],
            &[2, 0, 0, 0, 0, 0, 0, 2, b'a', b'b']
        );
    }

    #[test]
    fn bad_headers_end_the_stream() {
        let mut decoder = Decoder::new();
        decoder.push(b"HTTP/1.1");
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownStream(b'H')));
        let mut decoder = Decoder::new();
        decoder.push(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLong(u32::MAX)));
    }
}
