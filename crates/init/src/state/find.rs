//! Which device is meant, and which of several that fit.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::blockdev::{self, BlockDevice, Superblock};

use super::ext4;
use crate::coldplug::Late;

/// With `rancher.state.wait`: how long a slow disk may take to appear (RancherOS's 30 s).
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What `rancher.state.dev` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Label(String),
    Uuid(String),
    PartUuid(String),
    Path(PathBuf),
}

impl Name {
    /// Reads `LABEL=`, `UUID=`, `PARTUUID=` or a path. udev's links below /dev/disk mean the same; they are not there yet.
    pub(super) fn parse(text: &str) -> Name {
        type Made = fn(String) -> Name;
        let tags: [(&str, &str, Made); 3] = [
            ("LABEL=", "/dev/disk/by-label/", Name::Label),
            ("UUID=", "/dev/disk/by-uuid/", Name::Uuid),
            ("PARTUUID=", "/dev/disk/by-partuuid/", Name::PartUuid),
        ];
        for (tag, directory, name) in tags {
            if let Some(value) = text
                .strip_prefix(tag)
                .or_else(|| text.strip_prefix(directory))
            {
                return name(value.trim_matches('"').to_owned());
            }
        }
        Name::Path(PathBuf::from(text))
    }

    /// Whether a device is meant; one that only holds others is not what is mounted.
    pub(super) fn fits(&self, device: &BlockDevice, superblock: Option<&Superblock>) -> bool {
        let equal = |found: Option<&str>, wanted: &str| {
            found.is_some_and(|found| found.eq_ignore_ascii_case(wanted))
        };
        match self {
            Name::Label(label) => superblock.is_some_and(|s| s.label.as_ref() == Some(label)),
            Name::Uuid(uuid) => equal(superblock.and_then(|s| s.uuid.as_deref()), uuid),
            Name::PartUuid(uuid) => equal(blockdev::partition_uuid(device).as_deref(), uuid),
            Name::Path(path) => device.path == *path,
        }
    }
}

/// A device that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) uuid: Option<String>,
    pub(super) part_uuid: Option<String>,
    /// When it was last mounted, as far as its file system tells: seconds since 1970.
    last_mount: u64,
}

impl Candidate {
    fn new(path: PathBuf, superblock: Option<&Superblock>) -> Candidate {
        Candidate {
            last_mount: ext4::read(&path).map_or(0, |found| found.last_mount),
            uuid: superblock.and_then(|found| found.uuid.clone()),
            part_uuid: None,
            path,
        }
    }

    /// For a message, with the value of a tag that [`telling`] has found.
    pub(super) fn describe(&self, tag: Option<&Tag>) -> String {
        let path = self.path.display();
        match tag.and_then(|(name, value)| Some((name, value(self)?))) {
            Some((name, value)) => format!("{path} ({name}={value})"),
            None => path.to_string(),
        }
    }
}

/// A kind of name, and a device's own.
pub(super) type Tag = (&'static str, fn(&Candidate) -> Option<&str>);

/// By which of its names each of these can be told from the others; copies of a disk have them all in common.
pub(super) fn telling(found: &[Candidate]) -> Option<Tag> {
    let tags: [Tag; 2] = [
        ("UUID", |found| found.uuid.as_deref()),
        ("PARTUUID", |found| found.part_uuid.as_deref()),
    ];
    tags.into_iter().find(|(_, value)| {
        let values: BTreeSet<&str> = found.iter().filter_map(value).collect();
        values.len() == found.len()
    })
}

/// The devices that `name` means, the one to take first; empty when there is none.
pub(super) fn find(name: &Name, wait: bool) -> Vec<Candidate> {
    until_found(wait, || look(name))
}

/// Looks again and again for as long as `wait` allows.
pub(super) fn until_found<T>(wait: bool, mut look: impl FnMut() -> Vec<T>) -> Vec<T> {
    let give_up = sys::clock::boottime() + if wait { PATIENCE } else { Duration::ZERO };
    let mut late = Late::default();
    loop {
        let found = look();
        if !found.is_empty() || sys::clock::boottime() >= give_up {
            return found;
        }
        late.load();
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// As [`find()`], at once. What only holds other devices is never among them.
pub(super) fn look(name: &Name) -> Vec<Candidate> {
    let is_container =
        |found: Option<&Superblock>| found.is_some_and(|found| found.kind.is_container());
    if let Name::Path(path) = name {
        let there = path.exists() && !is_container(blockdev::probe(path).as_ref());
        return there.then(|| named(path)).into_iter().collect();
    }
    let mut found: Vec<Candidate> = blockdev::list()
        .into_iter()
        .filter_map(|device| {
            let superblock = blockdev::probe(&device.path);
            let is_one =
                name.fits(&device, superblock.as_ref()) && !is_container(superblock.as_ref());
            is_one.then(|| Candidate {
                part_uuid: blockdev::partition_uuid(&device),
                ..Candidate::new(device.path, superblock.as_ref())
            })
        })
        .collect();
    found.sort_by_key(order);
    found
}

pub(super) fn named(path: &Path) -> Candidate {
    Candidate::new(path.to_owned(), blockdev::probe(path).as_ref())
}

/// The one that was used last comes first. It stays first, since it is mounted now; the order in which disks answer does
/// not count, nor does a second disk that nobody used. What tells no time is ordered by its number.
fn order(candidate: &Candidate) -> (Reverse<u64>, Option<String>, PathBuf) {
    (
        Reverse(candidate.last_mount),
        candidate.uuid.clone(),
        candidate.path.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_disk_is_understood() {
        for (text, expected) in [
            ("LABEL=A", Name::Label("A".into())),
            ("/dev/disk/by-label/A", Name::Label("A".into())),
            ("UUID=\"1-2\"", Name::Uuid("1-2".into())),
            ("/dev/disk/by-uuid/1-2", Name::Uuid("1-2".into())),
            ("PARTUUID=1-2", Name::PartUuid("1-2".into())),
            ("/dev/sda1", Name::Path("/dev/sda1".into())),
        ] {
            assert_eq!(Name::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn the_disk_that_was_used_last_is_taken_whatever_its_place() {
        let candidate = |path: &str, uuid: &str, last_mount| Candidate {
            path: path.into(),
            uuid: Some(uuid.to_owned()),
            part_uuid: None,
            last_mount,
        };
        let used = candidate("/dev/vdb", "b", 20);
        let other = candidate("/dev/vda", "a", 10);
        let never = candidate("/dev/vdc", "0", 0);
        let first = |mut all: Vec<Candidate>| {
            all.sort_by_key(order);
            all[0].clone()
        };
        assert_eq!(first(vec![other, used.clone(), never.clone()]), used);
        let twin = candidate("/dev/vda", "1", 0);
        assert_eq!(first(vec![twin, never.clone()]), never);
    }

    /// Two real file systems with one label, on loop devices.
    #[test]
    #[ignore = "needs root, loop devices, mke2fs and debugfs: cargo test -- --include-ignored"]
    fn both_disks_of_one_label_are_found_and_each_by_its_number() {
        let folder = tempfile::tempdir().expect("a folder");
        let label = format!("T{}", std::process::id());
        let make = |name: &str, uuid: &str, mounted: &str| {
            let image = folder.path().join(name);
            let file = std::fs::File::create(&image).expect("an image");
            file.set_len(8 << 20).expect("an image");
            let run = |program: &str, arguments: &[&str]| {
                let command = sys::process::Command::new(program)
                    .args(arguments)
                    .arg(&image);
                let output = command.run().expect(program);
                assert!(
                    output.status.success(),
                    "{program} ends with {:?}",
                    output.status
                );
            };
            let set = format!("set_super_value mtime {mounted}");
            run(
                "mke2fs",
                &["-q", "-F", "-t", "ext4", "-L", &label, "-U", uuid],
            );
            run("debugfs", &["-w", "-R", &set]);
            blockdev::loop_attach(&image, true).expect("a loop device")
        };
        let (a, b) = (
            "00000000-0000-4000-8000-00000000000a",
            "00000000-0000-4000-8000-00000000000b",
        );
        let (older, newer) = (make("a", a, "20250101"), make("b", b, "20260101"));
        let paths = |name: &str| {
            let found = find(&Name::parse(name), false);
            found
                .into_iter()
                .map(|found| found.path)
                .collect::<Vec<_>>()
        };
        let (older, newer) = (older.path().to_owned(), newer.path().to_owned());
        assert_eq!(
            paths(&format!("LABEL={label}")),
            [newer.clone(), older.clone()]
        );
        assert_eq!(paths(&format!("UUID={a}")), std::slice::from_ref(&older));
        assert_eq!(
            paths(&format!("/dev/disk/by-uuid/{b}")),
            std::slice::from_ref(&newer)
        );
        assert_eq!(paths(&older.display().to_string()), [older]);
        assert!(paths("UUID=none").is_empty());
    }
}
