//! Where a copy goes, and under which name: Docker's rules, which depend on what is at the target already.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::bail;

use super::path::{names_directory, split};

/// Links that are followed from a target to its end, as Docker's client does.
const LINKS_MAX: usize = 10;

/// The end of a copy, local or in a container.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    pub(super) path: String,
    pub(super) exists: bool,
    pub(super) directory: bool,
}

/// The directory to unpack into, and the name there of what is copied; without one it keeps its name.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub(super) folder: String,
    pub(super) name: Option<String>,
}

/// Where a directory or something else goes.
///
/// # Errors
/// When a directory would replace something else, or the target says that it is a directory and nothing is there.
pub(super) fn place(directory: bool, target: &Target) -> anyhow::Result<Place> {
    if target.exists && target.directory {
        return Ok(Place {
            folder: target.path.clone(),
            name: None,
        });
    }
    if target.exists && directory {
        bail!("cannot copy directory");
    }
    if !target.exists && !directory && names_directory(&target.path) {
        bail!("no such directory");
    }
    let (folder, base) = split(&target.path);
    Ok(Place {
        folder,
        name: Some(base),
    })
}

/// What is at a local path, at its end when it is a link.
///
/// # Errors
/// When it cannot be looked at, or nothing is there and its directory is not there either.
pub(super) fn local(path: &str) -> anyhow::Result<Target> {
    check_kind(path)?;
    let mut end = path.to_owned();
    for _ in 0..=LINKS_MAX {
        let found = match fs::symlink_metadata(&end) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return missing(end),
            Err(error) => return Err(sys::Error::new(format!("lstat {end}"), error).into()),
        };
        if !found.is_symlink() {
            return Ok(Target {
                path: end,
                exists: true,
                directory: found.is_dir(),
            });
        }
        let link = fs::read_link(&end)
            .map_err(|error| sys::Error::new(format!("readlink {end}"), error))?;
        let (folder, _) = split(&end);
        end = super::path::absolute(&link.to_string_lossy(), &folder);
    }
    bail!("too many symlinks in {path}")
}

fn missing(path: String) -> anyhow::Result<Target> {
    let (folder, _) = split(&path);
    let found =
        fs::metadata(&folder).map_err(|error| sys::Error::new(format!("stat {folder}"), error))?;
    if !found.is_dir() {
        bail!("not a directory");
    }
    Ok(Target {
        path,
        exists: false,
        directory: false,
    })
}

/// Refuses a target whose directory is missing, and one that is a device, a pipe or a socket.
fn check_kind(path: &str) -> anyhow::Result<()> {
    let folder = split(&super::path::clean(path)).0;
    if !Path::new(&folder).exists() {
        bail!("invalid output path: directory {folder:?} does not exist");
    }
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() && !found.is_file() => {
            let kind = match found.file_type() {
                kind if kind.is_char_device() || kind.is_block_device() => "a device",
                _ => "an irregular file",
            };
            bail!("invalid output path: {path:?} must be a directory or a regular file: got {kind}")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str, exists: bool, directory: bool) -> Target {
        Target {
            path: path.to_owned(),
            exists,
            directory,
        }
    }

    #[test]
    fn a_copy_goes_where_docker_puts_it() {
        let table = [
            (true, target("/d", true, true), Ok(("/d", None))),
            (false, target("/d", true, true), Ok(("/d", None))),
            (
                true,
                target("/d/f", true, false),
                Err("cannot copy directory"),
            ),
            (false, target("/d/f", true, false), Ok(("/d", Some("f")))),
            (
                true,
                target("/d/new", false, false),
                Ok(("/d", Some("new"))),
            ),
            (
                true,
                target("/d/new/", false, false),
                Ok(("/d", Some("new"))),
            ),
            (
                false,
                target("/d/new", false, false),
                Ok(("/d", Some("new"))),
            ),
            (
                false,
                target("/d/new/", false, false),
                Err("no such directory"),
            ),
            (
                false,
                target("/new/.", false, false),
                Err("no such directory"),
            ),
            (false, target("new", false, false), Ok((".", Some("new")))),
        ];
        for (directory, target, expected) in table {
            let found = place(directory, &target).map_err(|error| error.to_string());
            let expected = expected.map_err(str::to_owned).map(|(folder, name)| Place {
                folder: folder.to_owned(),
                name: name.map(str::to_owned),
            });
            assert_eq!(found, expected, "{directory} {target:?}");
        }
    }

    #[test]
    fn a_local_target_is_what_is_at_the_end_of_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| format!("{}/{name}", folder.path().display());
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::os::unix::fs::symlink(at("new"), at("dangling")).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        assert_eq!(
            local(&at("link")).unwrap(),
            target(&at("file"), true, false)
        );
        assert_eq!(
            local(&at("dangling")).unwrap(),
            target(&at("new"), false, false)
        );
        assert_eq!(local(&at("")).unwrap(), target(&at(""), true, true));
        let refused = |path: &str| local(path).unwrap_err().to_string();
        assert!(refused(&at("loop")).starts_with("too many symlinks in "));
        assert!(refused(&at("none/file")).ends_with("/none\" does not exist"));
        assert!(refused("/dev/null").ends_with("a regular file: got a device"));
    }
}
