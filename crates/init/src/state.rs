//! Phase "mount state": the partition that keeps what the user made.
//!
//! Nothing is ever formatted but a disk that was named in `rancher.state.autoformat` and that is
//! blank: no known file system, no partitions and a first MiB of zeros.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use sys::blockdev::{self, Kind};
use sys::mount::{self, MountFlags};

use crate::log;
use crate::machine::Machine;
use crate::toolbox::Toolbox;

/// Where the host sees the state partition.
pub(crate) const STATE: &str = "/state";

/// Its mount point until the root is switched.
const EARLY_STATE: &str = "/run/rancher/state";

/// The label that `ros install` and autoformat give.
const LABEL: &str = "RANCHER_STATE";

/// With `rancher.state.wait`: how long a slow disk may take to appear (RancherOS's 30 s).
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A full check of a 10 TB disk takes minutes; the phase's own deadline is longer.
const CHECK_DEADLINE: Duration = Duration::from_secs(540);

/// How much of a disk must be zeros before it counts as blank.
const BLANK_BYTES: usize = 1 << 20;

/// Mounts the state partition, or goes on in RAM unless `rancher.state.required` is set.
pub(crate) fn mount(mut machine: Machine) -> anyhow::Result<Machine> {
    let wanted = machine.config.rancher.state.clone();
    let name = wanted
        .dev
        .clone()
        .unwrap_or_else(|| format!("LABEL={LABEL}"));
    if matches!(name.as_str(), "" | "none") {
        return Ok(machine);
    }
    let found = find(&name, wanted.wait.unwrap_or(false)).map_or_else(
        || format_blank(&machine, &wanted.autoformat.clone().unwrap_or_default()),
        |d| Ok(Some(d)),
    );
    match found.and_then(|device| mount_found(&machine, device, wanted.fstype.as_deref())) {
        Ok(Some(device)) => {
            log::info(&format!("state: {}", device.display()));
            machine.state_device = Some(device);
            Ok(machine)
        }
        Ok(None) if wanted.required.unwrap_or(false) => {
            bail!("{name} is required and was not found")
        }
        Ok(None) => {
            log::warning(&format!(
                "state: {name} was not found: nothing will survive a reboot"
            ));
            Ok(machine)
        }
        Err(error) if wanted.required.unwrap_or(false) => Err(error),
        Err(error) => {
            log::error(&format!("state: {error:#}: nothing will survive a reboot"));
            Ok(machine)
        }
    }
}

/// The device that `name` (a path, LABEL= or UUID=) means, if it is there.
fn find(name: &str, wait: bool) -> Option<PathBuf> {
    let give_up = sys::clock::boottime() + if wait { PATIENCE } else { Duration::ZERO };
    loop {
        let device = resolve(name);
        if device.is_some() || sys::clock::boottime() >= give_up {
            return device;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn resolve(name: &str) -> Option<PathBuf> {
    let matching = |wanted: &dyn Fn(&blockdev::Superblock) -> bool| {
        blockdev::list()
            .into_iter()
            .map(|device| device.path)
            .find(|path| blockdev::probe(path).is_some_and(|s| wanted(&s)))
    };
    if let Some(label) = name.strip_prefix("LABEL=") {
        matching(&|superblock| superblock.label.as_deref() == Some(label))
    } else if let Some(uuid) = name.strip_prefix("UUID=") {
        matching(&|superblock| {
            superblock
                .uuid
                .as_deref()
                .is_some_and(|u| u.eq_ignore_ascii_case(uuid))
        })
    } else {
        let path = PathBuf::from(name);
        path.exists().then_some(path)
    }
}

/// Formats the first blank disk of the list, as the user asked.
fn format_blank(machine: &Machine, devices: &[String]) -> anyhow::Result<Option<PathBuf>> {
    for name in devices {
        let path = PathBuf::from(name);
        if !path.exists() {
            continue;
        }
        if !is_blank(&path)? {
            log::warning(&format!("state: {name} is not blank: it is left as it is"));
            continue;
        }
        log::info(&format!("state: formatting {name}"));
        let toolbox = Toolbox::open(machine)?;
        toolbox
            .run(
                "mke2fs",
                &["-q", "-F", "-t", "ext4", "-L", LABEL, name],
                CHECK_DEADLINE,
            )?
            .success("mke2fs")?;
        return Ok(Some(path));
    }
    Ok(None)
}

/// Whether a whole disk has nothing on it that anybody could miss.
fn is_blank(device: &Path) -> anyhow::Result<bool> {
    let has_partitions = blockdev::list()
        .iter()
        .any(|other| other.parent.as_deref() == Some(device));
    if has_partitions || blockdev::probe(device).is_some() {
        return Ok(false);
    }
    let mut start = vec![0; BLANK_BYTES];
    let mut file =
        File::open(device).with_context(|| format!("cannot open {}", device.display()))?;
    let length = file
        .seek(SeekFrom::End(0))
        .with_context(|| format!("cannot size {}", device.display()))?;
    file.rewind()
        .with_context(|| format!("cannot read {}", device.display()))?;
    start.truncate(
        usize::try_from(length)
            .unwrap_or(BLANK_BYTES)
            .min(BLANK_BYTES),
    );
    file.read_exact(&mut start)
        .with_context(|| format!("cannot read {}", device.display()))?;
    Ok(!start.is_empty() && start.iter().all(|byte| *byte == 0))
}

fn mount_found(
    machine: &Machine,
    device: Option<PathBuf>,
    fstype: Option<&str>,
) -> anyhow::Result<Option<PathBuf>> {
    let Some(device) = device else {
        return Ok(None);
    };
    let Some(superblock) = blockdev::probe(&device) else {
        bail!("{} has no file system", device.display());
    };
    let kind = match (&superblock.kind, fstype) {
        (_, Some(kind)) if kind != "auto" => kind,
        (Kind::Ext4, _) => "ext4",
        (Kind::Xfs, _) => "xfs",
        (Kind::Btrfs, _) => "btrfs",
        (other, _) => bail!(
            "{} is {other:?}: state must be ext4, xfs or btrfs",
            device.display()
        ),
    };
    if kind == "ext4" {
        check(machine, &device);
    }
    fs::create_dir_all(EARLY_STATE).with_context(|| format!("cannot create {EARLY_STATE}"))?;
    mount::mount(
        &device,
        Path::new(EARLY_STATE),
        kind,
        MountFlags::RELATIME,
        "",
    )?;
    if kind == "ext4" && ext4_is_smaller_than_device(&device) {
        grow(machine, &device);
    }
    Ok(Some(device))
}

/// e2fsck -p: replays the journal, repairs what is safe. Its findings never stop the boot, since a
/// machine with a hurt disk must still be reachable.
fn check(machine: &Machine, device: &Path) {
    /// Exit codes 0 and 1: nothing to do, or repaired (e2fsck(8)).
    const REPAIRED: i32 = 1;
    let result = Toolbox::open(machine).and_then(|toolbox| {
        toolbox.run("e2fsck", &["-p", &device.to_string_lossy()], CHECK_DEADLINE)
    });
    match result {
        Ok(output) if output.code().is_some_and(|code| code <= REPAIRED) => {}
        Ok(output) => log::error(&format!(
            "state: e2fsck {}: {}",
            device.display(),
            output.summary()
        )),
        Err(error) => log::error(&format!(
            "state: {} is not checked: {error:#}",
            device.display()
        )),
    }
}

fn grow(machine: &Machine, device: &Path) {
    let result = Toolbox::open(machine).and_then(|toolbox| {
        toolbox
            .run("resize2fs", &[&device.to_string_lossy()], CHECK_DEADLINE)?
            .success("resize2fs")
    });
    match result {
        Ok(()) => log::info(&format!(
            "state: {} now fills its partition",
            device.display()
        )),
        Err(error) => log::error(&format!(
            "state: {} is not grown: {error:#}",
            device.display()
        )),
    }
}

/// Compares the size in the superblock with the device's; ext4 disk layout, kernel documentation
/// filesystems/ext4/super.rst: at byte 1024 of the device, little endian.
fn ext4_is_smaller_than_device(device: &Path) -> bool {
    /// Less than this is rounding, not room.
    const ROOM_BYTES: u64 = 64 << 20;
    let read = || -> std::io::Result<(u64, u64)> {
        let mut file = File::open(device)?;
        let length = file.seek(SeekFrom::End(0))?;
        let mut superblock = [0; 1024];
        file.seek(SeekFrom::Start(1024))?;
        file.read_exact(&mut superblock)?;
        let field = |at: usize| {
            u64::from(u32::from_le_bytes([
                superblock[at],
                superblock[at + 1],
                superblock[at + 2],
                superblock[at + 3],
            ]))
        };
        let blocks = field(0x4) | (field(0x150) << 32);
        let block_bytes = 1024_u64 << field(0x18).min(6);
        Ok((blocks.saturating_mul(block_bytes), length))
    };
    read().is_ok_and(|(used, length)| used + ROOM_BYTES < length)
}
