//! Mounts of Docker's in the view of an earlier console.
//!
//! Containers run on when the console is replaced or started again. Their file systems (`overlay2/ID/merged`) and network namespaces
//! (`netns/ID`) are mounted in the view of the console that dockerd ran in then. In another view dockerd finds empty places, takes the
//! containers' networks for lost, and neither `docker exec` nor `docker cp` works. So these mounts are put into the view of the console that
//! there is now. What is removed later goes in all views: the kernel detaches what is mounted on a name that is removed in another
//! mount namespace (mount_namespaces(7), "Restrictions on mount namespaces").

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sys::mount::{self, MountEntry, Propagation};
use sys::namespace::{CloneFlags, setns};
use sys::process::start_time;

use super::CGROUP;

/// containerd's shims, one for each container: they stay in the view that they were started in. A name of a process has 15 letters
/// (proc_pid_comm(5)).
const SHIM: &str = "containerd-shim";

/// Where Docker mounts, without links: the kernel names places so.
pub(super) struct Places {
    /// File systems of containers, volumes.
    pub(super) data_root: PathBuf,
    /// Network namespaces, and what shims have.
    pub(super) state: Vec<PathBuf>,
}

/// Docker's own mounts have as many names below its directories, or more: what somebody has mounted nearer is not Docker's.
const NAMES_BELOW: usize = 2;
/// Directory of volumes in Docker's data.
const VOLUMES: &str = "volumes";

impl Places {
    /// Places of Docker's mounts in a view, without what lies below another one of them: a copy has what is below it. Volumes are
    /// unmounted when their last container ends, in the view that dockerd is in then: only the newest one knows.
    fn outermost(&self, mounts: &[MountEntry], is_newest: bool) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = Vec::new();
        for MountEntry { target, .. } in mounts {
            let below = |place: &PathBuf| target.strip_prefix(place).ok();
            let data = below(&self.data_root);
            let is_volume = data.is_some_and(|data| data.starts_with(VOLUMES));
            let mut all = data.into_iter().chain(self.state.iter().filter_map(below));
            let is_dockers = all.any(|below| below.components().count() >= NAMES_BELOW);
            if is_dockers
                && (is_newest || !is_volume)
                && !found.iter().any(|outer| target.starts_with(outer))
            {
                found.push(target.clone());
            }
        }
        found
    }
}

/// A copy of a mount, and its place.
struct Mount {
    target: PathBuf,
    tree: OwnedFd,
}

/// Puts what Docker has mounted in views where containers run on, and not in `console`'s, into that. The caller is in `console`'s view.
/// What cannot be done for a single mount is said.
///
/// # Errors
/// When the caller cannot come back to `console`'s view, or its mounts cannot be listed.
pub(super) fn carry(console: &File, places: &Places) -> anyhow::Result<()> {
    let mounts = collect(console, places);
    setns(console, CloneFlags::NEWNS)?;
    std::env::set_current_dir("/")?;
    if !mounts.is_empty() && places.data_root.is_dir() {
        share(&places.data_root).with_context(|| places.data_root.display().to_string())?;
    }
    attach(&mounts)
}

/// Copies of mounts in other views than `console`'s; the caller is left in any of them.
fn collect(console: &File, places: &Places) -> Vec<Mount> {
    let mut known: BTreeSet<u64> = inode(console).into_iter().collect();
    // All are opened before one is entered: it may have no /proc any more.
    let mut views = Vec::new();
    let mut is_newest = true;
    for pid in shims() {
        let Ok(view) = File::open(format!("/proc/{pid}/ns/mnt")) else {
            continue; // it has ended
        };
        if let Ok(mounts) = mount::mountinfo_of(pid) {
            if inode(&view).is_some_and(|inode| known.insert(inode)) {
                views.push((view, places.outermost(&mounts, is_newest)));
            }
            // Also when it is `console`'s own: dockerd was started again in that.
            is_newest = false;
        }
    }
    let mut found: Vec<Mount> = Vec::new();
    for (view, targets) in views {
        if let Err(error) = setns(&view, CloneFlags::NEWNS) {
            eprintln!("user-docker: the view of an earlier console: {error}");
            continue;
        }
        for target in targets {
            if found.iter().any(|mount| mount.target == target) {
                continue;
            }
            match mount::open_tree_clone(&target) {
                Ok(tree) => found.push(Mount { target, tree }),
                Err(error) => eprintln!("user-docker: {error}"),
            }
        }
    }
    found
}

/// Makes Docker's data a shared mount, as dockerd does when it starts: it would mount a directory on itself without what is below it
/// (moby, daemon/daemon_linux.go, `setupDaemonRootPropagation`).
fn share(data_root: &Path) -> anyhow::Result<()> {
    if !mount::is_mount_point(data_root)? {
        mount::bind(data_root, data_root, false)?;
    }
    Ok(mount::set_propagation(
        data_root,
        Propagation::Shared,
        false,
    )?)
}

/// Attaches `mounts` in the caller's view, where their places are there and nothing is mounted on them.
fn attach(mounts: &[Mount]) -> anyhow::Result<()> {
    // A file system that is there is not asked for anything: its server may be away.
    let table = mount::mountinfo()?;
    for Mount { target, tree } in mounts {
        let is_mounted = table.iter().any(|entry| entry.target == *target);
        // What has no place any more was removed.
        if is_mounted || target.symlink_metadata().is_err() {
            continue;
        }
        if let Err(error) = mount::move_mount_fd(tree, target) {
            eprintln!("user-docker: {error}: its container has to be started again");
        }
    }
    Ok(())
}

/// The number of the namespace that `view` is.
fn inode(view: &File) -> Option<u64> {
    Some(view.metadata().ok()?.ino())
}

/// Shims of User Docker, the newest first.
fn shims() -> Vec<i32> {
    let text = fs::read_to_string(Path::new(CGROUP).join("cgroup.procs")).unwrap_or_default();
    let is_shim = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == SHIM)
    };
    let pids = text.lines().filter_map(|line| line.parse().ok());
    let mut shims: Vec<i32> = pids.filter(is_shim).collect();
    shims.sort_by_key(|pid| Reverse(start_time(*pid)));
    shims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_docker_has_mounted_is_taken() {
        let targets = [
            "/",
            "/run",
            "/var/lib/docker",
            // A disk of the owner's.
            "/var/lib/docker/volumes",
            "/var/lib/docker/volumes/nas/_data",
            "/var/lib/docker/overlay2/a/merged",
            "/var/lib/docker/overlay2/a/merged/data",
            "/var/lib/docker-compose/x/y",
            "/run/docker/netns/b",
            "/run/docker/netns/b",
        ];
        let entry = |target: &&str| MountEntry {
            id: 1,
            parent: 0,
            device: "0:1".into(),
            root: "/".into(),
            target: (*target).into(),
            options: String::new(),
            propagation: Vec::new(),
            fstype: String::new(),
            source: String::new(),
            super_options: String::new(),
        };
        let mounts: Vec<_> = targets.iter().map(entry).collect();
        let places = Places {
            data_root: "/var/lib/docker".into(),
            state: vec!["/run/docker".into()],
        };
        let volume = Path::new("/var/lib/docker/volumes/nas/_data");
        let others = [
            Path::new("/var/lib/docker/overlay2/a/merged"),
            Path::new("/run/docker/netns/b"),
        ];
        assert_eq!(
            places.outermost(&mounts, true),
            [&[volume], &others[..]].concat()
        );
        assert_eq!(places.outermost(&mounts, false), others);
    }
}
