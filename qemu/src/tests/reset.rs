//! `ros reset` forgets what it says, at the next boot; and a machine whose state is gone lets its owner in.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::install::{DISK_BYTES, blank_disk, install_on, start};
use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest, OFF_DEADLINE};
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "reset_forgets_what_it_says_at_the_next_boot",
            forgets_what_it_says,
        ),
        alone(
            context,
            "reset_of_a_lost_state_disk_lets_its_owner_in",
            lost_state_lets_its_owner_in,
        ),
    ]
}

fn after_reboot(guest: &Guest, command: &str) -> anyhow::Result<()> {
    let mark = guest.console.mark();
    // The connection ends with the machine.
    let _ = guest.ssh.answer(command);
    guest
        .console
        .wait_after(mark, "Linux version", OFF_DEADLINE)?;
    guest.wait_ready_after(mark)
}

/// What is left, a word each.
const LEFT: &str = "cat ~/note 2>/dev/null; docker volume ls -q; sudo ros config get rancher.environment.KEPT 2>/dev/null; sudo ls -A /var/lib/rancher/.trash 2>/dev/null; true";

fn forgets_what_it_says(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let guest = Machine::new("reset", Boot::Kernel)
        .state_disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("echo note > ~/note; docker volume create kept >/dev/null; sudo ros config set rancher.environment.KEPT set; sync")?;
    let left = guest.run(LEFT)?;
    ensure!(left == "note\nkept\nset", "before: {left:?}");

    let asked = guest.ssh.answer("sudo ros reset containers </dev/null")?;
    ensure!(
        asked.code != 0 && asked.stdout.contains("1 volumes"),
        "without a question: {asked:?}"
    );
    guest.run("sudo ros reset everything -f --no-reboot && sudo ros reset --cancel")?;
    guest.run("sudo ros reset containers -f --no-reboot")?;
    after_reboot(&guest, "sudo reboot")?;
    guest.wait_docker()?;
    guest.run_until("! sudo test -e /var/lib/rancher/.trash", BOOT_DEADLINE)?;
    let left = guest.run(LEFT)?;
    ensure!(left == "note\nset", "after containers: {left:?}");

    after_reboot(&guest, "sudo ros reset everything -f")?;
    guest.wait_docker()?;
    guest.run_until("! sudo test -e /var/lib/rancher/.trash", BOOT_DEADLINE)?;
    let left = guest.run(LEFT)?;
    ensure!(
        !left.contains("note") && !left.contains("set"),
        "after everything: {left:?}"
    );
    guest.check()
}

/// First byte of the state partition of a disk of [`DISK_BYTES`] (crates/install/src/layout.rs).
const STATE_START: u64 = (1 + 2 + 288 + 1 + 3 * 64 + 768) << 20;

fn lost_state_lets_its_owner_in(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "lost-install", &disk.path, "")?;
    let boot = |name| start(context, name, &disk.path, "virtio-blk-pci", Firmware::Bios);
    let mut guest = boot("lost-before")?;
    guest.run_until("sudo test -s /run/rancher/os/access.yml", BOOT_DEADLINE)?;
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);
    std::fs::File::options()
        .write(true)
        .open(&disk.path)
        .and_then(|file| file.write_all_at(&vec![0; 8 << 20], STATE_START))
        .context("cannot damage the disk")?;

    let guest = boot("lost-after")?;
    let state = guest.run("ros status | grep ^state")?;
    ensure!(state.contains("in RAM"), "{state}");
    ensure!(
        guest.run("hostname")? == "installed",
        "the name is not that of the last boot"
    );
    guest.wait_docker()
}
