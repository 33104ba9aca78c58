//! SHA-256 of bytes and files.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

/// Read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// The digest of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The digest of a file.
pub(crate) fn sha256_file(path: &Path) -> anyhow::Result<[u8; 32]> {
    let mut file =
        fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer);
        match read.with_context(|| format!("cannot read {}", path.display()))? {
            0 => return Ok(digest.finalize().into()),
            length => digest.update(&buffer[..length]),
        }
    }
}

/// In hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
