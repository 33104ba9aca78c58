//! The machine's own files, kept for the way back: in /run those that it runs with, on the state disk while a change waits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use config::Config;
use machine_config::apply::{APPLIED_FILES, PENDING};
use machine_config::{CLOUD_CONFIG, CLOUD_CONFIG_DIRECTORY, CONF};

/// Most files that are kept: as many as are read (crate machine-config) and the services' own.
const MAX_FILES: usize = 512;
/// When a pending change is taken back and when it was made, in seconds since boot, next to the copies.
const TIMES: &str = "times";
/// It has two numbers.
const LONGEST_TIMES: u64 = 1 << 10;
/// Where the copies lie, below [`PENDING`].
const COPIES: &str = "files";

/// Contents by path below [`CONF`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Files {
    /// The files that make up the configuration, and those of services that it includes.
    pub(super) fn of_machine(config: &Config) -> Files {
        let conf = Path::new(CONF);
        let includes = config.rancher.services_include.keys();
        let own =
            includes.filter_map(|name| Path::new(name).strip_prefix(conf).ok().map(Path::to_owned));
        Files::read(conf, own.filter(|path| is_plain(path)).collect())
    }

    /// What of the layers is below `root`, and these paths.
    fn read(root: &Path, more: Vec<PathBuf>) -> Files {
        let directory = root.join(CLOUD_CONFIG_DIRECTORY);
        let listed = fs::read_dir(&directory).into_iter().flatten().flatten();
        let layers = listed
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
            .map(|entry| Path::new(CLOUD_CONFIG_DIRECTORY).join(entry.file_name()));
        let names = layers.chain([PathBuf::from(CLOUD_CONFIG)]).chain(more);
        let contents = names.take(MAX_FILES).filter_map(|name| {
            let path = root.join(&name);
            let small = fs::metadata(&path)
                .is_ok_and(|m| m.is_file() && m.len() <= config::MAX_DOCUMENT_BYTES as u64);
            let longest = config::MAX_DOCUMENT_BYTES as u64;
            small
                .then(|| sys::regular::read(&path, longest).ok())
                .flatten()
                .map(|content| (name, content))
        });
        Files(contents.collect())
    }

    /// Keeps them in /run, in place of what was there.
    pub(super) fn keep(&self) -> anyhow::Result<()> {
        self.replace(Path::new(APPLIED_FILES))
    }

    fn replace(&self, target: &Path) -> anyhow::Result<()> {
        remove_all(target)?;
        self.write_to(target)
    }

    fn write_to(&self, root: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
        for (name, content) in &self.0 {
            write(&root.join(name), content)?;
        }
        Ok(())
    }

    /// Makes the layers below `root` these, and nothing else.
    fn restore(&self, root: &Path) -> anyhow::Result<()> {
        self.write_to(root)?;
        for name in Files::read(root, Vec::new()).0.into_keys() {
            if !self.0.contains_key(&name) {
                let path = root.join(&name);
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// Puts what the machine runs with on the disk, whole or not at all, before a change is made.
pub(super) fn save_pending(deadline: Duration) -> anyhow::Result<()> {
    save_pending_in(
        Path::new(CONF),
        &kept_in(Path::new(APPLIED_FILES)),
        deadline,
    )
}

/// Everything that was kept in a directory.
fn kept_in(root: &Path) -> Files {
    let mut more = Vec::new();
    // Services' files may be in separate directories.
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = directory.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && more.len() < MAX_FILES => directories.push(name),
                Ok(kind) if kind.is_file() => more.push(name),
                _ => {}
            }
        }
    }
    Files::read(root, more)
}

fn save_pending_in(conf: &Path, files: &Files, deadline: Duration) -> anyhow::Result<()> {
    let (pending, new) = (conf.join(PENDING), conf.join(".pending.new"));
    if pending.exists() {
        bail!(
            "{} is there: an earlier change was not settled",
            pending.display()
        );
    }
    files.replace(&new.join(COPIES))?;
    write(&new.join(TIMES), times(deadline, deadline).as_bytes())?;
    fs::rename(&new, &pending).with_context(|| format!("cannot make {}", pending.display()))?;
    sync_directory(conf)
}

fn times(deadline: Duration, applied: Duration) -> String {
    format!("{} {}\n", deadline.as_millis(), applied.as_millis())
}

/// Notes when the change is complete, for a program that takes over.
pub(super) fn set_times(deadline: Duration, applied: Duration) -> anyhow::Result<()> {
    write(
        &Path::new(CONF).join(PENDING).join(TIMES),
        times(deadline, applied).as_bytes(),
    )
}

/// The deadline of a pending change and when it was made.
pub(super) fn pending_times() -> Option<(Duration, Duration)> {
    let path = Path::new(CONF).join(PENDING).join(TIMES);
    let text = sys::regular::read(&path, LONGEST_TIMES).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (deadline, applied) = text.trim().split_once(' ')?;
    let time = |text: &str| text.parse().ok().map(Duration::from_millis);
    Some((time(deadline)?, time(applied)?))
}

/// The change is kept.
pub(super) fn forget_pending() -> anyhow::Result<()> {
    forget_pending_in(Path::new(CONF))
}

fn forget_pending_in(conf: &Path) -> anyhow::Result<()> {
    let (pending, old) = (conf.join(PENDING), conf.join(".pending.old"));
    remove_all(&old)?;
    match fs::rename(&pending, &old) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        result => result.with_context(|| format!("cannot remove {}", pending.display()))?,
    }
    sync_directory(conf)?;
    remove_all(&old)
}

/// Puts the files of before a pending change back; whether there was one. It can be cut off and done again.
///
/// # Errors
/// A disk that takes nothing; the copies stay.
pub(crate) fn recover() -> anyhow::Result<bool> {
    recover_in(Path::new(CONF))
}

fn recover_in(conf: &Path) -> anyhow::Result<bool> {
    let copies = conf.join(PENDING).join(COPIES);
    if !copies.is_dir() {
        return Ok(false);
    }
    kept_in(&copies).restore(conf)?;
    sync_directory(conf)?;
    forget_pending_in(conf)?;
    Ok(true)
}

/// Whether a path leads nowhere else.
fn is_plain(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
}

/// Writes a file for root alone, so that a power cut leaves the old or the new one.
pub(super) fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    sys::atomic_file::write(path, &sys::atomic_file::hidden(path), content, 0o600)
        .map_err(|error| error.source)
        .with_context(|| format!("cannot write {}", path.display()))
}

fn sync_directory(path: &Path) -> anyhow::Result<()> {
    sys::atomic_file::sync_directory(path)
        .map_err(|error| error.source)
        .with_context(|| format!("cannot sync {}", path.display()))
}

fn remove_all(path: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("cannot remove {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        Files(
            list.iter()
                .map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec()))
                .collect(),
        )
    }

    fn present(conf: &Path) -> Files {
        Files::read(conf, vec!["a/service.yml".into()])
    }

    #[test]
    fn whatever_a_change_did_to_the_files_is_undone() {
        let folder = tempfile::tempdir().expect("a folder");
        let conf = folder.path();
        let before = files(&[
            ("cloud-config.yml", "hostname: a\n"),
            ("cloud-config.d/boot.yml", "b"),
            ("a/service.yml", "s"),
        ]);
        before.write_to(conf).expect("written");
        save_pending_in(conf, &before, Duration::from_secs(5)).expect("saved");
        assert!(
            save_pending_in(conf, &before, Duration::from_secs(5)).is_err(),
            "one at a time"
        );
        files(&[
            ("cloud-config.yml", "hostname: [\n"),
            ("cloud-config.d/new.yml", "n"),
            ("a/service.yml", "t"),
        ])
        .write_to(conf)
        .expect("written");
        fs::remove_file(conf.join("cloud-config.d/boot.yml")).expect("removed");
        assert!(recover_in(conf).expect("recovered"));
        assert_eq!(present(conf), before);
        assert!(!recover_in(conf).expect("nothing is pending"));
    }

    #[test]
    fn a_confirmed_change_stays_and_half_a_copy_is_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let conf = folder.path();
        save_pending_in(conf, &files(&[("cloud-config.yml", "old")]), Duration::ZERO)
            .expect("saved");
        write(&conf.join("cloud-config.yml"), b"new").expect("written");
        forget_pending_in(conf).expect("forgotten");
        assert!(!recover_in(conf).expect("nothing is pending"));
        assert_eq!(
            fs::read(conf.join("cloud-config.yml")).expect("there"),
            b"new"
        );
        // The power goes while the copies are written.
        write(&conf.join(".pending.new/files/cloud-config.yml"), b"half").expect("written");
        assert!(!recover_in(conf).expect("nothing is pending"));
        save_pending_in(conf, &files(&[("cloud-config.yml", "old")]), Duration::ZERO)
            .expect("over it");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_not_kept() {
        assert!(is_plain(Path::new("a/b.yml")));
        assert!(!is_plain(Path::new("../etc/shadow")) && !is_plain(Path::new("/etc")));
    }
}
