//! A machine with a state disk and one that keeps everything in RAM are the same machine.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::artifacts::Artifacts;
use crate::context::{Context, shared_with};
use crate::disk::Disk;
use crate::guest::Guest;
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![shared_with(
        context,
        "modes_have_the_same_mounts_and_confinement",
        same_mounts_and_confinement,
    )]
}

/// The shared guest is of the one kind, whichever the run has; this boots one of the other.
fn same_mounts_and_confinement(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let other = Machine::new("modes", Boot::Kernel);
    let other = if artifacts.state_disks {
        other.in_ram()
    } else {
        other.state_disk(&disk.path)
    };
    let other = other.start(artifacts)?;
    other.wait_ready()?;
    other.wait_docker()?;
    let (ours, theirs) = (kernel_mounts(guest)?, kernel_mounts(&other)?);
    let differ: Vec<_> = ours.symmetric_difference(&theirs).collect();
    ensure!(differ.is_empty(), "only one of them has {differ:?}");
    for guest in [guest, &other] {
        confines(guest)?;
    }
    other.check()
}

/// What PID 1 has mounted of the kernel's own file systems, with options; sizes follow the RAM.
fn kernel_mounts(guest: &Guest) -> anyhow::Result<BTreeSet<String>> {
    const WANTED: [&str; 9] = [
        "/proc",
        "/sys",
        "/dev",
        "/dev/pts",
        "/dev/shm",
        "/dev/mqueue",
        "/run",
        "/sys/fs/cgroup",
        "/sys/kernel/security",
    ];
    let text = guest.run("sudo cat /proc/1/mounts")?;
    let mut mounts = BTreeSet::new();
    let mut targets = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split(' ').skip(1);
        let (target, kind, options) = (words.next(), words.next(), words.next());
        let (target, kind) = (target.unwrap_or_default(), kind.unwrap_or_default());
        let options: Vec<&str> = options
            .unwrap_or_default()
            .split(',')
            .filter(|option| !option.starts_with("size=") && !option.starts_with("nr_inodes="))
            .collect();
        // Containers' own come and go.
        let below = ["/proc", "/sys", "/dev"]
            .iter()
            .any(|top| target == *top || target.starts_with(&format!("{top}/")));
        if below || target == "/run" {
            targets.insert(target.to_owned());
            mounts.insert(format!("{target} {kind} {}", options.join(",")));
        }
    }
    for target in WANTED {
        ensure!(targets.contains(target), "{target} is not mounted:\n{text}");
    }
    Ok(mounts)
}

/// What the mounts are there for. The command, and what it must print; 19800202 is mqueue's magic number (linux/magic.h).
const PROMISES: [(&str, &str); 9] = [
    ("touch /dev/shm/mine && rm /dev/shm/mine && echo ok", "ok"),
    (
        "test -c /dev/pts/ptmx && stat -f -c %t /dev/mqueue",
        "19800202",
    ),
    ("docker run --rm -t mode tty | tr -d '\\r'", "/dev/pts/0"),
    (
        "docker run --rm mode cat /proc/self/attr/apparmor/current",
        "docker-default (enforce)",
    ),
    (
        "system-docker run --rm -t mode tty | tr -d '\\r'",
        "/dev/pts/0",
    ),
    (
        "system-docker run --rm mode cat /proc/self/attr/apparmor/current",
        "docker-default (enforce)",
    ),
    (
        "system-docker run --rm -m 30m mode cat /sys/fs/cgroup/memory.max",
        "31457280",
    ),
    // The disc's number: only the device filter stands between a default container and every disk of the machine.
    (
        "system-docker run --rm mode sh -c 'mknod /disc b 11 0 && head -c 1 /disc 2>&1' | grep -o 'not permitted'",
        "not permitted",
    ),
    (
        "system-docker run -d --name mode mode sleep 1000 >/dev/null && system-docker pause mode >/dev/null && \
         system-docker inspect -f '{{.State.Status}}' mode && system-docker rm -f mode >/dev/null",
        "paused",
    ),
];

fn confines(guest: &Guest) -> anyhow::Result<()> {
    // A different name: another test removes busybox from System Docker meanwhile
    guest.run("docker tag busybox mode && docker save mode | system-docker load -q")?;
    for (command, expected) in PROMISES {
        let found = guest.run(command).with_context(|| command.to_owned())?;
        ensure!(found.trim() == expected, "{command}: {found:?}");
    }
    guest
        .run("system-docker rmi mode && docker rmi mode")
        .map(drop)
}
