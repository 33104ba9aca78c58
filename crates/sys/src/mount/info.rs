//! What is mounted in this mount namespace: /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// One line of mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountEntry {
    /// The mount's number.
    pub id: u32,
    /// Number of the mount it is on.
    pub parent: u32,
    /// Device number of the file system, `major:minor`.
    pub device: String,
    /// What of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub target: PathBuf,
    /// Options of the mount, comma separated.
    pub options: String,
    /// `shared:N`, `master:N` and the like.
    pub propagation: Vec<String>,
    /// Type of the file system.
    pub fstype: String,
    /// Device or other source.
    pub source: String,
    /// Options of the file system, comma separated.
    pub super_options: String,
}

/// All mounts, in the order in which they were made.
///
/// # Errors
/// When /proc is not mounted.
pub fn mountinfo() -> Result<Vec<MountEntry>> {
    read("/proc/self/mountinfo")
}

/// The same as the process `pid` sees it.
///
/// # Errors
/// When there is no such process.
pub fn mountinfo_of(pid: i32) -> Result<Vec<MountEntry>> {
    read(&format!("/proc/{pid}/mountinfo"))
}

fn read(path: &str) -> Result<Vec<MountEntry>> {
    let text = fs::read(path).what(|| format!("read {path}"))?;
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter_map(parse)
        .collect())
}

/// The mount that the absolute `path` is on, as this process sees it: where several are on top of each other the topmost, and none
/// that another one hides. No file system is asked, so that a server which is away holds nobody, and no link is followed.
#[must_use]
pub fn mount_of<'m>(mounts: &'m [MountEntry], path: &Path) -> Option<&'m MountEntry> {
    let root = Path::new("/");
    let is_listed = |id| mounts.iter().any(|mount| mount.id == id);
    let mut found = mounts.iter().find(|mount| {
        mount.target == root && (mount.parent == mount.id || !is_listed(mount.parent))
    })?;
    let mut place = root.to_owned();
    for name in path.components().skip(1) {
        place.push(name);
        let on = |below: &MountEntry| {
            let mut all = mounts.iter();
            all.find(|mount| mount.parent == below.id && mount.target == place)
        };
        while let Some(above) = on(found) {
            found = above;
        }
    }
    Some(found)
}

fn parse(line: &[u8]) -> Option<MountEntry> {
    let mut words = line.split(|byte| *byte == b' ');
    let mut word = || words.next();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let id = text(word()?).parse().ok()?;
    let parent = text(word()?).parse().ok()?;
    let device = text(word()?);
    let root = unescape(word()?);
    let target = unescape(word()?);
    let options = text(word()?);
    let mut propagation = Vec::new();
    loop {
        match word()? {
            b"-" => break,
            field => propagation.push(text(field)),
        }
    }
    let fstype = text(word()?);
    let source = unescape(word()?).to_string_lossy().into_owned();
    let super_options = text(word()?);
    Some(MountEntry {
        id,
        parent,
        device,
        root,
        target,
        options,
        propagation,
        fstype,
        source,
        super_options,
    })
}

/// Undoes the `\040` escapes of blanks, tabs, newlines and backslashes.
pub(crate) fn unescape(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail
            .get(..3)
            .filter(|d| d.iter().all(|c| (b'0'..=b'7').contains(c)));
        match (first, digits) {
            (b'\\', Some(d)) => {
                bytes.push(d.iter().fold(0_u8, |value, c| {
                    value.wrapping_mul(8).wrapping_add(c - b'0')
                }));
                rest = &tail[3..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_with_escapes_and_peer_groups_is_read() {
        let line = br"36 35 98:0 /a\040b /mnt\134x rw,noatime master:1 shared:7 - ext4 /dev/root rw,errors=continue";
        let entry = parse(line).unwrap();
        assert_eq!(entry.root, PathBuf::from("/a b"));
        assert_eq!(entry.target, PathBuf::from(r"/mnt\x"));
        assert_eq!(entry.propagation, ["master:1", "shared:7"]);
        assert_eq!(
            (entry.fstype.as_str(), entry.source.as_str()),
            ("ext4", "/dev/root")
        );
    }

    #[test]
    fn a_path_is_on_the_topmost_mount_that_nothing_hides() {
        let lines = "1 0 8:1 / / rw - ext4 /dev/a rw
2 1 8:1 /home /home rw - ext4 /dev/a rw
3 2 8:2 / /home/ada rw - ext4 /dev/b rw
4 1 8:1 /data /data rw - ext4 /dev/a rw
5 4 8:3 / /data rw - ext4 /dev/c rw
6 2 8:4 / /home rw - ext4 /dev/d rw";
        let mounts: Vec<_> = lines
            .lines()
            .filter_map(|line| parse(line.as_bytes()))
            .collect();
        for (path, id) in [
            ("/", 1),
            ("/etc/x", 1),
            ("/data/", 5),
            ("/data/x", 5),
            ("/database", 1),
            ("/home", 6),
            // What is mounted in the lower /home is not seen.
            ("/home//ada/x", 6),
        ] {
            assert_eq!(mount_of(&mounts, Path::new(path)).unwrap().id, id, "{path}");
        }
        assert_eq!(mount_of(&[], Path::new("/")), None);
    }

    #[test]
    fn this_process_has_a_root_mount() {
        assert!(
            mountinfo()
                .unwrap()
                .iter()
                .any(|entry| entry.target == std::path::Path::new("/"))
        );
    }
}
