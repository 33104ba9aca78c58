//! Whether anybody has written on a disk, whatever it was.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Tables, labels and superblocks lie in the first and in the last MiB.
const END_BYTES: u64 = 1 << 20;
/// Places in between that are looked at: a disk whose ends were wiped still has data there.
const SAMPLES: u64 = 64;
const SAMPLE_BYTES: u64 = 64 << 10;

/// The first byte that somebody has written: in the first MiB, the last one, or at one of 64 places in between. `None`: all of them
/// are as the factory or `blkdiscard` leaves them, zeros or, on flash that was erased, ones.
///
/// # Errors
/// When it cannot be read there: then nobody knows.
pub fn first_data(device: &Path) -> io::Result<Option<u64>> {
    let mut file = File::open(device)?;
    let size = file.seek(SeekFrom::End(0))?;
    let mut erased = None;
    for (start, length) in places(size) {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        file.read_exact_at(&mut bytes, start)?;
        let Some(first) = bytes.first() else { continue };
        let erased = *erased.get_or_insert(*first);
        let is_data = |byte: &u8| *byte != erased || !matches!(erased, 0 | 0xff);
        if let Some(at) = bytes.iter().position(is_data) {
            return Ok(Some(start + at as u64));
        }
    }
    Ok(None)
}

/// Start and length of each place, the most likely ones first.
fn places(size: u64) -> Vec<(u64, u64)> {
    let end = END_BYTES.min(size);
    let mut places = vec![(0, end), (size - end, end)];
    let step = size / (SAMPLES + 1) / 4096 * 4096;
    if step >= SAMPLE_BYTES {
        places.extend((1..=SAMPLES).map(|number| (number * step, SAMPLE_BYTES)));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 64 << 20;

    fn disk(parts: &[(u64, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(SIZE).unwrap();
        for (offset, bytes) in parts {
            file.as_file().write_all_at(bytes, *offset).unwrap();
        }
        file
    }

    /// Where bytes are, and which.
    type Parts = &'static [(u64, &'static [u8])];

    #[test]
    fn one_byte_at_either_end_or_a_full_middle_is_data() {
        let middle = vec![7; 4 << 20];
        let cases: [(Parts, Option<u64>); 5] = [
            (&[], None),
            (&[(777, b"x")], Some(777)),
            (&[((1 << 20) - 1, b"x")], Some((1 << 20) - 1)),
            (&[(SIZE - 1, b"x")], Some(SIZE - 1)),
            (&[(SIZE - (1 << 20), b"x")], Some(SIZE - (1 << 20))),
        ];
        for (parts, wanted) in cases {
            assert_eq!(first_data(disk(parts).path()).unwrap(), wanted);
        }
        let found = first_data(disk(&[(20 << 20, &middle)]).path()).unwrap();
        assert!(found.is_some_and(|at| (20 << 20..24 << 20).contains(&at)));
    }

    #[test]
    fn erased_flash_is_blank_and_what_cannot_be_read_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![0xff; 3 << 20]).unwrap();
        assert_eq!(first_data(file.path()).unwrap(), None);
        std::fs::write(file.path(), vec![7; 3 << 20]).unwrap();
        assert_eq!(first_data(file.path()).unwrap(), Some(0));
        file.as_file().set_len(0).unwrap();
        assert_eq!(first_data(file.path()).unwrap(), None);
        assert!(first_data(Path::new("/no/such/disk")).is_err());
    }
}
