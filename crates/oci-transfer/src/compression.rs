//! Compression of layers and archives: told by the first bytes, never by what a media type claims.

use std::io::{self, BufRead, BufReader, Read};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::StreamingDecoder;

use oci_image::error::{Error, Result};

/// Largest zstd window that is accepted, in bytes (what `zstd --long=27` needs); more would let a stream choose our memory.
const ZSTD_WINDOW_MAX: u64 = 128 * 1024 * 1024;
/// Largest memory of an xz stream that is accepted, in KiB: twice what `xz -9` needs. bzip2 needs 4 MB at most.
const XZ_MEMORY_MAX: u32 = 128 * 1024;
/// Read buffer, in bytes.
const BUFFER: usize = 64 * 1024;
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2_MAGIC: [u8; 3] = *b"BZh";

/// A reader of the uncompressed bytes of `reader`: gzip, zstd, xz, bzip2 (what Docker knows), or as it is.
///
/// # Errors
/// When its first bytes cannot be read.
pub fn decompress<'a, R: Read + 'a>(reader: R) -> Result<Box<dyn Read + 'a>> {
    let mut reader = Peek::new(BufReader::with_capacity(BUFFER, reader));
    let read = |error| Error::io("read the archive", error);
    let head = reader.look().map_err(read)?.to_vec();
    Ok(if head.starts_with(&GZIP_MAGIC) {
        Box::new(MultiGzDecoder::new(reader))
    } else if head.starts_with(&ZSTD_MAGIC) || is_skippable(&head) {
        Box::new(ZstdFrames {
            state: ZstdState::Between(reader),
        })
    } else if head.starts_with(&XZ_MAGIC) {
        Box::new(XzReader::new_mem_limit(reader, true, XZ_MEMORY_MAX))
    } else if head.starts_with(&BZIP2_MAGIC) {
        Box::new(MultiBzDecoder::new(reader))
    } else {
        Box::new(reader)
    })
}

/// Whether a zstd frame begins here that carries no content (RFC 8878, 3.1.2).
fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A buffered reader whose first bytes can be looked at although the source hands out single bytes.
struct Peek<R> {
    head: [u8; 6],
    len: usize,
    pos: usize,
    inner: R,
}

impl<R: BufRead> Peek<R> {
    fn new(inner: R) -> Self {
        Self {
            head: [0; 6],
            len: 0,
            pos: 0,
            inner,
        }
    }

    /// The next bytes, fewer only at the end. They are read again by whoever reads next.
    fn look(&mut self) -> io::Result<&[u8]> {
        if self.pos == self.len {
            (self.pos, self.len) = (0, 0);
            while self.len < self.head.len() {
                match self.inner.read(&mut self.head[self.len..]) {
                    Ok(0) => break,
                    Ok(n) => self.len += n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(&self.head[self.pos..self.len])
    }
}

impl<R: BufRead> Read for Peek<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.pos < self.len {
            let n = buffer.len().min(self.len - self.pos);
            buffer[..n].copy_from_slice(&self.head[self.pos..self.pos + n]);
            self.pos += n;
            return Ok(n);
        }
        self.inner.read(buffer)
    }
}

impl<R: BufRead> BufRead for Peek<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.pos < self.len {
            return Ok(&self.head[self.pos..self.len]);
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        if self.pos < self.len {
            self.pos = (self.pos + n).min(self.len);
        } else {
            self.inner.consume(n);
        }
    }
}

/// Decoder of concatenated zstd frames, of which some may carry no content.
struct ZstdFrames<R: BufRead> {
    state: ZstdState<R>,
}

enum ZstdState<R: BufRead> {
    /// Before a frame, or at the end.
    Between(Peek<R>),
    /// In a frame.
    Frame(Box<StreamingDecoder<Peek<R>, ruzstd::decoding::FrameDecoder>>),
    /// Nothing more comes.
    End,
}

/// Goes to the next frame with content.
fn next_frame<R: BufRead>(mut reader: Peek<R>) -> io::Result<ZstdState<R>> {
    while is_skippable(reader.look()?) {
        let mut header = [0; 8];
        reader.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        io::copy(&mut reader.by_ref().take(length.into()), &mut io::sink())?;
    }
    if reader.look()?.is_empty() {
        return Ok(ZstdState::End);
    }
    let decoder = StreamingDecoder::new_with_max_window_size(reader, ZSTD_WINDOW_MAX);
    let decoder = decoder.map_err(|error| {
        let text = format!("malformed zstd stream: {error}");
        io::Error::new(io::ErrorKind::InvalidData, text)
    })?;
    Ok(ZstdState::Frame(Box::new(decoder)))
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.state {
                ZstdState::End => return Ok(0),
                ZstdState::Frame(decoder) => {
                    let n = decoder.read(buffer)?;
                    if n > 0 || buffer.is_empty() {
                        return Ok(n);
                    }
                }
                ZstdState::Between(_) => {}
            }
            self.state = match std::mem::replace(&mut self.state, ZstdState::End) {
                ZstdState::Frame(decoder) => next_frame(decoder.into_inner())?,
                ZstdState::Between(reader) => next_frame(reader)?,
                ZstdState::End => ZstdState::End,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn inflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        decompress(bytes)
            .map_err(io::Error::other)?
            .read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn plain_gzip_and_zstd_are_told_apart() {
        let content = b"a layer ".repeat(1000);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&content).unwrap();
        let gzip = gzip.finish().unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(
            &content[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(inflate(&content).unwrap(), content);
        assert_eq!(inflate(&gzip).unwrap(), content);
        assert_eq!(inflate(&zstd).unwrap(), content);
        assert_eq!(
            inflate(&[zstd.clone(), zstd].concat()).unwrap(),
            content.repeat(2)
        );
        assert_eq!(
            inflate(&[gzip.clone(), gzip].concat()).unwrap(),
            content.repeat(2)
        );
        assert_eq!(inflate(b"").unwrap(), b"");
    }

    #[test]
    fn bzip2_and_xz_are_read_as_docker_reads_them() {
        let content = b"a layer ".repeat(1000);
        let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
        bzip2.write_all(&content).unwrap();
        let bzip2 = bzip2.finish().unwrap();
        let mut xz =
            lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
        xz.write_all(&content).unwrap();
        let xz = xz.finish().unwrap();
        for stream in [bzip2, xz] {
            assert_eq!(inflate(&stream).unwrap(), content);
            let twice = [stream.clone(), stream.clone()].concat();
            assert_eq!(inflate(&twice).unwrap(), content.repeat(2));
            assert!(inflate(&stream[..stream.len() / 2]).is_err(), "cut off");
            let mut damaged = stream;
            let middle = damaged.len() / 2;
            damaged[middle] ^= 0x55;
            assert!(inflate(&damaged).is_err(), "damaged");
        }
    }

    #[test]
    fn an_xz_stream_does_not_choose_our_memory() {
        let mut options = lzma_rust2::XzOptions::with_preset(6);
        options.lzma_options.dict_size = 1 << 30;
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        xz.write_all(b"small").unwrap();
        let error = inflate(&xz.finish().unwrap()).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }

    #[test]
    fn zstd_frames_without_content_are_passed_over() {
        let zstd = ruzstd::encoding::compress_to_vec(
            &b"content"[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        let empty = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let stream = [empty.clone(), zstd.clone(), empty.clone(), zstd, empty].concat();
        assert_eq!(inflate(&stream).unwrap(), b"contentcontent");
    }

    #[test]
    fn truncated_gzip_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"content").unwrap();
        let gzip = gzip.finish().unwrap();
        assert!(inflate(&gzip[..gzip.len() - 4]).is_err());
    }
}
