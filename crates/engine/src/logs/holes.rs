//! Holes of a log: a file that somebody made long (truncate(1), a power cut) is read without reading all those zeros.

use std::fs::File;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Where the data before `end` ends: from there to `end` the file is one hole. Found by halves, in some 40 questions. A file
/// system that knows no holes says `end`.
pub(super) fn data_end(file: &File, end: u64) -> u64 {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if next_data(file, middle).is_some_and(|at| at < end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Where the next data is, from `offset` on; none when only a hole follows. Nobody reads this file where its offset is, and
/// what is written goes to its end: the offset may change.
pub(super) fn next_data(file: &File, offset: u64) -> Option<u64> {
    match seek(file, SeekFrom::Data(offset)) {
        Err(Errno::NXIO) => None,
        found => Some(found.unwrap_or(offset)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn data_is_found_between_holes() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!((data_end(&file, 0), next_data(&file, 0)), (0, None));
        file.set_len(1 << 40).unwrap();
        assert_eq!(data_end(&file, 1 << 40), 0);
        file.write_all_at(b"x", 1 << 30).unwrap();
        // In whole blocks of the file system.
        let end = data_end(&file, 1 << 40);
        assert!(
            ((1 << 30) + 1..=(1 << 30) + (1 << 20)).contains(&end),
            "{end}"
        );
        assert_eq!(data_end(&file, 1 << 29), 0);
        let next = next_data(&file, 1 << 20).unwrap();
        assert!(((1 << 30) - (1 << 20)..=1 << 30).contains(&next), "{next}");
        assert_eq!(next_data(&file, end), None);
    }
}
