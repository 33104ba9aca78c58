//! The watchdog: a PID 1 that hangs costs a reset, and in a try of a new version a try.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use super::install::{DISK_BYTES, blank_disk, install_on, reboot};
use crate::context::{Context, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![long(
        context,
        "watchdog_resets_a_machine_whose_pid_1_hangs_and_a_try_is_lost",
        hangs_cost_tries,
    )]
}

/// Seconds: the least that PID 1 takes.
const TIMEOUT: u32 = 45;
/// SIGSTOP does not reach PID 1; its control group can be frozen.
const HANG: &str = "sudo nsenter -t 1 -C sh -c 'mount -t cgroup2 none /mnt && mkdir /mnt/hang && echo 1 >/mnt/hang/cgroup.procs && echo 1 >/mnt/hang/cgroup.freeze'";

fn hangs_cost_tries(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    // The check keeps the judgement open until the test has had PID 1 hang
    let config =
        format!("rancher: {{watchdog: {TIMEOUT}, upgrade: {{checks: [test -e /run/judge]}}}}");
    install_on(&context.artifacts, "watchdog-install", &disk.path, &config)?;
    let iso = context.artifacts.iso.clone();
    let guest = Machine::new("watchdog", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .disc_behind_scsi(&iso)
        .arguments(&["-device", "i6300esb"])
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest
        .console
        .wait("init: watchdog: i6300ESB", BOOT_DEADLINE)?;

    // A program that takes over feeds it
    guest.run("sudo system-docker engine upgrade")?;
    guest.run_until(
        "sudo ls -l /proc/1/fd | grep -q /dev/watchdog",
        BOOT_DEADLINE,
    )?;
    let mark = guest.console.mark();
    let end = format!("$(($(cut -d. -f1 /proc/uptime) + {TIMEOUT} + 15))");
    let uptime = guest.run(&format!("echo {end}"))?;
    guest.run_until(
        &format!("test $(cut -d. -f1 /proc/uptime) -ge {uptime}"),
        BOOT_DEADLINE,
    )?;
    ensure!(
        !guest.console.text()[mark..].contains("Linux version"),
        "the machine was reset though PID 1 ran"
    );

    hang(&guest)?;

    guest.run("sudo ros os upgrade -i /dev/sr0 -f --no-reboot")?;
    reboot(&guest, 1)?;
    for attempt in 1..=3 {
        let line = guest.run("cat /proc/cmdline")?;
        ensure!(
            line.contains("rancher.slot=5") && line.contains(&format!(".{attempt}.")),
            "try {attempt} has {line}"
        );
        hang(&guest)?;
    }
    guest.run_until(
        "sudo ros os history | grep -q 'rejected, none of its tries'",
        BOOT_DEADLINE,
    )?;
    let list = guest.run("sudo ros os list")?;
    // Both slots hold the same version: "rejected" stands at both.
    let runs = |slot: &str| {
        list.lines()
            .any(|line| line.contains(slot) && line.ends_with("running"))
    };
    ensure!(
        runs("slot 4 good") && !runs("slot 5"),
        "after three hangs: {list}"
    );
    guest.check()
}

/// Has PID 1 hang, and waits for the next boot.
fn hang(guest: &Guest) -> anyhow::Result<()> {
    let mark = guest.console.mark();
    // The connection may end with the machine.
    let _ = guest.ssh.answer(HANG);
    guest
        .console
        .wait_after(mark, "Linux version", BOOT_DEADLINE)?;
    guest.wait_ready_after(mark)
}
