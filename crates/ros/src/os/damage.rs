//! The file system of the store of layers: it is not written to when the kernel or a check has found errors in it.
//!
//! PID 1 has it checked at the next boot (crate init, `media/check.rs`), when nobody uses it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::failure::fail;
use super::installed::STORE;

/// The state in an ext4 superblock, 16 bits (kernel documentation, filesystems/ext4/super.rst).
const STATE: u64 = 1024 + 0x3a;
/// Its bit for errors.
const ERRORS: u16 = 2;

/// # Errors
/// When it has errors.
pub(super) fn check() -> anyhow::Result<()> {
    let device = crate::install::medium::source_of(Path::new(STORE))?;
    if has_errors(&device) || crate::problems::store_errors() > 0 {
        fail!(
            Verification,
            "the file system of the versions ({}) has errors: nothing is written to it; a reboot has it checked, and `ros status` says \
             what was found",
            device.display()
        );
    }
    Ok(())
}

/// Whether its superblock says so. One that cannot be read is the mount's to complain of.
fn has_errors(device: &Path) -> bool {
    let mut state = [0; 2];
    let read = File::open(device).and_then(|file| file.read_exact_at(&mut state, STATE));
    read.is_ok() && u16::from_le_bytes(state) & ERRORS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superblock_says_that_there_were_errors() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(4096).unwrap();
        assert!(!has_errors(file.path()));
        for (state, expected) in [(1_u16, false), (3, true), (2, true)] {
            let bytes = state.to_le_bytes();
            file.as_file().write_all_at(&bytes, STATE).unwrap();
            assert_eq!(has_errors(file.path()), expected, "{state}");
        }
        assert!(!has_errors(Path::new("/no/such/device")));
    }
}
