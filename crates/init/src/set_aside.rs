//! Files of the state disk that are not what they must be: renamed, so that what comes next can be written, and said.
//!
//! A power cut leaves files full of zeros, a dying disk anything. This runs before any other program does, so that nobody
//! swaps a file between the look and the reading; and nothing but a regular file is opened, since a pipe would hold PID 1.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::warnings::warn;

/// The name that a damaged `cloud-config.yml` gets: `cloud-config.yml.damaged`; an earlier one of that name goes. In the
/// directory of configuration files it gets a dot in front, too: all others there are read.
fn aside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.damaged"))
}

/// Renames what stands in the place of a directory and is none. A link to a directory is its owner's choice.
///
/// # Errors
/// When it cannot be renamed.
pub(crate) fn unless_directory(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() || fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    set_aside(path, "is not a directory")
}

/// Files in which logs and logins are noted: whoever opens a pipe in their place waits for ever, sshd among them.
const LOGS: &[&str] = &["btmp", "lastlog", "syslog", "wtmp"];

/// Renames the files of the machine's configuration, in `conf`, that are not text. chronyd does not start while one of its files
/// is not.
pub(crate) fn configuration(conf: &Path) {
    let (layers, chrony) = (conf.join("cloud-config.d"), conf.join("chrony"));
    let mut results: Vec<_> = [conf, &layers, &chrony].map(unless_directory).into();
    let mut files = vec![conf.join("cloud-config.yml"), conf.join("metadata")];
    files.extend(files_in(&layers));
    let is_conf = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "conf");
    files.extend(files_in(&chrony).filter(is_conf));
    for file in files {
        if let Some(why) = damage(&file) {
            results.push(set_aside(&file, why));
        }
    }
    say(results);
}

/// Renames what is not a file in the place of a log.
pub(crate) fn logs(directory: &Path) {
    let paths = LOGS.iter().map(|name| directory.join(name));
    let wrong = paths.filter(|path| {
        let is_there = fs::symlink_metadata(path).is_ok();
        is_there && !fs::metadata(path).is_ok_and(|found| found.is_file())
    });
    say(wrong
        .map(|path| set_aside(&path, "is not a file"))
        .collect());
}

fn say(results: Vec<anyhow::Result<()>>) {
    for error in results.into_iter().filter_map(Result::err) {
        warn("state", &format!("{error:#}"));
    }
}

/// What is in a directory, except for names with a dot in front.
fn files_in(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
}

/// Why a file cannot be configuration; nothing when it can, or is absent.
fn damage(path: &Path) -> Option<&'static str> {
    if fs::symlink_metadata(path).is_err() {
        return None;
    }
    // A link that leads nowhere has no metadata.
    let Ok(metadata) = fs::metadata(path) else {
        return Some("leads nowhere");
    };
    if !metadata.is_file() {
        return Some("is not a file");
    }
    if metadata.len() > config::MAX_DOCUMENT_BYTES as u64 {
        return None; // its reader says that it is too long
    }
    match fs::read(path) {
        Err(_) => Some("cannot be read"),
        Ok(content) if content.contains(&0) => Some("has zeros in it, as a power cut leaves them"),
        Ok(content) if std::str::from_utf8(&content).is_err() => Some("is not text"),
        Ok(_) => None,
    }
}

fn set_aside(path: &Path, why: &str) -> anyhow::Result<()> {
    let aside = aside(path);
    // Of an earlier time; a directory and a file do not replace each other.
    let _ = fs::remove_file(&aside);
    let _ = fs::remove_dir_all(&aside);
    fs::rename(path, &aside)
        .with_context(|| format!("{} {why} and cannot be set aside", path.display()))?;
    warn(
        "state",
        &format!(
            "{} {why}: it is set aside as {}",
            path.display(),
            aside.display()
        ),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_cannot_be_configuration_is_set_aside() {
        let conf = tempfile::tempdir().expect("a folder");
        let path = |name: &str| conf.path().join(name);
        fs::create_dir(path("cloud-config.d")).expect("created");
        let write = |name: &str, content: &[u8]| fs::write(path(name), content).expect("written");
        write("cloud-config.yml", &[0; 100]);
        write("metadata", b"{half");
        write("cloud-config.d/a.yml", b"hostname: a");
        write("cloud-config.d/b.yml", b"\xff\xfe");
        write("cloud-config.d/.hidden", &[0]);
        write("cloud-config.d/empty.yml", b"");
        symlink("/nowhere", path("cloud-config.d/c.yml")).expect("linked");
        fs::create_dir(path("cloud-config.d/d.yml")).expect("created");
        let pipe = path("cloud-config.d/e.yml");
        let place = rustix::fs::CWD;
        rustix::fs::mknodat(place, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a pipe");
        configuration(conf.path());
        let mut left: Vec<String> = fs::read_dir(path("cloud-config.d"))
            .expect("listed")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                ".b.yml.damaged",
                ".c.yml.damaged",
                ".d.yml.damaged",
                ".e.yml.damaged",
                ".hidden",
                "a.yml",
                "empty.yml"
            ]
        );
        assert!(path(".cloud-config.yml.damaged").exists() && path("metadata").exists());
    }

    #[test]
    fn files_that_chronyd_would_end_with_are_set_aside() {
        let conf = tempfile::tempdir().expect("a folder");
        let path = |name: &str| conf.path().join("chrony").join(name);
        fs::create_dir(path("")).expect("created");
        for (name, content) in [
            ("a.conf", &b"server 10.0.2.2 iburst\n"[..]),
            ("b.conf", &[0; 10]),
            ("b.other", &[0; 10]),
            ("c.conf", b"\xff\xfe"),
        ] {
            fs::write(path(name), content).expect("written");
        }
        symlink("d.conf", path("d.conf")).expect("linked");
        configuration(conf.path());
        for (name, is_left) in [
            ("a.conf", true),
            ("b.conf", false),
            ("b.other", true),
            ("c.conf", false),
            ("d.conf", false),
        ] {
            let is_there = fs::symlink_metadata(path(name)).is_ok();
            assert_eq!(is_there, is_left, "{name}");
        }
        // And the directory is bound in the service.
        fs::remove_dir_all(path("")).expect("removed");
        fs::write(conf.path().join("chrony"), "").expect("written");
        configuration(conf.path());
        assert!(!conf.path().join("chrony").exists());
    }

    #[test]
    fn what_is_not_a_file_in_the_place_of_a_log_is_set_aside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("syslog"), pipe, 0o600.into(), 0)
            .expect("a pipe");
        fs::create_dir(path("wtmp")).expect("created");
        fs::write(path("btmp"), [0xff; 10]).expect("written");
        logs(folder.path());
        for (name, is_left) in [("syslog", false), ("wtmp", false), ("btmp", true)] {
            assert_eq!(path(name).exists(), is_left, "{name}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_makes_room() {
        let conf = tempfile::tempdir().expect("a folder");
        let path = conf.path().join("conf");
        fs::write(&path, "").expect("written");
        configuration(&path);
        assert!(!path.exists());
        assert!(conf.path().join(".conf.damaged").exists());
    }
}
