//! What the owner of the machine must know: said in the log, and kept for `ros status` and the banner of a login.

use std::fs;
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
    let path = directory.join(subject);
    // Some services may write here: a pipe or a link of theirs is not a place for a warning.
    if fs::symlink_metadata(&path).is_ok_and(|found| !found.is_file()) {
        let _ = fs::remove_file(&path);
    }
    // When it is there already, or cannot be made, the file says so.
    let _ = fs::create_dir_all(directory);
    let line = format!("{}\n", message.replace('\n', " "));
    if let Err(error) = sys::regular::append(&path, line.as_bytes(), 0o644) {
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

    #[test]
    fn what_a_service_puts_in_the_place_of_a_warning_neither_holds_nor_leads_elsewhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), pipe, 0o600.into(), 0).expect("a pipe");
        std::fs::write(path("other"), "").expect("written");
        std::os::unix::fs::symlink(path("other"), path("link")).expect("linked");
        std::fs::create_dir(path("directory")).expect("created");
        for name in ["pipe", "link", "directory"] {
            super::keep(folder.path(), name, "a");
        }
        for (name, text) in [("pipe", "a\n"), ("link", "a\n"), ("other", "")] {
            let found = std::fs::symlink_metadata(path(name)).expect("it is there");
            assert!(found.is_file(), "{name}");
            let kept = std::fs::read_to_string(path(name)).expect("a file");
            assert_eq!(kept, text, "{name}");
        }
    }
}
