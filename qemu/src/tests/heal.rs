//! Damage to the versions on an installed disk: layers are taken again, another version takes the place of one that is not whole, and a
//! file system with errors is checked.

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
        "heal_damaged_versions_on_an_installed_disk",
        damaged_versions,
    )]
}

fn damaged_versions(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "heal-install", &disk.path, "")?;
    let iso = context.artifacts.iso.clone();
    let mut guest = Machine::new("heal", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .disc_behind_scsi(&iso)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    a_layer_is_taken_again(&guest)?;
    another_version_runs(&guest)?;
    errors_are_checked(&guest)?;
    guest.check()?;
    guest.press_power()?;
    guest.wait_off()
}

/// Runs a command while the store of layers can be written, as root.
fn change(guest: &Guest, command: &str) -> anyhow::Result<()> {
    let store = "/run/rancher/os";
    guest
        .run(&format!(
            "sudo sh -c 'mount -o remount,rw {store} && cd {store} && {command} && sync && mount -o remount,ro {store}'"
        ))
        .map(drop)
}

fn a_layer_is_taken_again(guest: &Guest) -> anyhow::Result<()> {
    let layer = "slots/4/rancheros/firmware.squashfs";
    change(
        guest,
        &format!("printf rot | dd of={layer} bs=1 seek=5000 conv=notrunc status=none"),
    )?;
    guest.refuses("sudo ros os verify", 4, "damaged")?;
    let said = guest.run("sudo ros os upgrade -i /dev/sr0 -f --stage 2>&1")?;
    ensure!(
        said.contains("firmware.squashfs is damaged on the disk: it is taken again"),
        "staging said: {said}"
    );
    // In the slot that was staged, and in the one that runs
    let said = guest.run("sudo ros os verify")?;
    for slot in ["slot 4: whole", "slot 5: whole"] {
        ensure!(said.contains(slot), "no {slot:?}: {said}");
    }
    Ok(())
}

fn another_version_runs(guest: &Guest) -> anyhow::Result<()> {
    // What is mounted of them stays open, and a file system with such files does not become read-only
    change(
        guest,
        "mv slots/4/rancheros/layers slots/4/rancheros/elsewhere",
    )?;
    reboot(guest, 1)?;
    let line = guest.run("cat /proc/cmdline")?;
    ensure!(line.contains("rancher.slot=4"), "booted by {line}");
    let problems = guest.run("ros status --problems")?;
    ensure!(
        problems.contains("slot 4 is damaged") && problems.contains("slot 5 runs"),
        "problems: {problems:?}"
    );
    let list = guest.run("sudo ros os list")?;
    ensure!(
        list.contains("slot 4 good"),
        "slot 5 became good without a trial: {list}"
    );
    // The whole version is tried as any other
    guest.run("sudo ros os upgrade -f --no-reboot")?;
    reboot(guest, 1)?;
    guest
        .run_until(
            "sudo ros os list | grep -q 'slot 5 good running'",
            BOOT_DEADLINE,
        )
        .map(drop)
}

fn errors_are_checked(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo tune2fs -E force_fsck /dev/vda7")?;
    guest.refuses(
        "sudo ros os upgrade -i /dev/sr0 -f --stage",
        4,
        "has errors",
    )?;
    reboot(guest, 1)?;
    let problems = guest.run("ros status --problems")?;
    ensure!(
        problems.contains("was marked as damaged"),
        "problems: {problems:?}"
    );
    guest.run("sudo ros os upgrade -i /dev/sr0 -f --stage")?;
    Ok(())
}
