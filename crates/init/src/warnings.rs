//! What the owner of the machine must know: said in the log, and kept for `ros status` and the banner of a login.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use crate::log;

/// One file a subject, one line a warning; the programs of the console add theirs.
const DIRECTORY: &str = "/run/rancher/warnings";

/// Says it. `subject` is one word, such as `state`.
pub(crate) fn warn(subject: &str, message: &str) {
    if cfg!(test) {
        println!("{subject}: {message}");
        return; // a test's words are not the developer's machine's
    }
    log::error(&format!("{subject}: {message}"));
    keep(Path::new(DIRECTORY), subject, message);
}

/// Takes back what was said of a subject.
pub(crate) fn clear(subject: &str) {
    if !cfg!(test) {
        // Absent when all was well.
        let _ = fs::remove_file(Path::new(DIRECTORY).join(subject));
    }
}

fn keep(directory: &Path, subject: &str, message: &str) {
    let written = fs::create_dir_all(directory).and_then(|()| {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(directory.join(subject))?;
        writeln!(file, "{}", message.replace('\n', " "))
    });
    if let Err(error) = written {
        // The log has it.
        log::warning(&format!("{subject}: the warning is not kept: {error}"));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_warning_is_one_line() {
        let folder = tempfile::tempdir().expect("a folder");
        super::keep(folder.path(), "state", "a\nb");
        super::keep(folder.path(), "state", "c");
        let kept = std::fs::read_to_string(folder.path().join("state")).expect("kept");
        assert_eq!(kept, "a b\nc\n");
    }
}
