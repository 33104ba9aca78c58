//! Whether an entry's own mount is at its place already. That of an earlier console is there still where mounts are shared with the
//! host (/mnt, /media); anything else, such as the state's own directory at /var/lib/docker, is mounted over.
//!
//! The kernel's table is read, and nothing asks the file system at the place: an NFS server that is away would hold the console.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sys::blockdev;
use sys::mount::{MountEntry, mount_of, mountinfo};

use super::{Entry, is_remote};

/// Whether the topmost mount at the entry's place is the entry's.
pub(super) fn is_there(entry: &Entry) -> bool {
    mountinfo().is_ok_and(|mounts| is_in(entry, &mounts))
}

fn is_in(entry: &Entry, mounts: &[MountEntry]) -> bool {
    top_of(entry, mounts).is_some_and(|top| is_own(entry, top, mounts))
}

/// Whether something at the entry's place may be the entry's, shared with the host or not: a whole file system of its kind is. Docker
/// would wait for ever for one whose name is not understood here.
pub(super) fn is_at_place(entry: &Entry, mounts: &[MountEntry]) -> bool {
    top_of(entry, mounts).is_some_and(|top| {
        let is_alike = !entry.is_bind() && top.root == Path::new("/") && is_kind(entry, top);
        is_alike || is_own(entry, top, mounts)
    })
}

/// The topmost mount at the entry's place.
fn top_of<'m>(entry: &Entry, mounts: &'m [MountEntry]) -> Option<&'m MountEntry> {
    let target: PathBuf = Path::new(&entry.target).components().collect();
    mount_of(mounts, &target).filter(|top| top.target == target)
}

fn is_kind(entry: &Entry, top: &MountEntry) -> bool {
    entry.kind == top.fstype || matches!(entry.kind.as_str(), "auto" | "none")
}

fn is_own(entry: &Entry, top: &MountEntry, mounts: &[MountEntry]) -> bool {
    if entry.is_bind() {
        return is_bound(&entry.source, top, mounts);
    }
    if is_remote(&entry.kind) {
        return share(&entry.source) == share(&top.source);
    }
    // A directory of a disk, as the state's are, is not the disk; of btrfs it can be what the disk shows first.
    let is_whole = top.root == Path::new("/") || top.fstype == "btrfs";
    if is_on_disk(&entry.source) {
        return is_whole && is_device(&entry.source, Path::new(&top.source));
    }
    // Two of them are told apart by their words alone. The system's own, such as /dev/shm, are not shared.
    let is_shared = top.propagation.iter().any(|to| to.starts_with("shared:"));
    // With the state in RAM its directories have the kind and the source of any tmpfs.
    is_whole && is_shared && is_kind(entry, top) && entry.source == top.source
}

/// Whether `top` shows the directory that is to be bound.
fn is_bound(source: &str, top: &MountEntry, mounts: &[MountEntry]) -> bool {
    let named = Path::new(source);
    let on_server =
        |mount: &MountEntry| is_remote(&mount.fstype) || mount.fstype.starts_with("fuse");
    // Links are followed, except where that asks a server.
    let real = match mount_of(mounts, named) {
        Some(mount) if !on_server(mount) => fs::canonicalize(named).unwrap_or(named.to_owned()),
        _ => named.components().collect(),
    };
    let Some(mount) = mount_of(mounts, &real) else {
        return false;
    };
    let below = real.strip_prefix(&mount.target).unwrap_or(Path::new(""));
    mount.device == top.device && mount.root.join(below) == top.root
}

/// A server's directory, in the spelling of the kernel.
fn share(source: &str) -> String {
    let source = source.replace('\\', "/");
    source.trim_end_matches('/').to_owned()
}

fn is_on_disk(source: &str) -> bool {
    let is_tag = source
        .split_once('=')
        .is_some_and(|(tag, _)| TAGS.contains(&tag));
    is_tag || source.starts_with('/')
}

/// Names of devices that mount(8) takes in the place of a path.
const TAGS: [&str; 4] = ["LABEL", "UUID", "PARTLABEL", "PARTUUID"];

/// Whether an entry's source means the device that is mounted.
fn is_device(source: &str, mounted: &Path) -> bool {
    let Some((tag, value)) = source.split_once('=').filter(|(tag, _)| TAGS.contains(tag)) else {
        let number = number(mounted);
        return number.is_some() && number == self::number(Path::new(source))
            || backing_file(mounted).is_some_and(|file| file == Path::new(source));
    };
    let value = value.trim_matches('"');
    let is_value =
        |found: Option<String>| found.is_some_and(|text| text.eq_ignore_ascii_case(value));
    let content = || blockdev::probe(mounted);
    let partition = || {
        blockdev::list()
            .into_iter()
            .find(|device| device.path == mounted)
    };
    match tag {
        "LABEL" => content().is_some_and(|found| found.label.as_deref() == Some(value)),
        "UUID" => is_value(content().and_then(|found| found.uuid)),
        "PARTLABEL" => {
            partition().is_some_and(|found| found.partition_name.as_deref() == Some(value))
        }
        _ => is_value(partition().as_ref().and_then(blockdev::partition_uuid)),
    }
}

/// The number of a block device. Nothing but a device is looked at: a file may be on a server.
fn number(path: &Path) -> Option<u64> {
    let device = path
        .starts_with("/dev")
        .then(|| fs::metadata(path).ok())??;
    device.file_type().is_block_device().then(|| device.rdev())
}

/// The file that a loop device shows (`loop` of mount(8)).
fn backing_file(device: &Path) -> Option<PathBuf> {
    let class = Path::new("/sys/class/block").join(device.file_name()?);
    let text = fs::read_to_string(class.join("loop/backing_file")).ok()?;
    Some(text.trim_end_matches('\n').into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(
        id: u32,
        parent: u32,
        device: &str,
        root: &str,
        target: &str,
        rest: &str,
    ) -> MountEntry {
        let mut words = rest.split(' ');
        let mut word = || words.next().unwrap().to_owned();
        let (fstype, source, propagation) = (word(), word(), word());
        MountEntry {
            id,
            parent,
            device: device.into(),
            root: root.into(),
            target: target.into(),
            options: "rw".into(),
            propagation: vec![propagation],
            fstype,
            source,
            super_options: "rw".into(),
        }
    }

    /// A console's view: the state's directories, what an earlier console has mounted, and the system's own.
    fn console() -> Vec<MountEntry> {
        vec![
            mount(1, 0, "0:30", "/", "/", "overlay overlay private"),
            mount(2, 1, "8:1", "/home", "/home", "ext4 /dev/sda1 private"),
            mount(
                3,
                1,
                "8:1",
                "/var/lib/docker",
                "/var/lib/docker",
                "ext4 /dev/sda1 private",
            ),
            mount(4, 1, "8:1", "/mnt", "/mnt", "ext4 /dev/sda1 shared:7"),
            mount(5, 4, "0:40", "/", "/mnt/nas", "nfs4 nas:/all shared:8"),
            mount(6, 4, "0:41", "/", "/mnt/ram", "tmpfs none shared:9"),
            mount(7, 1, "0:5", "/", "/dev/shm", "tmpfs tmpfs private"),
            mount(
                8,
                4,
                "8:1",
                "/home/ada",
                "/mnt/ada",
                "ext4 /dev/sda1 shared:7",
            ),
            mount(
                9,
                4,
                "0:42",
                "/",
                "/mnt/share",
                "cifs //nas/share shared:10",
            ),
            mount(
                10,
                4,
                "0:40",
                "/films",
                "/mnt/films",
                "nfs4 nas:/all shared:8",
            ),
        ]
    }

    fn is_in(words: &str, mounts: &[MountEntry]) -> bool {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let (entries, bad) = super::super::entries(&[words]);
        assert!(bad.is_empty(), "{bad:?}");
        super::is_in(&entries[0], mounts)
    }

    #[test]
    fn what_an_earlier_console_mounted_is_there() {
        for words in [
            "nas:/all /mnt/nas nfs",
            "nas:/all/ /mnt/nas/ nfs4 ro",
            r"\\nas\share /mnt/share cifs",
            "none /mnt/ram tmpfs size=1M",
            "/mnt/nas/films /mnt/films none bind",
            "/home/ada /mnt/ada none defaults,rbind",
        ] {
            assert!(is_in(words, &console()), "{words}");
        }
    }

    #[test]
    fn what_is_another_one_is_mounted_over() {
        for words in [
            // The state's own directories: the disk is another one, or the state disk itself.
            "/dev/sdz /var/lib/docker ext4",
            "LABEL=data /home",
            "/mnt/new /home none bind",
            "tmpfs /home tmpfs",
            "nas:/all /home nfs",
            // Of another server, or another directory.
            "nas:/other /mnt/nas nfs",
            "/mnt/nas/music /mnt/films none rbind",
            "/films /mnt/films none bind",
            // The system's own is not the owner's, whatever it is called.
            "tmpfs /dev/shm tmpfs size=1G",
            "none /mnt/ram ramfs",
            "/dev/sdz /mnt/new ext4",
        ] {
            assert!(!is_in(words, &console()), "{words}");
        }
        // The state in RAM: its directory is not the owner's tmpfs.
        let mut mounts = console();
        let state = &mut mounts[3];
        (state.fstype, state.source) = ("tmpfs".into(), "tmpfs".into());
        assert!(!is_in("tmpfs /mnt tmpfs size=1M", &mounts));
        // Something else is on top now.
        let mut mounts = console();
        mounts.push(mount(
            20,
            5,
            "8:9",
            "/",
            "/mnt/nas",
            "ext4 /dev/sdy shared:8",
        ));
        assert!(!is_in("nas:/all /mnt/nas nfs", &mounts));
    }
}
