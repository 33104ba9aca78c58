//! What is mounted in this mount namespace: /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

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
    let text = fs::read("/proc/self/mountinfo").what(|| "read /proc/self/mountinfo".into())?;
    Ok(text
        .split(|byte| *byte == b'\n')
        .filter_map(parse)
        .collect())
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
    fn this_process_has_a_root_mount() {
        assert!(
            mountinfo()
                .unwrap()
                .iter()
                .any(|entry| entry.target == std::path::Path::new("/"))
        );
    }
}
