//! Control groups, version 2: `Documentation/admin-guide/cgroup-v2.rst`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::process::{Signal, kill};

/// Where the tree is mounted on our machines.
pub const ROOT: &str = "/sys/fs/cgroup";

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// The group of this directory, which may not exist.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Cgroup {
        Cgroup { path: path.into() }
    }

    /// Makes the group and the groups above it, if they are missing.
    ///
    /// # Errors
    /// When the directory is not on a cgroup file system or cannot be made.
    pub fn create(path: impl Into<PathBuf>) -> Result<Cgroup> {
        let group = Cgroup::at(path);
        let what = || format!("create cgroup {}", group.path.display());
        fs::create_dir_all(&group.path).what(what)?;
        if !group.path.join("cgroup.procs").exists() {
            return Err(Error::other(what(), "not on a cgroup v2 file system"));
        }
        Ok(group)
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its directory, opened for CLONE_INTO_CGROUP.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn open(&self) -> Result<OwnedFd> {
        File::open(&self.path)
            .map(OwnedFd::from)
            .what(|| format!("open cgroup {}", self.path.display()))
    }

    /// Writes one of its files.
    ///
    /// # Errors
    /// The controller is not there, or the kernel refuses the value.
    pub fn write(&self, file: &str, value: &str) -> Result<()> {
        let path = self.path.join(file);
        let what = || format!("write {value:?} to {}", path.display());
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut f| f.write_all(value.as_bytes()))
            .what(what)
    }

    /// Reads one of its files.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        fs::read_to_string(&path).what(|| format!("read {}", path.display()))
    }

    /// Lets groups below have these controllers. Returns those that it does not have itself (the machine does not have them, or the
    /// group above does not give them).
    ///
    /// # Errors
    /// When the group does not exist.
    pub fn enable_controllers(&self, names: &[&str]) -> Result<Vec<String>> {
        let has = self.read("cgroup.controllers")?;
        let given = self.read("cgroup.subtree_control")?;
        let mut missing = Vec::new();
        for name in names {
            if given
                .split_whitespace()
                .any(|controller| controller == *name)
            {
                continue;
            }
            let present = has.split_whitespace().any(|controller| controller == *name);
            if !present
                || self
                    .write("cgroup.subtree_control", &format!("+{name}"))
                    .is_err()
            {
                missing.push((*name).to_owned());
            }
        }
        Ok(missing)
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// No such process, or the group has controllers for groups below.
    pub fn add_process(&self, pid: i32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Process numbers in it, not in the groups below.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn processes(&self) -> Result<Vec<i32>> {
        Ok(self
            .read("cgroup.procs")?
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect())
    }

    /// Process numbers in it and in the groups below; none when it does not exist.
    #[must_use]
    pub fn all_processes(&self) -> Vec<i32> {
        let mut found = self.processes().unwrap_or_default();
        for below in below(&self.path).into_iter().flatten() {
            found.extend(Cgroup::at(below).all_processes());
        }
        found
    }

    /// The number that one of its files has; none for `max`, and when there is no such file.
    #[must_use]
    pub fn number(&self, file: &str) -> Option<u64> {
        self.read(file).ok()?.trim().parse().ok()
    }

    /// What one of its files, of lines `key value`, has for a key; 0 when it has nothing.
    #[must_use]
    pub fn value(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file).unwrap_or_default();
        let found = text
            .lines()
            .find_map(|line| line.split_once(' ').filter(|(name, _)| *name == key));
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    }

    /// Kills everything in it and below (cgroup.kill, Linux 5.14; one by one before).
    ///
    /// # Errors
    /// When it does not exist.
    pub fn kill(&self) -> Result<()> {
        match self.write("cgroup.kill", "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.exists() => {
                for pid in self.processes()? {
                    // Gone by itself: fine.
                    let _ = kill(pid, Signal::KILL);
                }
                Ok(())
            }
            result => result,
        }
    }

    /// Lets a group that was frozen go on.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn thaw(&self) -> Result<()> {
        self.write("cgroup.freeze", "0")
    }

    /// Whether there is a process in it or below.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn is_populated(&self) -> Result<bool> {
        let events = self.read("cgroup.events")?;
        Ok(events.lines().any(|line| line == "populated 1"))
    }

    /// Removes it and the groups below. That it does not exist is fine.
    ///
    /// # Errors
    /// When a process is still in it (EBUSY).
    pub fn delete(&self) -> Result<()> {
        remove(&self.path).what(|| format!("remove cgroup {}", self.path.display()))
    }
}

/// Groups below first: rmdir(2) takes empty ones only, and the files in them are the kernel's. One that has a process keeps those above
/// it, and no other.
fn remove(path: &Path) -> io::Result<()> {
    let not_found = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let groups = match below(path) {
        Err(error) if not_found(&error) => return Ok(()),
        groups => groups?,
    };
    let mut failed = None;
    for group in &groups {
        failed = remove(group).err().or(failed);
    }
    match (fs::remove_dir(path), failed) {
        (Err(error), _) if not_found(&error) => Ok(()),
        (Err(_), Some(error)) => Err(error),
        (result, _) => result,
    }
}

/// The groups in this one.
fn below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(path)?.flatten();
    Ok(entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect())
}
