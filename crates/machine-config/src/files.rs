//! Reading files that may be missing, large or damaged.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Location, Problem};
use rustix::fs::OFlags;

/// Most files of the directory that are read: more are a mistake, and each costs the boot time.
pub(crate) const MAX_FILES: usize = 256;

/// Files of a directory in name order; hidden ones are editors' leftovers and files being written. What is not a file is
/// named.
pub(crate) fn directory(directory: &Path) -> (Vec<PathBuf>, Vec<Problem>) {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in found {
        match fs::metadata(&path).and_then(|found| must_be_file(&found)) {
            Ok(()) => files.push(path),
            Err(error) => problems.push(problem(&path, &format!("is left out: {error}"))),
        }
        if problems.len() >= MAX_FILES {
            break;
        }
    }
    if files.len() > MAX_FILES {
        let message = format!(
            "holds {} files, only the first {MAX_FILES} are read",
            files.len()
        );
        problems.push(problem(directory, &message));
        files.truncate(MAX_FILES);
    }
    (files, problems)
}

/// The text of a file; none when it does not exist, or cannot be read: that is a problem among the others.
pub(crate) fn read(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    try_read(path, problems).unwrap_or_else(|error| {
        problems.push(problem(path, &format!("cannot be read: {error}")));
        None
    })
}

/// The text of a file; none when it does not exist. Too much text is cut, and the parser reports that.
///
/// Bytes that are not UTF-8 (a comment in an older encoding, most often) are replaced and reported: they must not cost
/// the keys that the file has.
///
/// # Errors
/// When it is not a file, or what open(2) and read(2) refuse.
pub(crate) fn try_read(path: &Path, problems: &mut Vec<Problem>) -> io::Result<Option<String>> {
    Ok(bytes(path)?.map(|bytes| text(path, bytes, problems)))
}

/// As [`try_read`], before anybody looks at the bytes.
pub(crate) fn bytes(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let limit = config::MAX_DOCUMENT_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    match open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Opens a regular file and nothing else: PID 1 and the logins must not wait for a pipe, a terminal, or a lease's holder
/// (fcntl(2)). It is looked at first, since opening a device can do something, and again once it is open.
fn open(path: &Path) -> io::Result<File> {
    must_be_file(&fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    must_be_file(&file.metadata()?)?;
    Ok(file)
}

fn must_be_file(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    let word = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(io::Error::other(format!("it is {word}, and not a file")))
}

fn text(path: &Path, bytes: Vec<u8>, problems: &mut Vec<Problem>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let good = error.utf8_error().valid_up_to();
        let bytes = error.into_bytes();
        let line = bytes[..good].iter().filter(|byte| **byte == b'\n').count() + 1;
        let file = Arc::from(path.display().to_string());
        let at = Location::new(&file, line, 1);
        let message = "not UTF-8: save the file in that encoding; other characters are replaced";
        problems.push(Problem::error(&at, "", message));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// An error about a file as a whole.
pub(crate) fn problem(path: &Path, message: &str) -> Problem {
    let file = Arc::from(path.display().to_string());
    Problem::error(&Location::new(&file, 0, 0), "", message)
}
