//! Where fetched user data and metadata are kept: files of the machine's configuration, written all or nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use config::schema::CLOUD_CONFIG;
use config::{Problem, Severity, check, parse};

use crate::{Error, Metadata, Result, UserData};

/// User data, in the directory of configuration files.
pub const USER_DATA: &str = "cloud-config.d/boot.yml";
/// Metadata, as JSON.
pub const METADATA: &str = "metadata";
/// User data that is a script.
pub const SCRIPT: &str = "cloud-config-script";
/// User data that was not taken, kept for its owner to look at.
pub const REJECTED: &str = "user-data.rejected";

/// What became of user data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Saved {
    /// There was none.
    Nothing,
    /// It is the machine's configuration now, except for what the problems name.
    CloudConfig(Vec<Problem>),
    /// It is a script, kept and not run by this version.
    Script,
    /// It is not taken; the reasons.
    Rejected(Vec<Problem>),
}

impl Saved {
    /// The problems, with errors that cost a value or all of it.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Saved::CloudConfig(problems) | Saved::Rejected(problems) => problems,
            Saved::Nothing | Saved::Script => &[],
        }
    }

    /// Whether its owner must be told.
    pub fn is_bad(&self) -> bool {
        matches!(self, Saved::Rejected(_))
            || self
                .problems()
                .iter()
                .any(|problem| problem.severity == Severity::Error)
    }
}

/// Writes user data below `directory` (`/var/lib/rancher/conf`).
///
/// A cloud-config that is not YAML, or not a map, is kept as [`REJECTED`] and the configuration of an earlier boot
/// stays; one with wrong values is taken, since its good parts count.
///
/// # Errors
/// A file that cannot be written.
pub fn save(directory: &Path, name: &str, user_data: &UserData) -> Result<Saved> {
    match user_data {
        UserData::Empty => Ok(Saved::Nothing),
        UserData::Script(text) => {
            write_atomic(&directory.join(SCRIPT), text.as_bytes(), 0o700)?;
            Ok(Saved::Script)
        }
        UserData::CloudConfig(text) => match problems_of(name, text) {
            Ok(problems) => {
                write_atomic(&directory.join(USER_DATA), text.as_bytes(), 0o600)?;
                Ok(Saved::CloudConfig(problems))
            }
            Err(problems) => {
                write_atomic(&directory.join(REJECTED), text.as_bytes(), 0o600)?;
                Ok(Saved::Rejected(problems))
            }
        },
        UserData::Unsupported(first_line) => {
            let at = config::Location::new(&std::sync::Arc::from(name), 1, 1);
            let message = format!(
                "user data that begins with {first_line:?} is not supported, expected \"#cloud-config\""
            );
            Ok(Saved::Rejected(vec![Problem::error(&at, "", message)]))
        }
    }
}

/// What is wrong with a cloud-config; as an error when nothing of it can be used.
fn problems_of(name: &str, text: &str) -> std::result::Result<Vec<Problem>, Vec<Problem>> {
    let (node, mut problems) = parse(name, text).map_err(|problem| vec![problem])?;
    match check(node, &CLOUD_CONFIG, &mut problems) {
        Some(_) => Ok(problems),
        None => Err(problems),
    }
}

/// Writes the metadata below `directory`.
///
/// # Errors
/// The file cannot be written.
pub fn save_metadata(directory: &Path, metadata: &Metadata) -> Result<()> {
    let path = directory.join(METADATA);
    let json =
        serde_json::to_vec_pretty(metadata).map_err(|error| Error::Metadata(error.to_string()))?;
    write_atomic(&path, &json, 0o600)
}

/// Metadata of the last fetch; the default when there is none.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn load_metadata(directory: &Path) -> Result<Metadata> {
    let path = directory.join(METADATA);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Metadata::default());
        }
        Err(error) => return Err(Error::file("read", &path, error)),
    };
    serde_json::from_str(&text)
        .map_err(|error| Error::Metadata(format!("{}: {error}", path.display())))
}

/// Writes a file so that a power cut leaves the old or the new one: a temporary file, fsync, rename, fsync of the
/// directory.
///
/// # Errors
/// Whatever step fails; the old file then stands.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|error| Error::file("create", parent, error))?;
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    // Begins with a dot: readers of cloud-config.d skip it.
    let temporary: PathBuf = parent.join(format!(".{}.new", name.unwrap_or_default()));
    let _ = fs::remove_file(&temporary); // left by a power cut
    let mut file = fs::File::create_new(&temporary)
        .map_err(|error| Error::file("create", &temporary, error))?;
    sys::fs::set_mode(&temporary, mode)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(|error| Error::file("write", &temporary, error))?;
    fs::rename(&temporary, path).map_err(|error| Error::file("replace", path, error))?;
    fs::File::open(parent)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Error::file("sync", parent, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(text: &str) -> (tempfile::TempDir, Saved) {
        let directory = tempfile::tempdir().unwrap();
        let user_data = crate::user_data::classify(text.as_bytes()).unwrap();
        let saved = save(directory.path(), "user-data", &user_data).unwrap();
        (directory, saved)
    }

    #[test]
    fn a_cloud_config_is_kept_as_it_is_written() {
        let text = "#cloud-config\n# a comment\nhostname: a\n";
        let (directory, saved) = saved(text);
        assert_eq!(saved, Saved::CloudConfig(vec![]));
        assert_eq!(
            fs::read_to_string(directory.path().join(USER_DATA)).unwrap(),
            text
        );
        let left: Vec<_> = fs::read_dir(directory.path().join("cloud-config.d"))
            .unwrap()
            .collect();
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn good_parts_of_a_bad_cloud_config_are_taken() {
        let (directory, saved) = saved("#cloud-config\nhostname: a\nrancher: {debug: [x]}\n");
        assert!(saved.is_bad());
        assert_eq!(saved.problems()[0].at.to_string(), "user-data:3:18");
        assert!(directory.path().join(USER_DATA).exists());
    }

    #[test]
    fn what_cannot_be_read_is_kept_aside_and_the_earlier_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        let good = UserData::CloudConfig("#cloud-config\nhostname: a\n".into());
        save(directory.path(), "u", &good).unwrap();
        let bad = UserData::CloudConfig("#cloud-config\nhostname: [\n".into());
        assert!(matches!(
            save(directory.path(), "u", &bad).unwrap(),
            Saved::Rejected(_)
        ));
        let kept = fs::read_to_string(directory.path().join(USER_DATA)).unwrap();
        assert!(kept.contains("hostname: a"));
        assert!(
            fs::read_to_string(directory.path().join(REJECTED))
                .unwrap()
                .contains("hostname: [")
        );
    }

    #[test]
    fn other_kinds_are_named() {
        assert_eq!(saved("").1, Saved::Nothing);
        assert_eq!(saved("#!/bin/sh\n").1, Saved::Script);
        assert!(saved("Content-Type: multipart/mixed\n").1.is_bad());
    }

    #[test]
    fn metadata_comes_back() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            load_metadata(directory.path()).unwrap(),
            Metadata::default()
        );
        let metadata = Metadata {
            hostname: Some("a".into()),
            instance_id: None,
            ssh_authorized_keys: vec!["k".into()],
        };
        save_metadata(directory.path(), &metadata).unwrap();
        assert_eq!(load_metadata(directory.path()).unwrap(), metadata);
    }
}
