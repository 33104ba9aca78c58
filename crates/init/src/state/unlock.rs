//! LUKS: a key file on another disk, or a passphrase at the console.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use config::cloud_config::State as Wanted;
use sys::blockdev::{self, BlockDevice, Kind, Superblock};
use sys::mount::{self, MountFlags, UnmountFlags};
use sys::regular;
use sys::rooted::Root;

use super::choose;
use super::find::{self, Name};
use crate::log;
use crate::toolbox::{Finished, Toolbox};

/// How often a passphrase is asked for, and how long one is waited for: nobody may be there, and the machine must come up.
const TRIES: &str = "3";
const TYPING_S: &str = "60";
/// All tries with the time that deriving each key takes: seconds, on a slow machine a minute.
const DEADLINE: Duration = Duration::from_secs(420);
/// cryptsetup(8), "RETURN CODES".
const WRONG_KEY: i32 = 2;
const NO_MEMORY: i32 = 3;
/// cryptsetup reads no more of one (cryptsetup(8), "NOTES ON PASSPHRASE PROCESSING").
const LONGEST_KEY: u64 = 8 << 20;
/// Where the disk with the key is while it is read.
const KEY_DISK: &str = "/run/rancher/key-disk";

/// Opens a LUKS device; the device that is in it.
///
/// # Errors
/// When no key fits, or nobody has typed one.
pub(super) fn open(
    toolbox: &Toolbox,
    device: &BlockDevice,
    found: &Superblock,
    wanted: &Wanted,
) -> anyhow::Result<PathBuf> {
    let shown = device.path.to_string_lossy();
    let name = mapping(device, found);
    let opened = || Path::new("/dev/mapper").join(&name);
    if let Some(place) = &wanted.key_file {
        let read = read_key(place, wanted.wait.unwrap_or(false));
        match read.and_then(|key| with_key(toolbox, &shown, &name, key)) {
            Ok(()) => {
                log::info(&format!("state: {shown} is unlocked by {place}"));
                return Ok(opened());
            }
            Err(error) => log::error(&format!("state: rancher.state.key_file: {error:#}")),
        }
    }
    log::info(&format!(
        "state: {shown} is encrypted: its passphrase is asked for here, {TRIES} times, for {TYPING_S} s each"
    ));
    let arguments = [
        "open",
        "--type",
        "luks",
        "--tries",
        TRIES,
        "--timeout",
        TYPING_S,
        &shown,
        &name,
    ];
    let output = toolbox.run_on_console("cryptsetup", &arguments, DEADLINE)?;
    result(&output).with_context(|| format!("{shown} stays locked"))?;
    log::info(&format!("state: {shown} is unlocked"));
    Ok(opened())
}

/// The name in /dev/mapper, as others make it.
fn mapping(device: &BlockDevice, found: &Superblock) -> String {
    let is_plain = |uuid: &&String| uuid.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match found.uuid.as_ref().filter(is_plain) {
        Some(uuid) => format!("luks-{uuid}"),
        None => format!("luks-{}-{}", device.device.0, device.device.1),
    }
}

fn with_key(toolbox: &Toolbox, device: &str, name: &str, key: Vec<u8>) -> anyhow::Result<()> {
    let arguments = ["open", "--type", "luks", "--key-file", "-", device, name];
    result(&toolbox.run_with("cryptsetup", &arguments, key, DEADLINE)?)
}

fn result(output: &Finished) -> anyhow::Result<()> {
    match output.code() {
        Some(0) => Ok(()),
        Some(WRONG_KEY) => bail!("no key fits"),
        Some(NO_MEMORY) => bail!("too little memory to derive its key"),
        _ => bail!("cryptsetup: {}", output.summary()),
    }
}

/// Reads a key from `DEVICE:/PATH`, where the device is named as the state is.
fn read_key(place: &str, wait: bool) -> anyhow::Result<Vec<u8>> {
    let (name, path) = split(place)?;
    let found = find::find(&Name::parse(name), wait);
    let disk = choose("rancher.state.key_file", name, &found);
    let disk = disk.with_context(|| format!("{name} was not found"))?;
    let kind = match blockdev::probe(&disk).map(|found| found.kind) {
        Some(Kind::Ext4) => "ext4",
        Some(Kind::Vfat) => "vfat",
        Some(Kind::Iso9660) => "iso9660",
        _ => bail!("{name}: a key must be on ext4, vfat or iso9660"),
    };
    fs::create_dir_all(KEY_DISK).with_context(|| format!("cannot create {KEY_DISK}"))?;
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount(&disk, KEY_DISK, kind, flags, "")?;
    let key = read_below(Path::new(KEY_DISK), path);
    mount::unmount(KEY_DISK, UnmountFlags::DETACH)?;
    key.with_context(|| place.to_owned())
}

fn split(place: &str) -> anyhow::Result<(&str, &str)> {
    let (name, path) = place
        .split_once(":/")
        .with_context(|| format!("{place} is not DEVICE:/PATH"))?;
    ensure!(
        !name.is_empty() && !path.is_empty(),
        "{place} is not DEVICE:/PATH"
    );
    Ok((name, path))
}

/// A link of the disk's leads nowhere else than on the disk, and a pipe on it is not waited for.
fn read_below(root: &Path, path: &str) -> anyhow::Result<Vec<u8>> {
    let path = Path::new(path);
    let file = regular::open_in(&Root::open(root)?, path)?;
    let mut key = Vec::new();
    file.take(LONGEST_KEY).read_to_end(&mut key)?;
    ensure!(!key.is_empty(), "it is empty");
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn a_key_is_named_by_its_disk_and_its_path() {
        assert_eq!(split("LABEL=KEYS:/a/b").ok(), Some(("LABEL=KEYS", "a/b")));
        assert_eq!(split("/dev/sdb1:/key").ok(), Some(("/dev/sdb1", "key")));
        for bad in ["/dev/sdb1", ":/key", "LABEL=KEYS:/", "LABEL=KEYS:key"] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_a_file_with_something_in_it() {
        let disk = tempfile::tempdir().expect("a folder");
        fs::write(disk.path().join("key"), "secret\n").expect("written");
        fs::write(disk.path().join("empty"), "").expect("written");
        assert_eq!(read_below(disk.path(), "key").expect("a key"), b"secret\n");
        let here = fs::File::open(disk.path()).expect("opened");
        let kind = sys::fs::NodeKind::Fifo;
        sys::fs::make_node(here.as_fd(), Path::new("pipe"), kind, 0o600, (0, 0)).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", disk.path().join("out")).expect("linked");
        for bad in ["empty", "none", ".", "pipe", "out"] {
            assert!(read_below(disk.path(), bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mapping_is_named_by_the_number_of_the_device() {
        let device = BlockDevice {
            path: "/dev/vda".into(),
            parent: None,
            partition: None,
            partition_name: None,
            size: 1,
            removable: false,
            read_only: false,
            device: (254, 0),
        };
        let named = |uuid: Option<&str>| {
            let found = Superblock {
                kind: Kind::Luks,
                label: None,
                uuid: uuid.map(str::to_owned),
            };
            mapping(&device, &found)
        };
        assert_eq!(named(Some("12-ab")), "luks-12-ab");
        assert_eq!(named(Some("../x")), "luks-254-0");
        assert_eq!(named(None), "luks-254-0");
    }
}
