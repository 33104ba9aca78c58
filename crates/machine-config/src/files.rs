//! Reading files that may be missing, large or damaged.

use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Location, Problem};

/// Most files of the directory that are read: more are a mistake, and each costs the boot time.
pub(crate) const MAX_FILES: usize = 256;

/// Files of a directory in name order; hidden ones are editors' leftovers and files being written.
pub(crate) fn directory(directory: &Path) -> (Vec<PathBuf>, Vec<Problem>) {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    let mut problems = Vec::new();
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

/// The text of a file; none when it does not exist. Too much text is cut, and the parser reports that.
///
/// Bytes that are not UTF-8 (a comment in an older encoding, most often) are replaced and reported: they must not cost
/// the keys that the file has.
pub(crate) fn read(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    let limit = config::MAX_DOCUMENT_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let result = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    match result {
        Ok(_) => Some(text(path, bytes, problems)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            None
        }
        Err(error) => {
            problems.push(problem(path, &format!("cannot be read: {error}")));
            None
        }
    }
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
