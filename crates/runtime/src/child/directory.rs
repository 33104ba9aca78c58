//! The working directory of a container's process.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use sys::rooted::{Root, kind};

use crate::error::{Error, Result};
use crate::oci::Process;

/// Mode of a working directory that is made.
const MODE: u32 = 0o755;

/// Enters the working directory, made if it is missing and `make` says so, and makes sure that it is inside the root: a
/// descriptor of the host that leaked would lead out (CVE-2024-21626). It is entered as root, as `docker run` does: a user that
/// may not look into it can still start there.
///
/// # Errors
/// When it is missing, is not a directory, or the kernel refuses.
pub(super) fn enter(root: &Root, process: &Process, make: bool) -> Result<PathBuf> {
    let cwd = match process.cwd.as_str() {
        "" => Path::new("/"),
        cwd => Path::new(cwd),
    };
    let shown = cwd.display();
    let failed = |cause: &std::io::Error| {
        let cause = Error::of_errno(cause);
        Error::other(format!(
            "chdir to cwd ({:?}) set in config.json failed: {cause}",
            cwd
        ))
    };
    let opened = if make {
        root.ensure_directory(cwd, MODE)
            .map_err(|error| Error::other(format!("mkdir {shown}: {}", cause_of(&error))))?
    } else {
        root.find(cwd).map_err(|error| failed(&error.source))?
    };
    if make && kind(opened.as_fd()).is_ok_and(|kind| kind != FileType::Directory) {
        return Err(Error::other(format!("mkdir {shown}: not a directory")));
    }
    rustix::process::fchdir(&opened).map_err(|errno| failed(&errno.into()))?;
    let now = rustix::process::getcwd(Vec::new()).map_err(|errno| failed(&errno.into()))?;
    if now.to_bytes().starts_with(b"/") {
        return Ok(cwd.to_owned());
    }
    Err(Error::other(format!(
        "chdir to cwd ({:?}): it is outside of the container",
        cwd
    )))
}

fn cause_of(error: &sys::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => Error::of_errno(&error.source),
    }
}
