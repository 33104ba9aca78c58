//! Sparse files in tars: the old GNU header and the pax forms 0.0, 0.1 and 1.0.
//!
//! Source: GNU tar manual, "Storing Sparse Files".

use super::pax::number;
use oci_image::error::{Error, Result};

/// Most extents of one file.
const EXTENTS_MAX: usize = 100_000;

/// What `GNU.sparse.*` records say.
#[derive(Default)]
pub(crate) struct SparsePax {
    major: u64,
    real_size: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    offset: Option<u64>,
    extents: Vec<(u64, u64)>,
    is_map: bool,
}

/// How a sparse file's extents are found.
pub(crate) enum SparseForm {
    /// Not sparse.
    None,
    /// Known from the headers: extents and real size.
    Listed(Vec<(u64, u64)>, u64),
    /// Form 1.0: listed at the start of the data; the real size.
    InData(u64),
}

impl SparsePax {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        match key {
            b"major" => self.major = number(value)?,
            b"name" => self.name = Some(value.to_vec()),
            b"size" | b"realsize" => self.real_size = Some(number(value)?),
            b"offset" => self.offset = Some(number(value)?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(|| malformed("order"))?;
                self.push((offset, number(value)?))?;
            }
            b"map" => self.parse_map(value)?,
            _ => {}
        }
        Ok(())
    }

    fn parse_map(&mut self, value: &[u8]) -> Result<()> {
        self.is_map = true;
        if value.is_empty() {
            return Ok(());
        }
        let numbers = value
            .split(|b| *b == b',')
            .map(number)
            .collect::<Result<Vec<u64>>>()?;
        if numbers.len() % 2 != 0 {
            return Err(malformed("map"));
        }
        for pair in numbers.chunks_exact(2) {
            self.push((pair[0], pair[1]))?;
        }
        Ok(())
    }

    fn push(&mut self, extent: (u64, u64)) -> Result<()> {
        if self.extents.len() >= EXTENTS_MAX {
            return Err(malformed("number of extents"));
        }
        self.extents.push(extent);
        Ok(())
    }

    pub(crate) fn form(&mut self) -> SparseForm {
        match self.real_size {
            Some(real_size) if self.major >= 1 => SparseForm::InData(real_size),
            Some(real_size) if self.is_map || !self.extents.is_empty() => {
                SparseForm::Listed(std::mem::take(&mut self.extents), real_size)
            }
            _ => SparseForm::None,
        }
    }
}

/// Collects the map of form 1.0, fed with whole blocks: a count, then that many pairs, one number a line.
#[derive(Default)]
pub(crate) struct DataMap {
    numbers: Vec<u64>,
    line: Vec<u8>,
}

impl DataMap {
    /// Takes one block; `Some` when the map is complete.
    pub(crate) fn feed(&mut self, block: &[u8]) -> Result<Option<Vec<(u64, u64)>>> {
        for byte in block {
            if *byte != b'\n' {
                if self.line.len() > 20 {
                    return Err(malformed("map"));
                }
                self.line.push(*byte);
                continue;
            }
            self.numbers.push(number(&self.line)?);
            self.line.clear();
            let count = self.numbers[0];
            if count > EXTENTS_MAX as u64 {
                return Err(malformed("number of extents"));
            }
            if self.numbers.len() as u64 == 1 + 2 * count {
                let pairs = self.numbers[1..].chunks_exact(2);
                return Ok(Some(pairs.map(|pair| (pair[0], pair[1])).collect()));
            }
        }
        Ok(None)
    }
}

/// Checks that extents ascend, fit into `real_size` and hold exactly `data_size` bytes.
pub(crate) fn check(extents: &[(u64, u64)], real_size: u64, data_size: u64) -> Result<()> {
    let mut end = 0_u64;
    let mut total = 0_u64;
    for (offset, length) in extents {
        let next = offset
            .checked_add(*length)
            .ok_or_else(|| malformed("extent"))?;
        if *offset < end || next > real_size {
            return Err(malformed("extent"));
        }
        end = next;
        total += length;
    }
    if total != data_size {
        return Err(malformed("size"));
    }
    Ok(())
}

pub(crate) fn push_limited(extents: &mut Vec<(u64, u64)>, more: Vec<(u64, u64)>) -> Result<()> {
    if extents.len() + more.len() > EXTENTS_MAX {
        return Err(malformed("number of extents"));
    }
    extents.extend(more);
    Ok(())
}

fn malformed(what: &str) -> Error {
    Error::invalid(format!("malformed tar: bad {what} of a sparse file"))
}
