//! State inside of something else: LUKS, LVM, an md array. Each disk is made by a machine with the tools of the media.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, long};
use crate::disk::Disk;
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        long(
            context,
            "state_on_luks_opens_by_passphrase_or_key_file_or_boots_without",
            on_luks,
        ),
        long(context, "state_on_lvm_is_kept", on_lvm),
        long(
            context,
            "state_on_a_mirror_is_kept_and_outlives_a_disk",
            on_a_mirror,
        ),
    ]
}

const PASSPHRASE: &str = "open sesame";
/// What cryptsetup says before it reads a passphrase.
const PROMPT: &str = "Enter passphrase for /dev/vda";
/// What PID 1 says when one fits.
const UNLOCKED: &str = "/dev/vda is unlocked";
/// A passphrase is waited for 60 s.
const NOBODY: Duration = Duration::from_secs(200);

/// A machine in RAM with these disks.
fn machine(
    context: &Context,
    name: &str,
    disks: &[&Path],
    parameters: &str,
) -> anyhow::Result<Guest> {
    let machine = Machine::new(name, Boot::Kernel)
        .in_ram()
        .parameters(parameters);
    let machine = disks
        .iter()
        .fold(machine, |machine, disk| machine.disk(disk));
    machine.start(&context.artifacts)
}

/// Boots a machine in which `commands` make disks, one a line: the shell goes on after one that fails before a `&&`.
/// `storage` runs a program of the image.
fn make(context: &Context, name: &str, disks: &[&Path], commands: &str) -> anyhow::Result<()> {
    let mut guest = machine(context, name, disks, "")?;
    guest.wait_ready()?;
    let script = format!(
        "set -ex; image=$(system-docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | grep os-storage | head -n 1)\n\
         storage() {{ system-docker run --rm -i --privileged --net host -v /dev:/dev -v /run:/keys $image \"$@\"; }}\n{commands}\nsync"
    );
    guest.run(&format!(
        "cat >/tmp/make <<'END'\n{script}\nEND\nsudo sh /tmp/make </dev/null 2>&1"
    ))?;
    guest.press_power()?;
    guest.wait_off()
}

/// Fails when /home is not on a device whose path begins so.
fn is_on(guest: &Guest, device: &str) -> anyhow::Result<()> {
    let source = guest.run("findmnt -n -o SOURCE -T /home")?;
    ensure!(source.starts_with(device), "/home is on {source}");
    Ok(())
}

/// The kernel's first words of the boot after a reboot.
fn reboot(guest: &Guest) -> anyhow::Result<usize> {
    guest.reboot()
}

fn kept(guest: &Guest) -> anyhow::Result<()> {
    ensure!(guest.run("cat ~/note")? == "mine", "the note is lost");
    guest.check()
}

/// Types a line at a prompt until it has an effect: what arrives just after the prompt is thrown away by cryptsetup, which
/// switches the echo off then.
fn types_until(guest: &Guest, mark: usize, line: &str, words: &str) -> anyhow::Result<()> {
    const TYPINGS: usize = 8;
    const LISTEN: Duration = Duration::from_secs(20);
    for _ in 1..TYPINGS {
        guest.console.type_line(line)?;
        if guest.console.wait_after(mark, words, LISTEN).is_ok() {
            return Ok(());
        }
    }
    guest.console.type_line(line)?;
    guest.console.wait_after(mark, words, BOOT_DEADLINE)
}

fn on_luks(context: &Context) -> anyhow::Result<()> {
    let (disk, keys) = (Disk::blank()?, Disk::ext4("KEYS", &[])?);
    keys.write("/state.key", b"not a line\0 of text")?;
    // Argon2 as everybody has it, with less work: the machine is emulated, and small.
    let format = format!(
        "mount LABEL=KEYS /mnt\ncp /mnt/state.key /run/\numount /mnt\n\
         printf \"{PASSPHRASE}\" | storage cryptsetup luksFormat --type luks2 --label RANCHER_STATE --pbkdf-memory 32768 --pbkdf-parallel 1 --pbkdf-force-iterations 4 --batch-mode /dev/vda -\n\
         printf \"{PASSPHRASE}\" | storage cryptsetup luksAddKey --pbkdf-memory 32768 --pbkdf-parallel 1 --pbkdf-force-iterations 4 --key-file - /dev/vda /keys/state.key\n\
         printf \"{PASSPHRASE}\" | storage cryptsetup open --key-file - /dev/vda inside\n\
         mke2fs -q -t ext4 -L RANCHER_STATE /dev/mapper/inside\n\
         storage cryptsetup close inside"
    );
    make(context, "luks-made", &[&disk.path, &keys.path], &format)?;

    let guest = machine(context, "luks", &[&disk.path], "")?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    types_until(
        &guest,
        0,
        "a guess",
        "No key available with this passphrase",
    )?;
    types_until(&guest, 0, PASSPHRASE, UNLOCKED)?;
    guest.wait_ready()?;
    is_on(&guest, "/dev/dm-")?;
    guest.run("test -b /dev/mapper/luks-*")?;
    guest.run("echo mine > ~/note")?;
    let mark = reboot(&guest)?;
    guest.console.wait_after(mark, PROMPT, BOOT_DEADLINE)?;
    types_until(&guest, mark, PASSPHRASE, UNLOCKED)?;
    guest.wait_ready_after(mark)?;
    kept(&guest)?;
    drop(guest);

    let key = "rancher.state.key_file=LABEL=KEYS:/state.key";
    let guest = machine(context, "luks-key", &[&disk.path, &keys.path], key)?;
    guest.wait_ready()?;
    kept(&guest)?;
    ensure!(
        !guest.console.text().contains(PROMPT),
        "it asks although a key fits"
    );
    drop(guest);

    let guest = machine(context, "luks-nobody", &[&disk.path], "")?;
    guest
        .console
        .wait("/dev/vda stays locked", NOBODY)
        .context("nobody types")?;
    guest.wait_ready()?;
    let problems = guest.run("sudo ros status --problems")?;
    ensure!(problems.contains("/dev/vda stays locked"), "{problems}");
    guest.check()
}

fn on_lvm(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::blank()?;
    let format = "storage lvm pvcreate /dev/vda\n\
                  storage lvm vgcreate machine /dev/vda\n\
                  storage lvm lvcreate -y -l 50%FREE -n other machine\n\
                  storage lvm lvcreate -y -l 100%FREE -n state machine\n\
                  mke2fs -q -t ext4 -L RANCHER_STATE /dev/machine/state\n\
                  storage lvm vgchange -an machine";
    make(context, "lvm-made", &[&disk.path], format)?;
    let guest = machine(context, "lvm", &[&disk.path], "")?;
    guest.wait_ready()?;
    is_on(&guest, "/dev/dm-")?;
    guest.run("test -b /dev/mapper/machine-state && test -b /dev/machine/other")?;
    guest.run("echo mine > ~/note")?;
    let mark = reboot(&guest)?;
    guest.wait_ready_after(mark)?;
    kept(&guest)?;
    drop(guest);
    // By its name; and not at all.
    let named = "rancher.state.dev=/dev/machine/state";
    let guest = machine(context, "lvm-named", &[&disk.path], named)?;
    guest.wait_ready()?;
    kept(&guest)?;
    drop(guest);
    let never = "rancher.state.lvm_scan=false";
    let guest = machine(context, "lvm-never", &[&disk.path], never)?;
    guest.wait_ready()?;
    guest.run("! test -e /dev/mapper/machine-state && ! test -e ~/note")?;
    guest.check()
}

fn on_a_mirror(context: &Context) -> anyhow::Result<()> {
    let disks = [Disk::blank()?, Disk::blank()?];
    let [one, two] = disks.each_ref().map(|disk| disk.path.as_path());
    // With this metadata each disk begins as the file system on it.
    let format = "storage mdadm --create /dev/md/state --run --level=1 --raid-devices=2 --metadata=1.0 --assume-clean /dev/vda /dev/vdb\n\
                  mke2fs -q -t ext4 -L RANCHER_STATE /dev/md127\n\
                  storage mdadm --stop /dev/md127";
    make(context, "md-made", &[one, two], format)?;
    let guest = machine(context, "md", &[one, two], "")?;
    guest.wait_ready()?;
    is_on(&guest, "/dev/md")?;
    guest.run("echo mine > ~/note")?;
    let mark = reboot(&guest)?;
    guest.wait_ready_after(mark)?;
    kept(&guest)?;
    let problems = guest.run("sudo ros status --problems")?;
    ensure!(!problems.contains("/dev/md"), "{problems}");
    let mut guest = guest;
    guest.press_power()?;
    guest.wait_off()?;

    let guest = machine(context, "md-one", &[two], "")?;
    guest.wait_ready()?;
    is_on(&guest, "/dev/md")?;
    kept(&guest)?;
    let problems = guest.run("sudo ros status --problems")?;
    ensure!(
        problems.contains("runs without all of its disks"),
        "{problems}"
    );
    Ok(())
}
