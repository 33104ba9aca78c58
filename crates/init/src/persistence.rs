//! Phase "keep directories": the directories that survive a reboot live on the state partition.
//!
//! Without a state partition they are directories of the root tmpfs, and nothing is to be done. One that cannot be had
//! from the disk is one of the root tmpfs, too, and that is said: the machine must come up.

use std::fs;
use std::path::Path;

use anyhow::Context;
use sys::mount;

use crate::last_access;
use crate::machine::Machine;
use crate::set_aside;
use crate::state::{EARLY_STATE, STATE, State, Use};
use crate::warnings::warn;

/// A directory that survives a reboot.
struct Kept {
    path: &'static str,
    /// What it is on a disk that can only be read.
    read_only: ReadOnly,
}

/// A directory of a disk that can only be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadOnly {
    /// The disk's, with changes in RAM: what lets the owner in.
    Changeable,
    /// Empty: containers' file systems cannot be made above one that has changes in RAM, and logs would not be kept.
    Empty,
}

/// What survives a reboot; everything else returns to its original state (design, section 7).
#[rustfmt::skip]
const KEPT: &[Kept] = &[
    Kept { path: "/home",                 read_only: ReadOnly::Changeable },
    Kept { path: "/opt",                  read_only: ReadOnly::Changeable },
    Kept { path: "/var/lib/docker",       read_only: ReadOnly::Empty },
    Kept { path: "/var/lib/rancher",      read_only: ReadOnly::Changeable },
    Kept { path: "/var/lib/kubelet",      read_only: ReadOnly::Empty },
    Kept { path: SYSTEM_DOCKER,           read_only: ReadOnly::Empty },
    Kept { path: "/mnt",                  read_only: ReadOnly::Changeable },
    Kept { path: "/media",                read_only: ReadOnly::Changeable },
    Kept { path: "/var/log",              read_only: ReadOnly::Empty },
    Kept { path: "/etc/docker",           read_only: ReadOnly::Changeable },
];

/// On a full disk it is in RAM, since without services there is no way in.
const SYSTEM_DOCKER: &str = "/var/lib/system-docker";

/// Where what the full disk has of it can be seen, and removed.
pub(crate) const SYSTEM_DOCKER_ON_DISK: &str = "/run/rancher/system-docker-on-disk";

/// The machine's own configuration.
const CONF: &str = "/var/lib/rancher/conf";

/// Where changes of directories that can only be read are.
const CHANGES: &str = "/var/lib/state-changes";

/// Binds each kept directory of the state partition on the root.
pub(crate) fn bind(machine: Machine) -> anyhow::Result<Machine> {
    let Some(state) = &machine.state else {
        if let Err(error) = last_access::take(&machine) {
            warn("state", &format!("{error:#}"));
        }
        return Ok(machine);
    };
    mount::bind(Path::new(EARLY_STATE), Path::new(STATE), false)?;
    // The console has all of /run, and needs no second way to what is kept.
    mount::unmount(EARLY_STATE, mount::UnmountFlags::DETACH)?;
    for kept in KEPT {
        if let Err(error) = keep(state, kept) {
            let path = kept.path;
            warn(
                "state",
                &format!("{path} is in RAM and will be lost at the next reboot: {error:#}"),
            );
        }
    }
    set_aside::configuration(Path::new(CONF));
    set_aside::logs(Path::new("/var/log"));
    if let Err(error) = fs::create_dir_all(CONF) {
        warn("state", &format!("cannot create {CONF}: {error}"));
    }
    Ok(machine)
}

fn keep(state: &State, kept: &Kept) -> anyhow::Result<()> {
    let source = Path::new(STATE).join(&kept.path[1..]);
    let target = Path::new(kept.path);
    match state.usable {
        Use::Full if kept.path == SYSTEM_DOCKER && !source.is_dir() => return Ok(()),
        Use::Full if kept.path == SYSTEM_DOCKER => {
            let shown = Path::new(SYSTEM_DOCKER_ON_DISK);
            fs::create_dir_all(shown)
                .with_context(|| format!("cannot create {SYSTEM_DOCKER_ON_DISK}"))?;
            return Ok(mount::bind(&source, shown, false)?);
        }
        Use::ReadOnly if kept.read_only == ReadOnly::Empty || !source.is_dir() => return Ok(()),
        Use::ReadOnly => return change_in_ram(&source, target),
        Use::Whole | Use::Full => {}
    }
    set_aside::unless_directory(&source)?;
    fs::create_dir_all(&source).with_context(|| format!("cannot create {}", source.display()))?;
    // A directory whose blocks are damaged can be bound and not listed.
    fs::read_dir(&source).with_context(|| format!("cannot list {}", source.display()))?;
    Ok(mount::bind(&source, target, false)?)
}

/// Shows the disk's directory with changes in RAM.
fn change_in_ram(source: &Path, target: &Path) -> anyhow::Result<()> {
    let place = Path::new(CHANGES).join(target.strip_prefix("/").unwrap_or(target));
    let (upper, work) = (place.join("upper"), place.join("work"));
    for directory in [&upper, &work] {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
    }
    let lowers = [source.to_owned()];
    Ok(mount::overlay(&lowers, Some(&upper), Some(&work), target)?)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Runs `work` in a thread that has its own root directory, with a tmpfs as the state disk. Needs root.
    fn in_a_root(work: impl FnOnce() + Send + 'static) {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        let thread = std::thread::spawn(move || {
            sys::namespace::unshare(sys::namespace::CloneFlags::NEWNS).expect("a mount namespace");
            let private = mount::Propagation::Private;
            mount::set_propagation("/", private, true).expect("no mount may get out");
            let flags = mount::MountFlags::empty();
            mount::mount("tmpfs", &root, "tmpfs", flags, "").expect("a root");
            sys::process::chroot(&root).expect("a new root");
            std::env::set_current_dir("/").expect("the new root");
            for directory in KEPT
                .iter()
                .map(|kept| kept.path)
                .chain([STATE, EARLY_STATE])
            {
                fs::create_dir_all(directory).expect("a mount point");
            }
            mount::mount("tmpfs", EARLY_STATE, "tmpfs", flags, "").expect("a disk");
            for (file, content) in [
                ("home/note", "mine"),
                ("var/lib/docker/x", "theirs"),
                ("var/lib/system-docker/filler", "much"),
            ] {
                let path = Path::new(EARLY_STATE).join(file);
                fs::create_dir_all(path.parent().expect("a directory")).expect("created");
                fs::write(path, content).expect("written");
            }
            work();
        });
        thread.join().expect("the test's own thread");
    }

    fn machine(usable: Use) -> Machine {
        let device = PathBuf::from("/dev/none");
        Machine {
            state: Some(State { device, usable }),
            ..Machine::default()
        }
    }

    fn on_disk(file: &str) -> String {
        fs::read_to_string(Path::new(STATE).join(file)).unwrap_or_default()
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn what_is_written_to_a_sound_disk_stays() {
        in_a_root(|| {
            fs::write(Path::new(EARLY_STATE).join("opt"), "no directory").expect("written");
            bind(machine(Use::Whole)).expect("bound");
            fs::write("/opt/new", "kept").expect("written");
            assert_eq!(on_disk("opt/new"), "kept");
            assert_eq!(on_disk(".opt.damaged"), "no directory");
            assert!(Path::new("/var/lib/rancher/conf").is_dir());
            let left = fs::read_dir(EARLY_STATE).expect("a directory").count();
            assert_eq!(left, 0, "the disk is mounted twice");
        });
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_disk_that_can_only_be_read_lets_its_owner_work() {
        in_a_root(|| {
            let flags = mount::MountFlags::REMOUNT | mount::MountFlags::RDONLY;
            mount::mount("none", EARLY_STATE, "", flags, "").expect("read-only");
            bind(machine(Use::ReadOnly)).expect("bound");
            let home = fs::read_to_string("/home/note").expect("what was there");
            assert_eq!(home, "mine");
            fs::write("/home/note", "changed").expect("changed in RAM");
            assert_eq!(on_disk("home/note"), "mine");
            fs::write("/var/lib/docker/y", "").expect("an empty place for containers");
            assert!(!Path::new("/var/lib/docker/x").exists());
            assert!(Path::new("/var/lib/rancher/conf").is_dir());
        });
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn on_a_full_disk_only_system_docker_is_in_ram() {
        in_a_root(|| {
            bind(machine(Use::Full)).expect("bound");
            fs::write("/var/lib/system-docker/record", "").expect("written");
            let filler = Path::new(SYSTEM_DOCKER_ON_DISK).join("filler");
            fs::remove_file(filler).expect("what fills the disk can be removed");
            assert!(
                !Path::new(STATE)
                    .join("var/lib/system-docker/filler")
                    .exists()
            );
            assert!(
                !Path::new(STATE)
                    .join("var/lib/system-docker/record")
                    .exists()
            );
            assert!(Path::new("/var/lib/docker/x").exists());
        });
    }
}
