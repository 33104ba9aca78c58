//! How far a state disk can be used: found out by mounting it and writing to it.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use sys::mount::{self, MountFlags, UnmountFlags};

use super::reserve;
use crate::log;
use crate::persistence::SYSTEM_DOCKER_ON_DISK;
use crate::warnings::warn;

/// What the state disk is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Everything is kept on it.
    Whole,
    /// Nothing more fits on it: what is there can be used and removed, and System Docker works in RAM.
    Full,
    /// It can be read: the machine works on a copy in RAM.
    ReadOnly,
}

/// Mounts the device as far as it can be used, and says why it is not all the way. `damage` is what its check could not
/// repair.
///
/// # Errors
/// When it can be mounted in no way.
pub(super) fn mount(
    device: &Path,
    kind: &str,
    at: &Path,
    damage: Option<String>,
) -> anyhow::Result<Use> {
    let name = device.display();
    if let Some(damage) = damage {
        mount_read_only(device, kind, at)?;
        warn(
            "state",
            &format!(
                "{name} is damaged: {damage}: it is only read, and changes are lost at the next reboot; repair it with \
                 `e2fsck -f {name}` in the rescue shell (kernel parameter rancher.recovery=true)"
            ),
        );
        return Ok(Use::ReadOnly);
    }
    if let Err(error) = mount_device(
        device,
        kind,
        at,
        MountFlags::empty(),
        &options(kind, reserve::OWNER),
    ) {
        mount_read_only(device, kind, at).with_context(|| error.to_string())?;
        only_read(device, &error.to_string());
        return Ok(Use::ReadOnly);
    }
    match try_to_write(at) {
        Ok(()) => Ok(room_for_a_boot(device, kind, at)),
        Err(error) if is_full(&error) => Ok(room_for_a_boot(device, kind, at)),
        Err(error) => {
            // Detached: nothing else uses it yet.
            mount::unmount(at, UnmountFlags::DETACH)?;
            mount_read_only(device, kind, at)?;
            only_read(device, &format!("cannot write to it: {error}"));
            Ok(Use::ReadOnly)
        }
    }
}

/// An error that the kernel finds while the machine runs makes it read-only: damage must not spread.
fn options(kind: &str, owner: u32) -> String {
    if kind == "ext4" {
        format!("errors=remount-ro,resuid={owner}")
    } else {
        String::new()
    }
}

/// Who gets ext4's reserved blocks in a boot that finds no others: the services, which run as root.
const ROOT: u32 = 0;

fn only_read(device: &Path, why: &str) {
    let name = device.display();
    warn(
        "state",
        &format!("{name}: {why}: it is only read, and changes are lost at the next reboot"),
    );
}

fn mount_device(
    device: &Path,
    kind: &str,
    at: &Path,
    flags: MountFlags,
    data: &str,
) -> sys::Result<()> {
    mount::mount(device, at, kind, flags | MountFlags::RELATIME, data)
}

fn mount_read_only(device: &Path, kind: &str, at: &Path) -> anyhow::Result<()> {
    // A journal that cannot be replayed, on a disk that cannot be written for one, is left alone.
    let without_journal = match kind {
        "ext4" => "noload",
        "xfs" => "norecovery",
        _ => "rescue=nologreplay",
    };
    mount_device(device, kind, at, MountFlags::RDONLY, "")
        .or_else(|_| mount_device(device, kind, at, MountFlags::RDONLY, without_journal))?;
    Ok(())
}

/// Keeps or uses the reserve, and says when the disk is full.
fn room_for_a_boot(device: &Path, kind: &str, state: &Path) -> Use {
    let name = device.display();
    let is_short = || sys::fs::space(state).is_ok_and(|space| reserve::is_short(&space));
    if can_write(state) && !is_short() {
        if let Err(error) = reserve::take(state) {
            log::warning(&format!("state: {name} has no reserve: {error:#}"));
        }
        return Use::Whole;
    }
    let given = reserve::give(state).unwrap_or_else(|error| {
        log::error(&format!("state: {name}: {error:#}"));
        false
    });
    let (flags, all) = (MountFlags::REMOUNT, options(kind, ROOT));
    if let Err(error) = mount_device(device, kind, state, flags, &all) {
        log::error(&format!("state: {name}: {error}"));
    }
    if given && can_write(state) {
        warn(
            "state",
            &format!(
                "{name} is full: the machine runs on what was reserved for it; remove something"
            ),
        );
        return Use::Whole;
    }
    let usable = if can_write(state) && reserve::is_enough(state) {
        Use::Whole
    } else {
        Use::Full
    };
    let consequence = match usable {
        Use::Whole => "remove something before nothing fits any more".to_owned(),
        _ => format!(
            "System Docker works in RAM; what it has on the disk is in {SYSTEM_DOCKER_ON_DISK}: remove something there, or in another \
             kept directory, and reboot"
        ),
    };
    warn("state", &format!("{name} is full: {consequence}"));
    usable
}

fn can_write(state: &Path) -> bool {
    try_to_write(state).is_ok()
}

/// Writes a small file to the disk, not only to the cache. It has no name, so nothing that is there can be in its way.
fn try_to_write(state: &Path) -> std::io::Result<()> {
    let mut file = sys::fs::unnamed(state)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use sys::blockdev::loop_attach;
    use sys::mount::Propagation;

    use super::*;

    /// A small ext4 and a mount point, in a mount namespace that only this thread is in.
    struct Bench {
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Bench {
            let folder = tempfile::tempdir().expect("a folder");
            fs::create_dir(folder.path().join("at")).expect("a mount point");
            let bench = Bench { folder };
            sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS).expect("a mount namespace");
            mount::set_propagation("/", Propagation::Private, true).expect("no mount may get out");
            let image = bench.image();
            let file = File::create(&image).expect("an image");
            file.set_len(64 << 20).expect("an image");
            let made = sys::process::Command::new("mke2fs")
                .args(["-q", "-F", "-t", "ext4", "-m", "5"])
                .arg(&image)
                .run()
                .expect("mke2fs");
            assert!(made.status.success(), "mke2fs ends with {:?}", made.status);
            bench
        }

        fn image(&self) -> std::path::PathBuf {
            self.folder.path().join("disk")
        }

        fn at(&self) -> std::path::PathBuf {
            self.folder.path().join("at")
        }

        /// Mounts it, looks, and unmounts it again.
        fn mounted(&self, read_only: bool, damage: Option<&str>, look: impl Fn(&Path)) -> Use {
            let device = loop_attach(&self.image(), read_only).expect("a loop device");
            let damage = damage.map(str::to_owned);
            let usable = mount(device.path(), "ext4", &self.at(), damage).expect("mounted");
            look(&self.at());
            mount::unmount(self.at(), UnmountFlags::empty()).expect("unmounted");
            usable
        }
    }

    fn fill(state: &Path) {
        let mut file = File::create(state.join("everything")).expect("created");
        while file.write_all(&[7; 1 << 16]).is_ok() {}
        while file.write_all(&[7; 512]).is_ok() {}
        // What was only in the cache may find no block.
        let _ = file.sync_all();
        let left = |number| fs::write(state.join(format!("more-{number}")), [7; 4096]);
        let _ = (0..64).try_for_each(left);
    }

    #[test]
    #[ignore = "needs root, loop devices and mke2fs: cargo test -- --include-ignored"]
    fn a_disk_is_used_as_far_as_it_can_be() {
        let bench = Bench::new();
        let reserve = |state: &Path| state.join(".reserve/room").exists();
        let whole = bench.mounted(false, None, |state| {
            assert!(reserve(state), "nothing is reserved");
            // What an earlier version wrote to see whether it can, as something that no file can replace.
            fs::create_dir(state.join(".writable")).expect("created");
            fill(state);
        });
        assert_eq!(whole, Use::Whole);
        // The reserve makes room for this boot; what fills that, too, leaves nothing for the next.
        let full = bench.mounted(false, None, |state| {
            assert!(!reserve(state), "the reserve is kept on a full disk");
            fs::write(state.join("note"), "fits").expect("room for a boot");
            fill(state);
        });
        assert_eq!(full, Use::Whole);
        let over = bench.mounted(false, None, |state| {
            fs::remove_file(state.join("everything")).expect("a full disk can be emptied");
        });
        assert_eq!(over, Use::Full);
        let emptied = bench.mounted(false, None, |state| assert!(reserve(state)));
        assert_eq!(emptied, Use::Whole);
        let read_only = |state: &Path| {
            let note = fs::read_to_string(state.join("note")).expect("readable");
            assert_eq!(note, "fits");
            assert!(fs::write(state.join("note"), "").is_err());
        };
        let damaged = bench.mounted(false, Some("broken"), read_only);
        assert_eq!(damaged, Use::ReadOnly);
        assert_eq!(bench.mounted(true, None, read_only), Use::ReadOnly);
        fs::write(bench.image(), vec![7; 1 << 20]).expect("written");
        let device = loop_attach(&bench.image(), false).expect("a loop device");
        mount(device.path(), "ext4", &bench.at(), None).expect_err("junk is not mounted");
    }
}
