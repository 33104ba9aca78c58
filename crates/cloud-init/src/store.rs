//! Where fetched user data and metadata are kept: files of the machine's configuration, written all or nothing.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::schema::CLOUD_CONFIG;
use config::{Problem, Severity, check, parse};

use crate::{Error, Metadata, Result, UserData};

/// User data, in the directory of configuration files.
pub const USER_DATA: &str = "cloud-config.d/boot.yml";
pub use machine_config::{METADATA, load_metadata};
/// User data that is a script.
pub const SCRIPT: &str = "cloud-config-script";
/// User data that was not taken, kept for its owner to look at.
pub const REJECTED: &str = "user-data.rejected";

/// What became of user data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    /// Documents that are the machine's configuration now, scripts included.
    pub taken: usize,
    /// What is wrong with it; an error costs a value or a document.
    pub problems: Vec<Problem>,
}

impl Saved {
    /// Whether its owner must be told.
    pub fn is_bad(&self) -> bool {
        let mut problems = self.problems.iter();
        problems.any(|problem| problem.severity == Severity::Error)
    }
}

/// Writes the documents of user data below `directory` (`/var/lib/rancher/conf`), in place of those of an earlier boot.
///
/// One with wrong values is taken, since its good parts count. One that is not YAML is kept as [`REJECTED`], too: the
/// configuration of an earlier boot stays, and where there is none, the parts that can be read are taken.
///
/// # Errors
/// A file that cannot be written.
pub fn save(directory: &Path, name: &str, documents: &[UserData]) -> Result<Saved> {
    let mut saved = Saved::default();
    let (mut configs, mut scripts) = (Vec::new(), Vec::new());
    let has_earlier = has_good(directory);
    for (index, document) in documents.iter().enumerate() {
        let name = match documents.len() {
            1 => name.to_owned(),
            _ => format!("{name} part {}", index + 1),
        };
        let at = config::Location::new(&std::sync::Arc::from(name.as_str()), 1, 1);
        match document {
            UserData::Empty => {}
            UserData::Script(text) => scripts.push(text),
            UserData::Unsupported(words) => saved.problems.push(Problem::error(&at, "", words)),
            UserData::Include(_) => {
                saved
                    .problems
                    .push(Problem::error(&at, "", "its #include was not fetched"));
            }
            UserData::CloudConfig { text, note } => {
                saved
                    .problems
                    .extend(note.iter().map(|note| Problem::warning(&at, "", note)));
                let (worth, problems) = look_at(&name, text);
                saved.problems.extend(problems);
                if worth != Worth::Whole {
                    write_atomic(&directory.join(REJECTED), text.as_bytes(), 0o600)?;
                }
                match worth {
                    Worth::Whole => configs.push(text),
                    Worth::Parts if !has_earlier => configs.push(text),
                    Worth::Parts => saved.problems.push(Problem::error(
                        &at,
                        "",
                        "not taken: the user data of an earlier boot stays until this one is YAML",
                    )),
                    Worth::Nothing => {}
                }
            }
        }
    }
    saved.taken = configs.len() + scripts.len();
    if saved.taken > 0 {
        replace_all(directory, USER_DATA, &configs, 0o600)?;
        replace_all(directory, SCRIPT, &scripts, 0o700)?;
    }
    Ok(saved)
}

/// The files of scripts, in order.
pub fn scripts(directory: &Path) -> Vec<PathBuf> {
    (0..MAX_DOCUMENTS)
        .map(|index| directory.join(numbered(SCRIPT, index)))
        .take_while(|path| path.exists())
        .collect()
}

/// Most documents of one kind; a multi-part message has fewer.
const MAX_DOCUMENTS: usize = 64;

/// `cloud-config.d/boot.yml`, `cloud-config.d/boot.01.yml` ...: in name order.
fn numbered(name: &str, index: usize) -> String {
    match (index, name.strip_suffix(".yml")) {
        (0, _) => name.to_owned(),
        (_, Some(stem)) => format!("{stem}.yml.{index:02}"),
        (_, None) => format!("{name}.{index:02}"),
    }
}

/// Writes the texts, and removes what an earlier boot had more.
fn replace_all(directory: &Path, name: &str, texts: &[&String], mode: u32) -> Result<()> {
    for (index, text) in texts.iter().take(MAX_DOCUMENTS).enumerate() {
        write_atomic(
            &directory.join(numbered(name, index)),
            text.as_bytes(),
            mode,
        )?;
    }
    for index in texts.len()..MAX_DOCUMENTS {
        let path = directory.join(numbered(name, index));
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
            Err(error) => return Err(Error::file("remove", &path, error)),
        }
    }
    Ok(())
}

/// How much of a cloud-config can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    /// It is YAML with keys.
    Whole,
    /// It is not YAML, and parts of it are.
    Parts,
    Nothing,
}

/// How much of a cloud-config can be used, and what is wrong with it.
fn look_at(name: &str, text: &str) -> (Worth, Vec<Problem>) {
    let worth = if parse(name, text).is_ok() {
        Worth::Whole
    } else {
        Worth::Parts
    };
    let (node, mut problems) = config::read(name, text);
    let left = check(node, &CLOUD_CONFIG, &mut problems);
    let has_keys = left.as_ref().and_then(config::Node::as_map);
    match has_keys.map(|map| map.is_empty()) {
        Some(false) => (worth, problems),
        Some(true) if worth == Worth::Whole => (worth, problems),
        _ => (Worth::Nothing, problems),
    }
}

/// Whether user data of an earlier boot is there, and good.
fn has_good(directory: &Path) -> bool {
    let most = config::MAX_DOCUMENT_BYTES as u64;
    let text = sys::regular::read(&directory.join(USER_DATA), most).unwrap_or_default();
    let text = String::from_utf8(text).unwrap_or_default();
    !text.is_empty() && parse("", &text).is_ok()
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

/// Removes metadata that another machine was given: a disk that was copied carries it along. `machine` is the firmware's
/// UUID. Whether it did.
///
/// # Errors
/// The file cannot be removed.
pub fn forget_other_machine(directory: &Path, machine: &str) -> Result<bool> {
    let path = directory.join(METADATA);
    // Damaged metadata is reported by who reads it, and replaced by the next.
    let Ok(known) = load_metadata(directory) else {
        return Ok(false);
    };
    let is_other = known
        .machine
        .is_some_and(|known| !known.eq_ignore_ascii_case(machine));
    if is_other {
        fs::remove_file(&path).map_err(|error| Error::file("remove", &path, error))?;
    }
    Ok(is_other)
}

/// Writes a file so that a power cut leaves the old or the new one ([`sys::atomic_file::write`]); its directory is made.
///
/// # Errors
/// Whatever step fails; the old file then stands.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|error| Error::file("create", parent, error))?;
    // The temporary name begins with a dot: readers of cloud-config.d skip it.
    let replace = || sys::atomic_file::write(path, &sys::atomic_file::hidden(path), bytes, mode);
    let result = match replace() {
        // Damage of the disk, and no file ever replaces it: it would be in the way for ever.
        Err(error) if error.kind() == ErrorKind::IsADirectory => {
            set_aside(path).map_err(|error| Error::file("set aside", path, error))?;
            replace()
        }
        result => result,
    };
    result.map_err(|error| Error::file("write", path, error.source))
}

/// Gives what cannot be replaced another name, which readers of cloud-config.d skip.
fn set_aside(path: &Path) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fs::rename(path, path.with_file_name(format!(".{name}.damaged")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(text: &str) -> (tempfile::TempDir, Saved) {
        let directory = tempfile::tempdir().unwrap();
        let saved = save_in(directory.path(), text);
        (directory, saved)
    }

    fn save_in(directory: &Path, text: &str) -> Saved {
        let documents = crate::user_data::documents(text.as_bytes()).unwrap();
        save(directory, "user-data", &documents).unwrap()
    }

    #[test]
    fn a_cloud_config_is_kept_as_it_is_written() {
        let text = "#cloud-config\n# a comment\nhostname: a\n";
        let (directory, saved) = saved(text);
        assert_eq!((saved.taken, saved.problems), (1, vec![]));
        assert_eq!(
            fs::read_to_string(directory.path().join(USER_DATA)).unwrap(),
            text
        );
        assert_eq!(
            fs::read_dir(directory.path().join("cloud-config.d"))
                .unwrap()
                .count(),
            1
        );
    }

    #[test]
    fn a_directory_in_the_place_of_a_file_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings");
        fs::create_dir_all(path.join("below")).unwrap();
        write_atomic(&path, b"text", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"text");
        assert!(folder.path().join(".settings.damaged/below").is_dir());
    }

    #[test]
    fn good_parts_of_a_bad_cloud_config_are_taken() {
        let (directory, saved) = saved("#cloud-config\nhostname: a\nrancher: {debug: [x]}\n");
        assert!(saved.is_bad());
        assert_eq!(saved.problems[0].at.to_string(), "user-data:3:18");
        assert!(directory.path().join(USER_DATA).exists());
    }

    #[test]
    fn what_cannot_be_read_is_kept_aside_and_the_earlier_one_stays() {
        let directory = tempfile::tempdir().unwrap();
        save_in(directory.path(), "#cloud-config\nhostname: a\n");
        let saved = save_in(directory.path(), "#cloud-config\nhostname: [\n");
        assert!(saved.is_bad() && saved.taken == 0);
        let kept = fs::read_to_string(directory.path().join(USER_DATA)).unwrap();
        assert!(kept.contains("hostname: a"));
        let rejected = fs::read_to_string(directory.path().join(REJECTED)).unwrap();
        assert!(rejected.contains("hostname: ["));
    }

    #[test]
    fn parts_of_what_is_not_yaml_are_taken_where_nothing_better_is() {
        let text = "#cloud-config\nhostname: [\nssh_authorized_keys: [k]\n";
        let (directory, saved) = saved(text);
        assert!(saved.is_bad() && saved.taken == 1, "{saved:?}");
        assert_eq!(saved.problems[0].at.to_string(), "user-data:2:11");
        // The next boot finds the same.
        assert_eq!(save_in(directory.path(), text), saved);
        save_in(directory.path(), "#cloud-config\nhostname: a\n");
        assert_eq!(save_in(directory.path(), text).taken, 0);
    }

    #[test]
    fn a_message_leaves_its_parts_and_nothing_of_an_earlier_boot() {
        let message = |hosts: &[&str]| {
            let parts: String = hosts
                .iter()
                .map(|host| format!("--b\nContent-Type: text/cloud-config\n\nhostname: {host}\n"))
                .collect();
            format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b\n\n#!/bin/sh\n--b--\n")
        };
        let directory = tempfile::tempdir().unwrap();
        save_in(directory.path(), &message(&["a", "b", "c"]));
        let files = || {
            fs::read_dir(directory.path().join("cloud-config.d"))
                .unwrap()
                .count()
        };
        assert_eq!((files(), scripts(directory.path()).len()), (3, 1));
        save_in(directory.path(), "#cloud-config\nhostname: d\n");
        assert_eq!((files(), scripts(directory.path()).len()), (1, 0));
    }

    #[test]
    fn other_kinds_are_named() {
        assert_eq!(saved("").1, Saved::default());
        assert_eq!(saved("#!/bin/sh\n").1.taken, 1);
        assert!(saved("#include\nhttp://x\n").1.is_bad());
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
            network: Some(serde_json::json!({"dns": {"search": ["a"]}})),
            ..Metadata::default()
        };
        save_metadata(directory.path(), &metadata).unwrap();
        assert_eq!(load_metadata(directory.path()).unwrap(), metadata);
    }

    #[test]
    fn metadata_stays_with_its_machine() {
        let directory = tempfile::tempdir().unwrap();
        let metadata = Metadata {
            machine: Some("ABC".into()),
            ..Metadata::default()
        };
        save_metadata(directory.path(), &metadata).unwrap();
        assert!(!forget_other_machine(directory.path(), "abc").unwrap());
        assert_eq!(load_metadata(directory.path()).unwrap(), metadata);
        assert!(forget_other_machine(directory.path(), "def").unwrap());
        assert_eq!(
            load_metadata(directory.path()).unwrap(),
            Metadata::default()
        );
        assert!(!forget_other_machine(directory.path(), "def").unwrap());
    }
}
