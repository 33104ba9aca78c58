//! Compression of layers and archives: told by the first bytes, never by what a media type claims.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use oci_image::error::{Error, Result};

/// Largest zstd window that is accepted, in bytes (what `zstd --long=27` needs); more would let a stream choose our memory.
const ZSTD_WINDOW_MAX: u64 = 128 * 1024 * 1024;
/// Read buffer, in bytes.
const BUFFER: usize = 64 * 1024;
const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const XZ_MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2_MAGIC: [u8; 3] = *b"BZh";

/// A reader of the uncompressed bytes of `reader`: gzip, zstd, or as it is.
pub fn decompress<'a, R: Read + 'a>(reader: R) -> Result<Box<dyn Read + 'a>> {
    let mut reader = Peek::new(BufReader::with_capacity(BUFFER, reader))?;
    let head = reader.head().to_vec();
    if head.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(MultiGzDecoder::new(reader)));
    }
    if head.starts_with(&ZSTD_MAGIC) {
        return Ok(Box::new(ZstdFrames::new(reader)?));
    }
    if head.starts_with(&XZ_MAGIC) || head.starts_with(&BZIP2_MAGIC) {
        return Err(Error::invalid(
            "unsupported compression: only gzip and zstd are read",
        ));
    }
    reader.rewind();
    Ok(Box::new(reader))
}

/// A buffered reader whose first bytes can be looked at although the source hands out single bytes.
struct Peek<R> {
    head: [u8; 6],
    len: usize,
    pos: usize,
    inner: R,
}

impl<R: BufRead> Peek<R> {
    fn new(mut inner: R) -> Result<Self> {
        let mut head = [0; 6];
        let mut len = 0;
        while len < head.len() {
            match inner.read(&mut head[len..]) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read the archive", error)),
            }
        }
        Ok(Self {
            head,
            len,
            pos: 0,
            inner,
        })
    }

    fn head(&self) -> &[u8] {
        &self.head[..self.len]
    }

    fn rewind(&mut self) {
        self.pos = 0;
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

/// Decoder of concatenated zstd frames.
struct ZstdFrames<R: BufRead> {
    state: Option<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(reader: R) -> Result<Self> {
        let decoder = StreamingDecoder::new_with_max_window_size(reader, ZSTD_WINDOW_MAX)
            .map_err(|error| Error::invalid(format!("malformed zstd stream: {error}")))?;
        Ok(Self {
            state: Some(decoder),
        })
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.state else {
                return Ok(0);
            };
            let n = decoder.read(buffer)?;
            if n > 0 || buffer.is_empty() {
                return Ok(n);
            }
            let Some(decoder) = self.state.take() else {
                return Ok(0);
            };
            let mut reader = decoder.into_inner();
            if reader.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let next = StreamingDecoder::new_with_max_window_size(reader, ZSTD_WINDOW_MAX)
                .map_err(|error| {
                    io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("malformed zstd stream: {error}"),
                    )
                })?;
            self.state = Some(next);
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
    fn truncated_gzip_is_an_error() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(b"content").unwrap();
        let gzip = gzip.finish().unwrap();
        assert!(inflate(&gzip[..gzip.len() - 4]).is_err());
    }
}
