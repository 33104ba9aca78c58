//! The kinds of broken versions that are booted, as tables; docs/testing.md has those that other tests prove.

use super::faults::{
    Fault, INITRD, KERNEL, Program, half, hang_kernel, headless, hollow, junk, torn,
};

/// One kind.
pub(in crate::tests) struct Kind {
    /// What is said of it when its test fails.
    pub(in crate::tests) name: &'static str,
    /// What makes the version bad.
    pub(super) fault: Fault,
    /// How many of its boots come as far as the kernel's first line.
    pub(super) boots: usize,
    /// When it hangs: the last that the console says, and what it then does not say. Somebody presses the reset button, as often
    /// as it has tries.
    pub(super) hangs: Option<(&'static str, &'static str)>,
    /// What the history says.
    pub(super) reason: &'static str,
}

const fn kind(name: &'static str, fault: Fault, boots: usize, reason: &'static str) -> Kind {
    Kind {
        name,
        fault,
        boots,
        hangs: None,
        reason,
    }
}

const fn hanging(
    name: &'static str,
    fault: Fault,
    boots: usize,
    last: (&'static str, &'static str),
) -> Kind {
    Kind {
        name,
        fault,
        boots,
        hangs: Some(last),
        reason: TRIES,
    }
}

/// The boot loader's last words, and the kernel's first.
const KERNEL_HANGS: (&str, &str) = ("RancherOS 0.", "Linux version");
/// The kernel's last words before PID 1, and PID 1's first.
const INIT_HANGS: (&str, &str) = ("Run /init as init process", "init: ");

const TRIES: &str = "none of its tries ended in a system that could be kept";
const NOT_LOADED: &str = "its kernel could not be loaded";

use Fault::{File, Init, Layer, Service};

/// What happens before there is a system.
#[rustfmt::skip] // a table
pub(super) const EARLY: &[Kind] = &[
    kind("a kernel that is none", File(KERNEL, junk), 0, NOT_LOADED),
    kind("a kernel whose second half is zeros", File(KERNEL, torn), 0, TRIES),
    hanging("a kernel that hangs", File(KERNEL, hang_kernel), 0, KERNEL_HANGS),
    kind("half an initrd", File(INITRD, half), 3, TRIES),
    kind("an initrd that is none", File(INITRD, junk), 3, TRIES),
    kind("PID 1 exits", Init(Program::Exits), 3, TRIES),
    kind("PID 1 aborts", Init(Program::Aborts), 3, TRIES),
    hanging("PID 1 hangs at once", Init(Program::Hangs), 3, INIT_HANGS),
    kind("a layer that is not a file system", Layer("base", headless), 1, TRIES),
];

/// What the gate finds, or PID 1 when there is no gate.
#[rustfmt::skip] // a table
pub(super) const LATE: &[Kind] = &[
    kind("a layer with a hole", Layer("docker", hollow), 1, ""),
    kind("a service that loops", Service("ntp", "exit 1"), 1, "services: service ntp"),
    kind("an engine that answers nobody", Service("docker", "rm -f /run/system-docker.sock; exec sleep 100000"), 1, "services: "),
    kind("a clock in 1970", Service("ntp", "date -s '1970-01-02 00:00'; exec sleep 100000"), 1, "clock: "),
    kind("no network", Service("network", "case \"$*\" in *netconf*) exec sleep 100000;; esac; exec \"$@\""), 1, "network: there was a default route"),
    kind("a state that cannot be written", Service("udev", "mkdir /tmp/state && mount -t ext4 /dev/vda8 /tmp/state && mount -o remount,abort /tmp/state; exec \"$@\""), 1, ""), // the console's files are on it, too: PID 1 or the gate notices first
    kind("a console that never comes", Service("console", "exec sleep 100000"), 1, TRIES),
];

/// User Docker.
#[rustfmt::skip] // a table
pub(super) const DOCKER: &[Kind] = &[
    kind("dockerd is not there", Service("docker", "rm /usr/lib/rancher/docker/bin/dockerd; exec \"$@\""), 1, "service"),
    kind("dockerd crashes", Service("docker", "printf '#!/bin/sh\\nkill -SEGV $$\\n' >/usr/lib/rancher/docker/bin/dockerd; exec \"$@\""), 1, "service"),
    kind("dockerd hangs", Service("docker", "printf '#!/bin/sh\\nexec sleep 100000\\n' >/usr/lib/rancher/docker/bin/dockerd; exec \"$@\""), 1, "docker: "),
    kind("runc starts nothing", Service("docker", "printf '#!/bin/sh\\nexit 1\\n' >/usr/lib/rancher/docker/bin/runc; exec \"$@\""), 1, "container"),
    kind("a shim that is not there", Service("docker", "rm /usr/lib/rancher/docker/bin/containerd-shim-runc-v2; exec \"$@\""), 1, "container"),
    kind("published ports lead nowhere", Service("docker", "iptables -w -I OUTPUT -o docker0 -p tcp --dport 80 -j REJECT; exec \"$@\""), 1, "canary: the published port"),
];

/// All that are booted.
pub(in crate::tests) fn all() -> impl Iterator<Item = &'static Kind> {
    EARLY.iter().chain(LATE).chain(DOCKER)
}

/// One of each stage, for every run.
pub(super) const SHORT: &[&str] = &[
    "a kernel that is none",
    "PID 1 aborts",
    "published ports lead nowhere",
];
