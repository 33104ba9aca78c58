//! `ros install`: a disk that starts by itself, under both firmwares and behind every controller.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::artifacts::Artifacts;
use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest, READY};
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "install_disk_starts_with_bios_and_uefi_keeps_state_and_grows",
            starts_with_both_firmwares,
        ),
        alone(
            context,
            "install_refuses_what_would_lose_data_and_fits_in_256_mb",
            refuses_what_would_lose_data,
        ),
        alone(
            context,
            "install_upgrade_is_tried_and_kept_or_comes_back",
            upgrade_is_tried_and_kept_or_comes_back,
        ),
        alone(
            context,
            "install_4kn_disk_without_a_person",
            unattended_on_a_4kn_disk,
        ),
    ]
}

/// Sparse, so it costs what is written.
pub(crate) const DISK_BYTES: u64 = 3 << 30;

/// A disk of NVMe with sectors of 4096 bytes only.
const NVME_4KN: &str = "nvme,serial=install,logical_block_size=4096,physical_block_size=4096";

pub(crate) struct Disk {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

pub(crate) fn blank_disk(bytes: u64) -> anyhow::Result<Disk> {
    let folder = tempfile::tempdir().context("cannot make a folder for a disk")?;
    let path = folder.path().join("disk");
    File::create(&path)
        .and_then(|file| file.set_len(bytes))
        .context("cannot make a disk")?;
    Ok(Disk {
        path,
        _folder: folder,
    })
}

/// Writes the cloud-config that lets the test in, in the guest.
pub(super) fn write_cloud_config(context: &Context, guest: &Guest) -> anyhow::Result<()> {
    write_key(&context.artifacts, guest)
}

fn write_key(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<()> {
    let key = &artifacts.key.public;
    guest
        .run(&format!(
            "printf 'hostname: installed\\nssh_authorized_keys:\\n- %s\\n' '{key}' > /tmp/cloud-config.yml"
        ))
        .map(drop)
}

/// Installs the version under test on a disk; `more` is a line of its cloud-config, without single quotes.
pub(crate) fn install_on(
    artifacts: &Artifacts,
    name: &str,
    disk: &Path,
    more: &str,
) -> anyhow::Result<()> {
    let mut guest = Machine::new(name, Boot::Kernel)
        .in_ram()
        .disk(disk)
        .start(artifacts)?;
    guest.wait_ready()?;
    write_key(artifacts, &guest)?;
    guest.run(&format!("echo '{more}' >> /tmp/cloud-config.yml"))?;
    guest.run(
        "sudo ros install -d /dev/vda -c /tmp/cloud-config.yml -a 'loglevel=8 rancher.debug=true' -f --no-reboot",
    )?;
    guest.press_power()?;
    guest.wait_off()
}

/// The installed disk in a separate machine, without any medium.
pub(super) fn start(
    context: &Context,
    name: &str,
    disk: &Path,
    device: &str,
    firmware: Firmware,
) -> anyhow::Result<Guest> {
    let guest = Machine::new(name, Boot::Disk)
        .firmware(firmware)
        .disk_behind(disk, device)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    Ok(guest)
}

fn starts_with_both_firmwares(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    let mut guest = Machine::new("install", Boot::Kernel)
        .in_ram()
        .disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    write_cloud_config(context, &guest)?;
    let said = guest.run(
        "sudo ros install -d /dev/vda -c /tmp/cloud-config.yml -a 'loglevel=8 rancher.debug=true' -f --no-reboot",
    )?;
    ensure!(
        said.contains("the disk is empty") && said.contains("copying: 100 %"),
        "ros install said: {said}"
    );
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);

    let mut guest = start(
        context,
        "installed-bios",
        &disk.path,
        "virtio-blk-pci",
        Firmware::Bios,
    )?;
    ensure!(
        guest.run("hostname")? == "installed",
        "the cloud-config is not there"
    );
    guest.wait_docker()?;
    ensure!(
        guest.run("docker run --rm busybox echo hello")? == "hello",
        "no container"
    );
    let slot = guest.run("tr ' ' '\\n' < /proc/cmdline | grep rancher.slot")?;
    ensure!(slot == "rancher.slot=4", "booted from {slot}");
    let state = guest.run("findmnt -n -o SOURCE -T /home")?;
    ensure!(state.starts_with("/dev/vda8"), "/home is on {state}");
    guest.run("echo mine > ~/note")?;
    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    ensure!(guest.run("cat ~/note")? == "mine", "the state was lost");
    guest.press_power()?;
    guest.wait_off()?;
    drop(guest);

    enlarge(&disk, DISK_BYTES + (2 << 30))?;
    for (name, device, firmware) in [
        ("installed-uefi", "virtio-blk-pci", Firmware::Uefi),
        ("installed-ahci", "ide-hd", Firmware::Bios),
        ("installed-nvme", "nvme,serial=install", Firmware::Uefi),
        ("installed-usb", "usb-storage", Firmware::Bios),
    ] {
        let mut guest =
            start(context, name, &disk.path, device, firmware).with_context(|| name.to_owned())?;
        ensure!(
            guest.run("cat ~/note")? == "mine",
            "{name}: the state was lost"
        );
        has_grown(&guest, name == "installed-uefi").with_context(|| name.to_owned())?;
        guest.press_power()?;
        guest.wait_off()?;
    }
    Ok(())
}

/// As a cloud or `qemu-img resize` does it with the machine off.
pub(super) fn enlarge(disk: &Disk, bytes: u64) -> anyhow::Result<()> {
    let file = File::options().write(true).open(&disk.path);
    file.and_then(|file| file.set_len(bytes))
        .context("cannot enlarge the disk")
}

/// The state has the room of the larger disk; only the first boot changes anything for it.
fn has_grown(guest: &Guest, is_first: bool) -> anyhow::Result<()> {
    let size = guest.run("findmnt -n -b -o SIZE -T /home")?;
    let size: u64 = size.trim().parse().with_context(|| size.clone())?;
    ensure!(size > 3 << 30, "the state has {size} bytes");
    let said =
        guest.run("sudo dmesg | grep -c 'its disk became larger\\|fills its partition' || true")?;
    let expected = if is_first { "2" } else { "0" };
    ensure!(
        said == expected,
        "{said} lines about growing, not {expected}"
    );
    Ok(())
}

fn refuses_what_would_lose_data(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    let state = blank_disk(1 << 30)?;
    let photos = blank_disk(DISK_BYTES)?;
    for (path, label) in [(&state.path, "RANCHER_STATE"), (&photos.path, "PHOTOS")] {
        duct::cmd!("mke2fs", "-q", "-t", "ext4", "-L", label, path)
            .run()
            .context("mke2fs")?;
    }
    let guest = Machine::new("install-refuses", Boot::Kernel)
        .in_ram()
        .memory_mib(256)
        .disk(&state.path)
        .disk(&photos.path)
        .disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    for (arguments, code, words) in [
        ("", 1, "can not proceed without -d"),
        ("-d /dev/vdz", 1, "there is no disk /dev/vdz"),
        ("-d /dev/vda", 2, "is mounted on"),
        ("-d /dev/vdb", 2, "\"PHOTOS\""),
        ("-d /dev/sr0 -f", 2, "/dev/sr0"),
        ("-d /dev/vdc -t noformat", 2, "no state partition"),
        ("-d /dev/vdc -t raid", 2, "rancher.state.dev"),
        ("-d /dev/vdc -k", 2, "through the firmware"),
        ("-p /dev/vdc", 2, "name the disk by -d"),
        ("-d /dev/vdc -t bogus", 1, "unexpected install type bogus"),
        ("-d /dev/vdc -c /no/such/file", 1, "cannot read"),
        ("-d /dev/vdc -i /no/such.iso", 1, "is not an ISO file"),
    ] {
        let command = format!("sudo ros install {arguments} --no-reboot");
        guest.refuses(&command, code, words)?;
    }
    guest.run("echo 'hostname: [a]' > /tmp/bad.yml")?;
    let bad = "sudo ros install -d /dev/vdc -c /tmp/bad.yml --no-reboot";
    guest.refuses(bad, 1, "nothing was changed")?;
    // A database that nobody knows, without a table
    guest.run("echo data | sudo dd of=/dev/vdc bs=1 seek=700000 conv=notrunc,fsync status=none")?;
    let unknown = "sudo ros install -d /dev/vdc --no-reboot";
    guest.refuses(unknown, 2, "data of an unknown kind")?;
    guest.refuses("sudo ros install -d smallest --no-reboot", 2, "empty")?;
    guest.run("sudo dd if=/dev/zero of=/dev/vdc bs=1M count=1 conv=notrunc,fsync status=none")?;
    // The state is too small and in use, the photos are data
    let said = guest.run("sudo ros install -d smallest --debug --no-reboot 2>&1")?;
    for words in [
        "nobody will be able to log in",
        "is installed on /dev/vdc",
        "read back and whole",
    ] {
        ensure!(said.contains(words), "no {words:?}: {said}");
    }
    guest.check()
}

fn unattended_on_a_4kn_disk(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    let mut guest = Machine::new("install-4kn", Boot::Kernel)
        .in_ram()
        .parameters("rancher.install.device=serial:install rancher.install.append=\"loglevel=8 rancher.debug=true\"")
        .disk_behind(&disk.path, NVME_4KN)
        .reset_ends()
        .start(&context.artifacts)?;
    guest
        .console
        .wait("is installed on /dev/nvme0n1", BOOT_DEADLINE)?;
    guest.wait_reset()?;
    drop(guest);
    enlarge(&disk, DISK_BYTES + (2 << 30))?;
    let mut guest = Machine::new("installed-4kn", Boot::Disk)
        .firmware(Firmware::Uefi)
        .disk_behind(&disk.path, NVME_4KN)
        .start(&context.artifacts)?;
    guest.console.wait(READY, BOOT_DEADLINE)?;
    guest.console.wait(
        "state: /dev/nvme0n1p8 now fills its partition",
        BOOT_DEADLINE,
    )?;
    guest
        .console
        .wait("media: slot 4 of /dev/nvme0n1p7", BOOT_DEADLINE)?;
    guest.press_power()?;
    guest.wait_off()
}

/// Reboots, and waits for the boot that stays: a version that fails reboots by itself before it is ready.
pub(crate) fn reboot(guest: &Guest, starts: usize) -> anyhow::Result<()> {
    let mut mark = guest.console.mark();
    // The connection ends with the machine.
    let _ = guest.ssh.answer("sudo reboot");
    for _ in 0..starts {
        guest
            .console
            .wait_after(mark, "Linux version", BOOT_DEADLINE)?;
        mark = guest.console.mark();
    }
    guest.wait_ready_after(mark)
}

fn upgrade_is_tried_and_kept_or_comes_back(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "upgrade-install", &disk.path, "")?;

    let iso = context.artifacts.iso.clone();
    let mut guest = Machine::new("upgrade-slots", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .disc_behind_scsi(&iso)
        .start(&context.artifacts)?;
    guest.allow("Kernel panic");
    guest.wait_ready()?;
    let refused = guest
        .ssh
        .answer("sudo ros os upgrade -i /dev/sr0 --no-reboot")?;
    ensure!(
        refused.code == 2 && refused.stderr.contains("already at version"),
        "the same version: {refused:?}"
    );
    let status = |guest: &Guest| guest.run("sudo ros os status --format json");

    // One that works is kept, and only after Docker has run a container
    guest.run("sudo ros os upgrade -i /dev/sr0 -f --no-reboot")?;
    ensure!(status(&guest)?.contains("\"armed\""), "not armed");
    reboot(&guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list")?;
    ensure!(
        list.contains("slot 5 good running") && list.contains("slot 4 previous"),
        "after an upgrade: {list}"
    );

    // One that panics is given up after three tries
    guest.run("sudo ros os upgrade -i /dev/sr0 -f --no-reboot --append rdinit=/none")?;
    reboot(&guest, 4)?;
    guest.run_until(
        "sudo ros os history | grep -q 'rejected, none of its tries'",
        BOOT_DEADLINE,
    )?;
    let list = guest.run("sudo ros os list")?;
    ensure!(list.contains("slot 5 good"), "after three panics: {list}");

    // One whose boot PID 1 itself cannot finish has one try, not three
    guest.run("sudo ros os upgrade -i /dev/sr0 -f --no-reboot --append 'rancher.state.dev=LABEL=NOWHERE rancher.state.required=true'")?;
    reboot(&guest, 2)?;
    guest.run_until(
        "sudo ros os history | tail -n 1 | grep -q 'rejected, none of its tries'",
        BOOT_DEADLINE,
    )?;

    // One whose kernel cannot be loaded is given up at once
    guest.run("sudo ros os upgrade -i /dev/sr0 -f --no-reboot")?;
    guest.run("sudo dd if=/dev/zero of=/dev/vda6 bs=1M seek=0 count=2 conv=notrunc && sync")?;
    reboot(&guest, 1)?;
    guest.run_until(
        "sudo ros os history | grep -q 'rejected, its kernel'",
        BOOT_DEADLINE,
    )?;

    // Back to the one before, which has to prove itself, too
    guest.run("sudo ros os rollback -f --no-reboot")?;
    reboot(&guest, 1)?;
    guest.run_until(
        "sudo ros os list | grep -q 'slot 4 good running'",
        BOOT_DEADLINE,
    )?;
    guest.check()
}
