//! Room on the state disk that nobody else gets, so that a full disk still boots.
//!
//! Two fences. On ext4 the last blocks belong to a user that does not exist, and PID 1 may take them all the same
//! (CAP_SYS_RESOURCE), while containers may not. And on every file system a directory holds room and inodes: programs with all
//! capabilities, User Docker's daemon among them, pass the first fence. The boot that finds no room opens both: it gives the
//! directory back, and the reserved blocks to root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sys::fs::Space;

/// Who owns the reserved blocks: a number that no user has. 0, the default, would give them to root in every container.
pub(super) const OWNER: u32 = 0xffff_fff0;

/// What a boot writes is a few MiB: records of the services, logs, a lease.
const ROOM_BYTES: u64 = 32 << 20;
/// On small disks it is this part.
const ROOM_PART: u64 = 64;
/// A boot makes about a hundred files and directories.
const FILES: u64 = 128;
/// A boot needs this part of the room at least.
const LEAST_PART: u64 = 4;
/// The room is taken again when this many times as much is left.
const PLENTY: u64 = 8;

/// Reserved blocks of a new file system: mke2fs's five per cent, and not more than this.
const MOST_BLOCKS_BYTES: u64 = 1 << 30;

fn directory(state: &Path) -> PathBuf {
    state.join(".reserve")
}

/// What mke2fs -m gets for a device of this size.
pub(super) fn percent(device_bytes: u64) -> String {
    let most = MOST_BLOCKS_BYTES as f64 * 100.0 / device_bytes.max(1) as f64;
    format!("{:.3}", most.min(5.0))
}

/// Whether there is too little left for a boot, as those see it who may not take reserved blocks: overlay file systems give
/// CAP_SYS_RESOURCE up for whoever writes to them (fs/overlayfs/super.c), and every service writes to one.
pub(super) fn is_short(space: &Space) -> bool {
    space.available < room(space.total) || space.files_left.is_some_and(|files| files < FILES)
}

/// Whether a boot fits into what is left when both fences are open: found out by taking it, since ext4 counts blocks as free that it
/// gives to nobody (s_resv_clusters, fs/ext4/super.c). Services whose writes fail do not start, and one of them lets the owner in.
pub(super) fn is_enough(state: &Path) -> bool {
    let Ok(space) = sys::fs::space(state) else {
        return false;
    };
    let room = room(space.total) / LEAST_PART;
    let files = space.files_left.unwrap_or(FILES);
    let fits = |file| sys::fs::allocate(file, room).is_ok();
    files >= FILES / LEAST_PART && sys::fs::unnamed(state).is_ok_and(fits)
}

fn room(total: u64) -> u64 {
    ROOM_BYTES.min(total / ROOM_PART)
}

/// Takes the room unless it is taken or little is left.
pub(super) fn take(state: &Path) -> anyhow::Result<()> {
    let space = sys::fs::space(state)?;
    let directory = directory(state);
    let plenty = space.available > room(space.total) * PLENTY
        && space.files_left.is_none_or(|files| files > FILES * PLENTY);
    if directory.exists() || !plenty {
        return Ok(());
    }
    // Under another name first: a power cut must not leave half of it for good.
    let unfinished = state.join(".reserve.new");
    let _ = fs::remove_dir_all(&unfinished);
    fs::create_dir(&unfinished).context("cannot create the reserve")?;
    let create = |name: String| {
        File::create(unfinished.join(&name)).with_context(|| format!("cannot create {name}"))
    };
    sys::fs::allocate(create("room".to_owned())?, room(space.total))?;
    for number in 0..FILES {
        create(format!("inode-{number}"))?;
    }
    fs::rename(&unfinished, &directory).context("cannot keep the reserve")
}

/// Gives the room back; whether there was any.
pub(super) fn give(state: &Path) -> anyhow::Result<bool> {
    let directory = directory(state);
    if !directory.exists() {
        return Ok(false);
    }
    fs::remove_dir_all(&directory).context("cannot give the reserve back")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_taken_once_and_given_back_once() {
        let state = tempfile::tempdir().expect("a folder");
        take(state.path()).expect("taken");
        let held = fs::read_dir(directory(state.path()))
            .expect("listed")
            .count();
        assert_eq!(held as u64, FILES + 1);
        take(state.path()).expect("taken already");
        assert!(give(state.path()).expect("given back"));
        assert!(!give(state.path()).expect("nothing to give"));
    }

    #[test]
    fn a_disk_is_short_of_room_for_services_or_of_files() {
        let space = |available, files_left| Space {
            total: 1 << 30,
            free: 1 << 29,
            available,
            files_left,
        };
        assert!(is_short(&space(1 << 20, None)));
        assert!(is_short(&space(1 << 29, Some(3))));
        assert!(!is_short(&space(1 << 29, Some(3000))));
        assert!(!is_short(&space(1 << 29, None)));
    }

    #[test]
    fn no_new_file_system_reserves_more_than_a_gibibyte() {
        assert_eq!(percent(1 << 30), "5.000");
        assert_eq!(percent(1 << 40), "0.098");
    }
}
