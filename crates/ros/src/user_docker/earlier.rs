//! Mounts of Docker's in the view of an earlier console.
//!
//! Containers run on when the console is replaced or started again. Their file systems (`overlay2/ID/merged`) and network namespaces
//! (`netns/ID`) are mounted in the view of the console that dockerd ran in then. In another view dockerd finds empty places, takes the
//! containers' networks for lost, and neither `docker exec` nor `docker cp` works. So these mounts are put into the view of the console that
//! there is now. What is removed later goes in all views: the kernel detaches what is mounted on a name that is removed in another
//! mount namespace (mount_namespaces(7), "Restrictions on mount namespaces").

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sys::mount::{self, MountEntry};
use sys::namespace::{CloneFlags, setns};

use super::CGROUP;

/// containerd's shims, one for each container: they stay in the view that they were started in. A name of a process has 15 letters
/// (proc_pid_comm(5)).
const SHIM: &str = "containerd-shim";

/// A copy of a mount, and its place.
struct Mount {
    target: PathBuf,
    tree: OwnedFd,
}

/// Puts what is mounted below one of `places` in views where containers run on, and not in `console`'s, into that. The caller is in
/// `console`'s view. What cannot be done for a single mount is said.
///
/// # Errors
/// When the caller cannot come back to `console`'s view.
pub(super) fn carry(console: &File, places: &[PathBuf]) -> anyhow::Result<()> {
    let mounts = collect(console, places);
    setns(console, CloneFlags::NEWNS)?;
    std::env::set_current_dir("/")?;
    attach(&mounts);
    Ok(())
}

/// Copies of mounts in other views than `console`'s; the caller is left in any of them.
fn collect(console: &File, places: &[PathBuf]) -> Vec<Mount> {
    let mut known: BTreeSet<u64> = inode(console).into_iter().collect();
    // All are opened before one is entered: it may have no /proc any more.
    let mut views = Vec::new();
    for pid in shims() {
        let Ok(view) = File::open(format!("/proc/{pid}/ns/mnt")) else {
            continue; // it has ended
        };
        if inode(&view).is_some_and(|inode| known.insert(inode))
            && let Ok(mounts) = mount::mountinfo_of(pid)
        {
            views.push((view, outermost(&mounts, places)));
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

/// Attaches `mounts` in the caller's view, where their places are there and nothing is mounted on them.
fn attach(mounts: &[Mount]) {
    for Mount { target, tree } in mounts {
        // What has no place any more was removed.
        if target.symlink_metadata().is_err() || !matches!(mount::is_mount_point(target), Ok(false))
        {
            continue;
        }
        if let Err(error) = mount::move_mount_fd(tree, target) {
            eprintln!("user-docker: {error}: its container has to be started again");
        }
    }
}

/// The number of the namespace that `view` is.
fn inode(view: &File) -> Option<u64> {
    Some(view.metadata().ok()?.ino())
}

/// Shims of User Docker.
fn shims() -> Vec<i32> {
    let text = fs::read_to_string(Path::new(CGROUP).join("cgroup.procs")).unwrap_or_default();
    let is_shim = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == SHIM)
    };
    let pids = text.lines().filter_map(|line| line.parse().ok());
    pids.filter(is_shim).collect()
}

/// Places of mounts strictly below one of `places`, without what lies below another one of them: a copy has what is below it.
fn outermost(mounts: &[MountEntry], places: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in mounts {
        let target = &entry.target;
        let is_below = |place: &PathBuf| target.starts_with(place) && target != place;
        if places.iter().any(is_below) && !found.iter().any(|outer| target.starts_with(outer)) {
            found.push(target.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_mounted_below_the_places_of_docker_is_taken() {
        let targets = [
            "/",
            "/run",
            "/var/lib/docker",
            "/var/lib/docker/overlay2/a/merged",
            "/var/lib/docker/overlay2/a/merged/data",
            "/var/lib/docker-compose",
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
        let places = ["/var/lib/docker".into(), "/run/docker".into()];
        assert_eq!(
            outermost(&mounts, &places),
            [
                Path::new("/var/lib/docker/overlay2/a/merged"),
                Path::new("/run/docker/netns/b")
            ]
        );
    }
}
