//! The end: services, User Docker's containers, leftovers, file systems, power. It never hangs.
//!
//! [`finish`] is the only caller of reboot(2). A thread with the last deadline does it should any
//! step block: a dead disk must not keep a machine in a rack from coming back.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::Engine;
use sys::mount::{self, MountFlags, UnmountFlags};
use sys::process;
use sys::reboot::{self, Action};
use tokio::time::{sleep, timeout};

use crate::log;

/// How long the whole shutdown may take unless `rancher.shutdown_timeout` says otherwise
/// (RancherOS: 60 s, at least 5 s).
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(60);
/// The least that the configuration may set.
pub(crate) const LEAST_DEADLINE: Duration = Duration::from_secs(5);

/// What a user's container gets to end after SIGTERM: docker stop's 10 s.
const USER_CONTAINER_GRACE: Duration = Duration::from_secs(10);
/// What processes outside any container get; there should be none.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// Pause between two looks at what is still running.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The service that User Docker runs in.
const USER_DOCKER_SERVICE: &str = "docker";

/// Milliseconds between two looks for a new disc; 0 for none (kernel-parameters, block.events_dfl_poll_msecs).
const POLL_DRIVES: &str = "/sys/module/block/parameters/events_dfl_poll_msecs";

/// Where dockerd with the cgroupfs driver puts its containers.
const USER_CONTAINERS: &str = "/sys/fs/cgroup/docker";
/// Where `ros user-docker` puts dockerd, containerd and the shims.
const USER_DOCKER: &str = "/sys/fs/cgroup/user-docker";

/// Stops everything and leaves.
pub(crate) async fn finish(engine: &Engine, action: Action, deadline: Duration) -> Infallible {
    log::info(&format!("shutdown: {action:?}"));
    arm(action, deadline);
    stop_polling_drives();
    // User Docker first and gently: it stops taking orders, then its containers end, then the
    // services that they may have used.
    if let Err(error) = engine.container_stop(USER_DOCKER_SERVICE, None, None).await
        && error.status != 304
    {
        log::warning(&format!("shutdown: {error}"));
    }
    stop_user_containers().await;
    for error in engine.shutdown(Vec::new(), deadline / 2).await {
        log::warning(&format!("shutdown: {error}"));
    }
    stop_leftovers().await;
    sys::fs::sync();
    for error in unmount_all() {
        log::warning(&format!("shutdown: {error}"));
    }
    sys::fs::sync();
    leave(action)
}

/// Leaves without an engine: the boot failed before there was one.
pub(crate) fn leave(action: Action) -> ! {
    sys::fs::sync();
    loop {
        let error = reboot::reboot(action);
        log::error(&format!("shutdown: {error}"));
        std::thread::sleep(LEFTOVER_GRACE);
    }
}

/// Has the kernel look for new discs no more (udev's rules have it do so every 2 s): the answer of a drive whose controller
/// is being shut down makes libata warn (`ata_qc_complete`, a port that is frozen).
fn stop_polling_drives() {
    if let Err(error) = fs::write(POLL_DRIVES, "0") {
        log::warning(&format!("shutdown: {POLL_DRIVES}: {error}"));
    }
}

fn arm(action: Action, deadline: Duration) {
    let spawned = std::thread::Builder::new()
        .name("shutdown deadline".to_owned())
        .spawn(move || {
            std::thread::sleep(deadline);
            log::error(&format!(
                "shutdown: not done after {} s: leaving anyway",
                deadline.as_secs()
            ));
            // No sync here: it is the likeliest thing to be stuck.
            let _ = reboot::reboot(action);
        });
    if let Err(error) = spawned {
        log::error(&format!("shutdown: no deadline thread: {error}"));
    }
}

/// Ends the containers of User Docker, which live on when dockerd stops (live-restore): SIGTERM to
/// the first process of each, as `docker stop` does; then SIGKILL to what is left.
///
/// They are not stopped through dockerd: it would remember that and not start an `unless-stopped`
/// container at the next boot.
async fn stop_user_containers() {
    for pid in pids_below(Path::new(USER_CONTAINERS))
        .into_iter()
        .filter(|pid| is_namespace_init(*pid))
    {
        // It may have ended since it was listed.
        let _ = process::kill(pid, process::Signal::TERM);
    }
    let all_ended = async {
        while !pids_below(Path::new(USER_CONTAINERS)).is_empty() {
            sleep(LOOK_AGAIN).await;
        }
    };
    if timeout(USER_CONTAINER_GRACE, all_ended).await.is_err() {
        log::warning("shutdown: some containers of User Docker did not end in time");
    }
    for cgroup in [USER_CONTAINERS, USER_DOCKER] {
        // Absent when User Docker never ran.
        let _ = fs::write(Path::new(cgroup).join("cgroup.kill"), "1");
    }
}

/// All processes in a cgroup and the cgroups below it.
fn pids_below(cgroup: &Path) -> Vec<i32> {
    let mut pids: Vec<i32> = fs::read_to_string(cgroup.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            pids.extend(pids_below(&entry.path()));
        }
    }
    pids
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

async fn stop_leftovers() {
    for signal in [process::Signal::TERM, process::Signal::KILL] {
        if process::kill_all(signal).is_err() {
            return; // ESRCH: nobody is left
        }
        let all_ended = async {
            while process::has_children() {
                sleep(LOOK_AGAIN).await;
            }
        };
        if timeout(LEFTOVER_GRACE, all_ended).await.is_ok() {
            return;
        }
    }
}

/// Unmounts everything that can hold data, the last mounted first; what is still busy becomes
/// read-only, so that its journal is clean.
fn unmount_all() -> Vec<String> {
    const KERNEL_OWN: [&str; 10] = [
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup2",
        "mqueue",
        "securityfs",
        "bpf",
        "rootfs",
        "tmpfs",
    ];
    let mut errors = Vec::new();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    for entry in mount::mountinfo().unwrap_or_default().into_iter().rev() {
        if KERNEL_OWN.contains(&entry.fstype.as_str()) {
            continue;
        }
        if mount::unmount(&entry.target, UnmountFlags::empty()).is_ok() {
            continue;
        }
        if seen.insert(entry.target.clone()) {
            let flags = MountFlags::REMOUNT | MountFlags::RDONLY;
            if let Err(error) = mount::mount("none", &entry.target, "", flags, "") {
                errors.push(format!("{} stays mounted: {error}", entry.target.display()));
            }
        }
    }
    errors
}
