//! An installed disk behind every controller that a firmware starts from, and one whose counter of tries cannot be written.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::install::{blank_disk, install_on};
use crate::context::{Context, long};
use crate::guest::BOOT_DEADLINE;
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        long(
            context,
            "firmware_starts_the_disk_behind_every_controller",
            every_controller,
        ),
        long(
            context,
            "firmware_that_cannot_count_a_try_boots_the_good_version",
            tries_cannot_be_written,
        ),
    ]
}

/// A card has a power of two.
const DISK_BYTES: u64 = 4 << 30;

/// A way to a disk: what the rows of `install_disk_starts_with_bios_and_uefi_and_keeps_state` do not have.
struct Row {
    name: &'static str,
    /// Device of QEMU for the controller, where the machine has none.
    controller: Option<&'static str>,
    device: &'static str,
    firmware: Firmware,
    /// How Linux calls the partition of the state.
    state: &'static str,
}

#[rustfmt::skip] // a table
const ROWS: [Row; 7] = [
    Row { name: "nvme-bios", controller: None, device: "nvme,serial=install", firmware: Firmware::Bios, state: "/dev/nvme0n1p8" },
    Row { name: "ahci-uefi", controller: None, device: "ide-hd", firmware: Firmware::Uefi, state: "/dev/sda8" },
    Row { name: "usb-uefi", controller: None, device: "usb-storage", firmware: Firmware::Uefi, state: "/dev/sda8" },
    Row { name: "scsi-bios", controller: Some("virtio-scsi-pci"), device: "scsi-hd", firmware: Firmware::Bios, state: "/dev/sda8" },
    Row { name: "scsi-uefi", controller: Some("virtio-scsi-pci"), device: "scsi-hd", firmware: Firmware::Uefi, state: "/dev/sda8" },
    Row { name: "sata-cdrom-bios", controller: Some("ich9-ahci,id=second"), device: "ide-hd,bus=second.0", firmware: Firmware::Bios, state: "/dev/sda8" },
    Row { name: "mmc-bios", controller: Some("sdhci-pci"), device: "sd-card", firmware: Firmware::Bios, state: "/dev/mmcblk0p8" },
];

fn every_controller(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "firmware-install", &disk.path, "")?;
    for row in &ROWS {
        starts_behind(context, row, &disk.path).with_context(|| row.name.to_owned())?;
    }
    Ok(())
}

fn starts_behind(context: &Context, row: &Row, disk: &Path) -> anyhow::Result<()> {
    let mut machine = Machine::new(row.name, Boot::Disk).firmware(row.firmware);
    if let Some(controller) = row.controller {
        machine = machine.arguments(&["-device", controller]);
    }
    let mut guest = machine
        .disk_behind(disk, row.device)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    let slot = guest.run("tr ' ' '\\n' < /proc/cmdline | grep rancher.slot")?;
    ensure!(slot == "rancher.slot=4", "booted from {slot}");
    let state = guest.run("findmnt -n -o SOURCE -T /home")?;
    ensure!(state.starts_with(row.state), "/home is on {state}");
    // What one controller has written the next one reads
    guest.run(&format!("echo {} >> ~/rows", row.name))?;
    let rows = guest.run("cat ~/rows")?;
    ensure!(rows.starts_with(ROWS[0].name), "the state has {rows:?}");
    guest.check()?;
    guest.press_power()?;
    guest.wait_off()
}

/// The sector with the tries: behind RANCHER_BIOS and RANCHER_ESP, at byte 28672 of the partition of records (crates/install,
/// `layout.rs` and `records.rs`).
const TRIES_SECTOR: u64 = ((1 + 2 + 288) << 20) / 512 + 28_672 / 512;

/// QEMU's blkdebug (docs/devel/blkdebug.rst): writes of one sector give EIO.
fn without_tries(image: &Path) -> String {
    serde_json::json!({
        "node-name": "counting",
        "driver": "raw",
        "file": {
            "driver": "blkdebug",
            "inject-error": [{
                "event": "none", "iotype": "write", "errno": 5, "once": false, "sector": TRIES_SECTOR,
            }],
            "image": {"driver": "file", "filename": image},
        },
    })
    .to_string()
}

/// The boot loader does not make a try that it cannot count: the machine would never come back from a version that hangs.
fn tries_cannot_be_written(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "tries-install", &disk.path, "")?;
    let iso = context.artifacts.iso.clone();
    let mut guest = Machine::new("tries-arm", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .disc_behind_scsi(&iso)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.run("sudo ros os upgrade -i /dev/sr0 -f --no-reboot")?;
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);

    for (name, firmware) in [
        ("tries-bios", Firmware::Bios),
        ("tries-uefi", Firmware::Uefi),
    ] {
        // A copy for each: the boot takes the order back
        let copy = blank_disk(DISK_BYTES)?;
        duct::cmd!("cp", "--sparse=always", &disk.path, &copy.path)
            .run()
            .context("cannot copy a disk")?;
        let mut guest = Machine::new(name, Boot::Disk)
            .firmware(firmware)
            .arguments(&["-blockdev", &without_tries(&copy.path)])
            .arguments(&["-device", "virtio-blk-pci,drive=counting"])
            .start(&context.artifacts)?;
        guest.allow("I/O error");
        guest.allow("failure writing sector");
        guest.wait_ready()?;
        let line = guest.run("cat /proc/cmdline")?;
        ensure!(
            line.contains("rancher.slot=4"),
            "{name}: not the good version: {line}"
        );
        ensure!(line.contains(".0.readonly"), "{name}: {line}");
        guest.run_until(
            "sudo ros os history | grep -q 'rejected, its try could not be written down'",
            BOOT_DEADLINE,
        )?;
        let list = guest.run("sudo ros os list")?;
        // The same version lies in both slots, and so is rejected in both
        let runs = |line: &str| line.contains("slot 4 good") && line.ends_with("running");
        ensure!(list.lines().any(runs), "{name}: {list}");
        guest.press_power()?;
        guest.wait_off()?;
    }
    Ok(())
}
