//! The cgroups of User Docker's containers, wherever dockerd has put them: `--cgroup-parent` can name any place.

use std::fs;
use std::path::{Path, PathBuf};

use sys::cgroup::Cgroup;
use sys::process::start_time;

/// Where the engine keeps the containers that are its own to stop, below the root of all cgroups.
const OF_THE_ENGINE: &str = "system-docker";
/// How deep a parent may be that somebody named.
const DEEPEST: usize = 16;
/// Hexadecimal digits of a container's id.
const ID_DIGITS: usize = 64;

/// A container's cgroup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) path: PathBuf,
    /// Its processes, with those of the cgroups below.
    pub(super) pids: Vec<i32>,
}

/// Those below `root`. What is inside of a container, as another dockerd's containers, is a part of it.
pub(super) fn find(root: &Path) -> Vec<Group> {
    let mut groups = Vec::new();
    let of_others = below(root)
        .into_iter()
        .filter(|path| path.file_name().is_none_or(|name| name != OF_THE_ENGINE));
    for path in of_others {
        find_in(path, DEEPEST, &mut groups);
    }
    groups
}

fn find_in(path: PathBuf, depth: usize, groups: &mut Vec<Group>) {
    if path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(is_containers)
    {
        let pids = Cgroup::at(&path).all_processes();
        groups.push(Group { path, pids });
    } else if depth > 0 {
        for path in below(&path) {
            find_in(path, depth - 1, groups);
        }
    }
}

/// Whether a cgroup's name is a container's: its id, or `docker-ID.scope` as with the systemd driver.
fn is_containers(name: &str) -> bool {
    let scope = name
        .strip_prefix("docker-")
        .and_then(|name| name.strip_suffix(".scope"));
    let id = scope.unwrap_or(name);
    id.len() == ID_DIGITS && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

impl Group {
    /// The container's first process: number 1 of its pid namespace, or, where it shares one (`--pid host`), the oldest. The
    /// processes of `docker exec` are younger. One that is gone counts as the youngest.
    pub(super) fn first(&self) -> Option<i32> {
        let pids = || self.pids.iter().copied();
        pids()
            .find(|pid| is_namespace_init(*pid))
            .or_else(|| pids().min_by_key(|pid| (start_time(*pid).unwrap_or(u64::MAX), *pid)))
    }

    /// A frozen process gets no signal.
    pub(super) fn thaw(&self) {
        let _ = fs::write(self.path.join("cgroup.freeze"), "0");
    }

    /// Kills all of it; what is gone needs no signal.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

/// Whether the process is number 1 of a pid namespace below ours (proc_pid_status(5), NSpid).
fn is_namespace_init(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .is_some_and(|pids| {
            let pids: Vec<&str> = pids.split_whitespace().collect();
            pids.len() > 1 && pids.last() == Some(&"1")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_found_below_any_parent_and_the_engines_are_not() {
        let root = tempfile::tempdir().expect("a folder");
        let id = |digit: &str| digit.repeat(ID_DIGITS);
        let group = |path: &str, pids: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(&path).expect("made");
            fs::write(path.join("cgroup.procs"), pids).expect("written");
        };
        group(&format!("docker/{}", id("a")), "10\n");
        group(&format!("docker/{}/init.scope", id("a")), "11\n");
        group(&format!("docker/{}/docker/{}", id("a"), id("b")), "12\n");
        group(&format!("kubepods/burstable/pod1/{}", id("c")), "20\n21\n");
        group(&format!("my.slice/docker-{}.scope", id("d")), "30\n");
        group(&format!("system-docker/{}", id("e")), "40\n");
        group("user-docker", "50\n");
        group("docker/not-one", "60\n");
        let mut found: Vec<(String, Vec<i32>)> = find(root.path())
            .into_iter()
            .map(|mut group| {
                group.pids.sort_unstable();
                let name = group.path.file_name().unwrap_or_default().to_string_lossy();
                (name.into_owned(), group.pids)
            })
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                (id("a"), vec![10, 11, 12]),
                (id("c"), vec![20, 21]),
                (format!("docker-{}.scope", id("d")), vec![30]),
            ]
        );
    }

    #[test]
    fn the_first_process_of_a_shared_namespace_is_the_oldest() {
        let child = sys::process::Command::new("sleep")
            .arg("100")
            .spawn()
            .expect("started");
        let own = i32::try_from(std::process::id()).expect("a number");
        let child_pid = child.pid();
        let group = |pids: &[i32]| Group {
            path: PathBuf::new(),
            pids: pids.to_vec(),
        };
        // The last one is gone.
        let first = group(&[child_pid, own, i32::MAX]).first();
        let alone = group(&[i32::MAX, child_pid]).first();
        sys::process::kill(child_pid, sys::process::Signal::KILL).expect("ended");
        child.wait().expect("reaped");
        assert_eq!((first, alone), (Some(own), Some(child_pid)));
        assert_eq!(group(&[]).first(), None);
    }
}
