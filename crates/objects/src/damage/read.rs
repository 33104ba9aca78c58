//! Reading a file of the state that may be anything by now: it is looked at before it is opened, and opening cannot block.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Longest file of the state that is read, in bytes: a table of ten thousand images has less.
const FILE_MAX: u64 = 16 << 20;
/// Permissions that only the owner may have.
const OTHERS_WRITE: u32 = 0o022;

/// A file and what was in it.
pub(super) struct Found {
    pub(super) bytes: Vec<u8>,
    file: File,
}

impl Found {
    /// Makes it a file of this process's user that nobody else may write; says what was wrong.
    pub(super) fn make_ours(&self) -> io::Result<Option<String>> {
        let metadata = self.file.metadata()?;
        let own = rustix::process::geteuid();
        if metadata.uid() != own.as_raw() {
            rustix::fs::fchown(&self.file, Some(own), None)?;
            return Ok(Some(format!("belonged to user {}", metadata.uid())));
        }
        if metadata.mode() & OTHERS_WRITE != 0 {
            let mode = metadata.mode() & 0o7777 & !OTHERS_WRITE;
            self.file
                .set_permissions(fs::Permissions::from_mode(mode))?;
            return Ok(Some("could be written by others".to_owned()));
        }
        Ok(None)
    }
}

/// Reads a regular file, also through a link.
pub(super) fn regular_file(path: &Path) -> io::Result<Found> {
    let check = |metadata: &fs::Metadata| {
        if !metadata.is_file() {
            return Err(io::Error::other(kind_of(metadata.file_type())));
        }
        if metadata.len() > FILE_MAX {
            return Err(io::Error::other(format!(
                "{} bytes are too many",
                metadata.len()
            )));
        }
        Ok(())
    };
    check(&fs::metadata(path)?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(
            (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY)
                .bits()
                .cast_signed(),
        )
        .open(path)?;
    check(&file.metadata()?)?;
    let mut bytes = Vec::new();
    (&file).take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(Found { bytes, file })
}

/// Whether there is nothing at all; a link to nothing is something.
pub(super) fn is_missing(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err()
}

/// What something is that should be a file, or a directory.
pub(super) fn kind_of(kind: FileType) -> &'static str {
    match kind {
        _ if kind.is_file() => "a regular file",
        _ if kind.is_dir() => "a directory",
        _ if kind.is_fifo() => "a named pipe",
        _ if kind.is_socket() => "a socket",
        _ if kind.is_block_device() => "a block device",
        _ if kind.is_char_device() => "a character device",
        _ => "a link",
    }
}
