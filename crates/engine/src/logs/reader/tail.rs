//! Where the last lines of a file begin. It is read from its end, and others have a turn after each block: a log whose owner
//! set no limit may be as long as the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::BLOCK;
use crate::logs::holes::data_end;

/// Where the last `wanted` lines of a file begin, and how many there are.
pub(super) async fn offset(file: &File, wanted: usize) -> io::Result<(u64, usize)> {
    let mut blocks = Backwards::new(file)?;
    // What follows the last newline is a line that a power cut tore: it is none.
    let mut length = None;
    let mut found = 0;
    while let Some((start, block)) = blocks.next()? {
        for at in newlines(block) {
            let after = start + at as u64 + 1;
            // The newline that ends the last line begins no further one.
            if length.is_none() {
                length = Some(after);
                if wanted == 0 {
                    return Ok((after, 0));
                }
                continue;
            }
            found += 1;
            if found == wanted {
                return Ok((after, found));
            }
        }
        tokio::task::yield_now().await;
    }
    Ok((0, found + usize::from(length.is_some())))
}

/// Where newlines are, the last one first.
fn newlines(block: &[u8]) -> impl Iterator<Item = usize> {
    let all = block.iter().enumerate().rev();
    all.filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at)
}

/// The blocks of a file, the last one first, without its holes.
struct Backwards<'a> {
    file: &'a File,
    end: u64,
    block: Vec<u8>,
}

impl<'a> Backwards<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        Ok(Self {
            file,
            end: data_end(file, file.metadata()?.len()),
            block: vec![0; BLOCK],
        })
    }

    /// Where a block begins, and the block.
    fn next(&mut self) -> io::Result<Option<(u64, &[u8])>> {
        if self.end == 0 {
            return Ok(None);
        }
        let start = self.end.saturating_sub(BLOCK as u64);
        let size = usize::try_from(self.end - start).unwrap_or(BLOCK);
        self.file.read_exact_at(&mut self.block[..size], start)?;
        let block = &self.block[..size];
        // Only zeros: a hole may have begun here.
        self.end = match block.iter().all(|byte| *byte == 0) {
            true => data_end(self.file, start),
            false => start,
        };
        Ok(Some((start, block)))
    }
}
