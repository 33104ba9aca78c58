//! A streaming tar reader with limits: ustar, GNU and pax archives, long names, sparse files, extended attributes.

use std::io::{self, Read};

use super::BLOCK;
use super::header::{Block, Entry, Kind, sparse_entries, until_nul};
use super::pax::Extensions;
use super::sparse::{self, DataMap, SparseForm};
use super::split::SplitWriter;
use oci_image::error::{Error, Result};

/// Limits of one archive.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most uncompressed bytes of the whole archive.
    pub bytes: u64,
    /// Largest extended header or long name, in bytes.
    pub header: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            bytes: 256 * 1024 * 1024 * 1024,
            header: 1024 * 1024,
        }
    }
}

/// Reads a tar entry by entry; the data of the current entry is read through [`Read`].
pub struct TarReader<R> {
    inner: R,
    limits: Limits,
    entries: u64,
    bytes: u64,
    data_left: u64,
    padding: u64,
    record_data: bool,
    split: Option<SplitWriter>,
    done: bool,
}

impl<R: Read> TarReader<R> {
    /// Reads an uncompressed tar.
    pub fn new(inner: R, limits: Limits) -> Self {
        Self {
            inner,
            limits,
            entries: 0,
            bytes: 0,
            data_left: 0,
            padding: 0,
            record_data: true,
            split: None,
            done: false,
        }
    }

    /// Records what is needed to write the same bytes again; see [`super::assemble`].
    #[must_use]
    pub fn with_split(mut self, split: Option<SplitWriter>) -> Self {
        self.split = split;
        self
    }

    /// Bytes of the archive read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The next entry, `None` at the end. Unread data of the current one is skipped.
    ///
    /// # Errors
    /// When the archive is damaged, ends early, or goes over a limit.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.done {
            return Ok(None);
        }
        let mut extensions = Extensions::default();
        let mut seen_extension = false;
        loop {
            self.skip_data()?;
            let mut raw = [0; BLOCK];
            if !self.read_block(&mut raw)? || raw.iter().all(|b| *b == 0) {
                if seen_extension {
                    return Err(Error::invalid(
                        "malformed tar: extended header without an entry",
                    ));
                }
                self.done = true;
                return Ok(None);
            }
            let block = Block::check(&raw)?;
            self.count_entry()?;
            let flag = block.type_flag();
            match flag {
                b'x' | b'g' | b'L' | b'K' => {
                    let content = self.read_meta(block.size()?)?;
                    if flag == b'g' {
                        continue; // archive-wide defaults: Docker does not apply them either
                    }
                    seen_extension = true;
                    match flag {
                        b'x' => extensions = Extensions::parse(&content)?,
                        b'L' => extensions.set_path(until_nul(&content).to_vec()),
                        _ => extensions.set_link(until_nul(&content).to_vec()),
                    }
                }
                _ => return self.finish_entry(&block, extensions).map(Some),
            }
        }
    }

    fn finish_entry(&mut self, block: &Block<'_>, mut extensions: Extensions) -> Result<Entry> {
        let mut entry = block.entry()?;
        extensions.apply(&mut entry);
        let mut data_size = entry.size;
        let mut form = extensions.sparse.form();
        if block.type_flag() == b'S' {
            let (mut extents, mut more, real_size) = block.gnu_sparse()?;
            while more {
                let mut raw = [0; BLOCK];
                self.need_block(&mut raw)?;
                sparse::push_limited(&mut extents, sparse_entries(&raw[..504])?)?;
                more = raw[504] != 0;
            }
            form = SparseForm::Listed(extents, real_size);
        }
        self.padding = pad(data_size);
        if entry.kind == Kind::File {
            match form {
                SparseForm::None => {}
                SparseForm::Listed(extents, real_size) => {
                    sparse::check(&extents, real_size, data_size)?;
                    entry.size = real_size;
                    entry.extents = Some(extents);
                }
                SparseForm::InData(real_size) => {
                    let extents = self.read_data_map(&mut data_size)?;
                    sparse::check(&extents, real_size, data_size)?;
                    entry.size = real_size;
                    entry.extents = Some(extents);
                }
            }
        }
        self.data_left = data_size;
        self.record_data = true;
        Ok(entry)
    }

    fn read_data_map(&mut self, data_size: &mut u64) -> Result<Vec<(u64, u64)>> {
        let mut map = DataMap::default();
        loop {
            let mut raw = [0; BLOCK];
            *data_size = data_size
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| Error::invalid("malformed tar: sparse map is cut off"))?;
            self.need_block(&mut raw)?;
            if let Some(extents) = map.feed(&raw)? {
                return Ok(extents);
            }
        }
    }

    /// The current entry's data will be on disk under `path`: a split need not keep it.
    ///
    /// # Errors
    /// When the split cannot be written.
    pub fn data_is_stored_as(&mut self, path: &[u8]) -> Result<()> {
        if let Some(split) = &mut self.split
            && self.data_left > 0
        {
            split.file(path, self.data_left)?;
            self.record_data = false;
        }
        Ok(())
    }

    /// Reads to the end of the stream, so that digests see all bytes; returns the split.
    ///
    /// # Errors
    /// When the rest cannot be read, or the split cannot be written.
    pub fn finish(mut self) -> Result<(R, Option<SplitWriter>)> {
        self.skip_data()?;
        let mut raw = [0; BLOCK];
        loop {
            let n = self.read_some(&mut raw, "archive end")?;
            if n == 0 {
                return Ok((self.inner, self.split));
            }
            if let Some(split) = &mut self.split {
                split.raw(&raw[..n])?;
            }
        }
    }

    fn count_entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries <= self.limits.entries {
            return Ok(());
        }
        Err(Error::Limit {
            what: "the number of tar entries".to_owned(),
            limit: self.limits.entries,
        })
    }

    fn read_meta(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.limits.header {
            return Err(Error::Limit {
                what: "extended tar header".to_owned(),
                limit: self.limits.header,
            });
        }
        self.data_left = size;
        self.padding = pad(size);
        self.record_data = true;
        let mut content = Vec::new();
        self.read_to_end(&mut content)
            .map_err(|error| Error::io("read an extended tar header", error))?;
        Ok(content)
    }

    fn skip_data(&mut self) -> Result<()> {
        let mut buffer = [0; 8192];
        let skip = |error| Error::io("read the tar", error);
        while self.read(&mut buffer).map_err(skip)? > 0 {}
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        self.read_raw(&mut buffer[..padding])
    }

    fn need_block(&mut self, raw: &mut [u8; BLOCK]) -> Result<()> {
        if self.read_block(raw)? {
            return Ok(());
        }
        Err(Error::invalid("malformed tar: it ends inside a header"))
    }

    /// Reads one block; false at a clean end of the stream.
    fn read_block(&mut self, raw: &mut [u8; BLOCK]) -> Result<bool> {
        let first = self.read_some(raw, "tar header")?;
        if first == 0 {
            return Ok(false);
        }
        if let Some(split) = &mut self.split {
            split.raw(&raw[..first])?;
        }
        self.read_raw(&mut raw[first..])?;
        Ok(true)
    }

    /// Fills `buffer` with bytes that belong to the archive's frame.
    fn read_raw(&mut self, buffer: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let n = self.read_some(&mut buffer[filled..], "tar")?;
            if n == 0 {
                return Err(Error::invalid("malformed tar: it ends early"));
            }
            filled += n;
        }
        if let Some(split) = &mut self.split {
            split.raw(buffer)?;
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8], what: &str) -> Result<usize> {
        self.read_limited(buffer)
            .map_err(|error| Error::io(format!("read the {what}"), error))
    }

    fn read_limited(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buffer) {
                Ok(n) => {
                    self.bytes += n as u64;
                    if self.bytes > self.limits.bytes {
                        let message = format!(
                            "tar is larger than the limit of {} bytes",
                            self.limits.bytes
                        );
                        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
                    }
                    return Ok(n);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer
            .len()
            .min(usize::try_from(self.data_left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.read_limited(&mut buffer[..want])?;
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "tar ends inside a file",
            ));
        }
        self.data_left -= n as u64;
        if self.record_data
            && let Some(split) = &mut self.split
        {
            split.raw(&buffer[..n]).map_err(io::Error::other)?;
        }
        Ok(n)
    }
}

/// Bytes after `size` up to the next block.
pub(crate) fn pad(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}
