//! Finding the program, in the words that `docker run` has for a missing one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::oci::Process;

/// Path of the program: as given if it has a slash, else from PATH of the container's environment. Runs in the
/// container's root and working directory.
pub(super) fn find(process: &Process, cwd: &Path) -> Result<PathBuf> {
    let name = process.args.first().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::other("the process has no arguments"))?;
    if name.contains('/') {
        let path = cwd.join(name);
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(Refusal::Missing) => Err(Error::new(
                ErrorKind::NotFound,
                format!("exec: {name:?}: stat {name}: no such file or directory"),
            )),
            Err(Refusal::Directory) => Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("exec: {name:?}: is a directory"),
            )),
            Err(Refusal::Mode) => Err(Error::new(
                ErrorKind::PermissionDenied,
                format!("exec: {name:?}: permission denied"),
            )),
        };
    }
    let path = process
        .env
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("PATH="));
    path.unwrap_or_default()
        .split(':')
        .map(|directory| cwd.join(directory).join(name))
        .find(|candidate| executable(candidate).is_ok())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("exec: {name:?}: executable file not found in $PATH"),
            )
        })
}

enum Refusal {
    Missing,
    Directory,
    Mode,
}

fn executable(path: &Path) -> std::result::Result<(), Refusal> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Refusal::Mode,
        _ => Refusal::Missing,
    })?;
    if metadata.is_dir() {
        Err(Refusal::Directory)
    } else if metadata.permissions().mode() & 0o111 == 0 {
        Err(Refusal::Mode)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(program: &str, path: &str) -> Process {
        Process {
            args: vec![program.to_owned()],
            env: vec![format!("PATH={path}")],
            ..Process::default()
        }
    }

    #[test]
    fn texts_and_codes_are_dockers() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("plain");
        fs::write(&file, "").unwrap();
        let path = directory.path().to_str().unwrap();
        let error = |program: &str| find(&process(program, path), Path::new("/")).unwrap_err();
        assert_eq!(
            error("plain").message,
            "exec: \"plain\": executable file not found in $PATH"
        );
        assert_eq!(error("plain").exit_code(), 127);
        let plain = file.to_str().unwrap();
        assert_eq!(
            error(plain).message,
            format!("exec: \"{plain}\": permission denied")
        );
        assert_eq!(error(plain).exit_code(), 126);
        assert_eq!(
            error("/no/such").message,
            "exec: \"/no/such\": stat /no/such: no such file or directory"
        );
        assert_eq!(error("/tmp").message, "exec: \"/tmp\": is a directory");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(&process("plain", path), Path::new("/")).unwrap(), file);
        assert_eq!(
            find(&process("./plain", "/bin"), directory.path()).unwrap(),
            directory.path().join("./plain")
        );
    }
}
