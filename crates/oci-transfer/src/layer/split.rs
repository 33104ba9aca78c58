//! Splits of layer tars: the bytes that are not file content, so that an unpacked layer can be written again exactly.
//!
//! A layer's identity is the digest of its tar. Tars made elsewhere order and encode things in their own way, so the
//! frame (headers, padding, end) is kept compressed next to the unpacked layer, with a note where each file's content goes.
//! Format after gzip: records of a kind byte (0 frame, 1 file), a little-endian u64 length, and for a file a u32 length and
//! its path.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::rooted::Root;
use oci_image::error::{Context, Error, Result};

const FRAME: u8 = 0;
const FILE: u8 = 1;
/// Frame bytes gathered into one record.
const FRAME_MAX: usize = 64 * 1024;
/// Longest path that is read back, in bytes.
const PATH_MAX: usize = 64 * 1024;

/// Writes a split while its tar is read.
pub struct SplitWriter {
    out: GzEncoder<BufWriter<File>>,
    frame: Vec<u8>,
}

impl SplitWriter {
    /// Starts a split in `file`.
    pub fn new(file: File) -> Self {
        Self {
            out: GzEncoder::new(BufWriter::new(file), Compression::fast()),
            frame: Vec::new(),
        }
    }

    /// Adds frame bytes.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.frame.extend_from_slice(bytes);
        if self.frame.len() >= FRAME_MAX {
            self.flush_frame()?;
        }
        Ok(())
    }

    /// Adds a file whose content is on disk.
    pub(crate) fn file(&mut self, path: &[u8], size: u64) -> Result<()> {
        self.flush_frame()?;
        let length = u32::try_from(path.len()).unwrap_or(u32::MAX);
        let mut record = vec![FILE];
        record.extend_from_slice(&size.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.extend_from_slice(path);
        self.write(&record)
    }

    fn flush_frame(&mut self) -> Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.frame);
        let mut head = vec![FRAME];
        head.extend_from_slice(&(frame.len() as u64).to_le_bytes());
        self.write(&head)?;
        self.write(&frame)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out
            .write_all(bytes)
            .context(|| "write the layer's split".to_owned())
    }

    /// Writes what is left and returns the file.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> Result<File> {
        self.flush_frame()?;
        let what = || "write the layer's split".to_owned();
        let buffered = self.out.finish().context(what)?;
        buffered
            .into_inner()
            .map_err(|error| Error::io(what(), error.into_error()))
    }
}

/// Writes the tar of the layer in `directory` again, from its split.
///
/// # Errors
/// When the split is damaged, a file of the layer is missing or has another size, or writing fails.
pub fn assemble(directory: &Path, split: File, out: &mut impl Write) -> Result<()> {
    let root = Root::open(directory)?;
    let mut split = BufReader::new(GzDecoder::new(BufReader::new(split)));
    let what = || "read the layer's split".to_owned();
    loop {
        let mut kind = [0; 1];
        if split.read(&mut kind).context(what)? == 0 {
            return Ok(());
        }
        let mut length = [0; 8];
        split.read_exact(&mut length).context(what)?;
        let length = u64::from_le_bytes(length);
        match kind[0] {
            FRAME => {
                copy_exact(&mut split, out, length).context(what)?;
            }
            FILE => {
                let mut path_length = [0; 4];
                split.read_exact(&mut path_length).context(what)?;
                let path_length = u32::from_le_bytes(path_length) as usize;
                if path_length > PATH_MAX {
                    return Err(Error::invalid("layer split is damaged"));
                }
                let mut path = vec![0; path_length];
                split.read_exact(&mut path).context(what)?;
                let name = || format!("read {} of the layer", String::from_utf8_lossy(&path));
                let mut file = root.open_file(&path)?;
                copy_exact(&mut file, out, length).context(name)?;
            }
            _ => return Err(Error::invalid("layer split is damaged")),
        }
    }
}

fn copy_exact(from: &mut impl Read, to: &mut impl Write, length: u64) -> io::Result<()> {
    if io::copy(&mut from.take(length), to)? == length {
        return Ok(());
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}
