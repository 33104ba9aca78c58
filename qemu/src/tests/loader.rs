//! A version with another GRUB: the disk gets it once the version is kept, and starts by either firmware.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use serde_json::{Value, json};

use super::install::{DISK_BYTES, blank_disk, install_on, reboot, start};
use super::os_image::MANIFEST;
use crate::context::{Context, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::Firmware;
use crate::registry::{self, Documents, Registry};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![long(
        context,
        "upgrade_with_another_grub_puts_it_on_the_disk",
        another_grub,
    )]
}

/// The version in the registry.
const TAG: &str = "v9.5.0";
const UEFI: &str = "BOOTX64.EFI";
/// Behind what is run: other bytes, and the same GRUB. Zeros would be the padding of a sector, which does not make another one.
const TAIL: [u8; 512] = [0x5a; 512];

/// Adds the version to `documents`, with other parts of GRUB than those of the one that has the tag `built`.
fn add_version(documents: &mut Documents) -> anyhow::Result<()> {
    let manifest = registry::file(documents, "built", MANIFEST)?;
    let mut manifest: Value = serde_json::from_slice(&manifest)?;
    manifest["version"] = json!(TAG.trim_start_matches('v'));
    let parts = manifest["loader"].as_array_mut().context("no GRUB")?;
    let mut from = "built";
    for part in parts {
        let name = part["path"].as_str().unwrap_or_default().to_owned();
        if name != "core.img" && name != UEFI {
            continue;
        }
        let path = format!("dist/loader/{name}");
        let mut content = registry::file(documents, "built", &path)?;
        content.extend(TAIL);
        part["size"] = json!(content.len());
        let digest = registry::digest(&content);
        part["sha256"] = json!(digest.trim_start_matches("sha256:"));
        registry::with_file(documents, from, (&path, &content), TAG)?;
        from = TAG;
    }
    let manifest = serde_json::to_vec(&manifest)?;
    registry::with_file(documents, TAG, (MANIFEST, &manifest), TAG)
}

/// SHA-256 of files on the EFI system partition.
fn programs(guest: &Guest) -> anyhow::Result<Vec<String>> {
    let sums = guest.run(
        "sudo sh -c 'mount -o ro /dev/vda2 /tmp && cd /tmp/EFI/BOOT && sha256sum BOOTX64.*; cd /; umount /tmp' | sort -k2",
    )?;
    Ok(sums.lines().map(str::to_owned).collect())
}

fn another_grub(context: &Context) -> anyhow::Result<()> {
    let mut documents = registry::of_layout(&context.artifacts.os_image()?, "built")?;
    let built = registry::file(&documents, "built", &format!("dist/loader/{UEFI}"))?;
    add_version(&mut documents)?;
    let next = registry::file(&documents, TAG, &format!("dist/loader/{UEFI}"))?;
    let registry = Registry::start(documents)?;
    let host = format!("10.0.2.2:{}", registry.port);
    let disk = blank_disk(DISK_BYTES)?;
    let config = format!("rancher: {{docker: {{insecure_registry: [\"{host}\"]}}}}");
    install_on(&context.artifacts, "grub-install", &disk.path, &config)?;

    let boots = |name, firmware| start(context, name, &disk.path, "virtio-blk-pci", firmware);
    let mut guest = boots("grub-upgrade", Firmware::Bios)?;
    guest.wait_docker()?;
    guest.run(&format!(
        "sudo ros os upgrade --insecure --no-reboot {host}/os:{TAG}"
    ))?;
    let line = |content: &[u8], name: &str| {
        let digest = registry::digest(content);
        format!("{}  {name}", digest.trim_start_matches("sha256:"))
    };
    let there = programs(&guest)?;
    ensure!(
        there == [line(&built, UEFI)],
        "before the version is kept the EFI system partition has {there:?}"
    );
    reboot(&guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    guest.run_until(
        "sudo dmesg | grep -q 'GRUB for BIOS and UEFI was updated'",
        BOOT_DEADLINE,
    )?;
    let there = programs(&guest)?;
    ensure!(
        there == [line(&next, UEFI), line(&built, "BOOTX64.OLD")],
        "the EFI system partition has {there:?}"
    );
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);
    for (name, firmware) in [("grub-bios", Firmware::Bios), ("grub-uefi", Firmware::Uefi)] {
        let mut guest = boots(name, firmware)?;
        guest.run("grep -q rancher.slot=5 /proc/cmdline")?;
        // Nothing is left to do
        guest.run("! sudo dmesg | grep -q 'GRUB for' && ! ros status --problems | grep GRUB")?;
        guest.press_power()?;
        guest.wait_off()?;
    }
    Ok(())
}
