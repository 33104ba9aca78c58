//! The menu of an installed disk, which a key brings up while the machine starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use libtest_mimic::Trial;

use super::install::{DISK_BYTES, blank_disk, install_on};
use crate::context::{Context, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Firmware, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![long(
        context,
        "boot_menu_starts_without_the_state_and_the_recovery_console",
        starts_without_the_state_and_the_recovery_console,
    )]
}

/// Brings the menu up; in the menu itself it does nothing.
const ESCAPE: &str = "\u{1b}";
/// The next entry (grub.info, "The menu interface").
const NEXT: &str = "\u{e}";
const ENTER: &str = "\r";
/// The entries stand in this order (iso/boot.cfg): the version, and once more for the one slot that has one.
const RECOVERY: usize = 2;
const WITHOUT_STATE: usize = 3;
/// A part of the last entry's title.
const SHOWN: &str = "without its state";

/// Chooses an entry, on a machine that starts: its output after `mark` has no menu yet.
fn choose(guest: &Guest, mark: usize, entry: usize) -> anyhow::Result<()> {
    let end = Instant::now() + BOOT_DEADLINE;
    loop {
        guest.console.type_keys(ESCAPE)?;
        // A key is waited for only during a second that no output announces
        let soon = Duration::from_millis(200);
        if guest.console.wait_after(mark, SHOWN, soon).is_ok() {
            break;
        }
        if Instant::now() > end {
            bail!("no menu\n{}", guest.console.tail());
        }
    }
    for _ in 0..entry {
        guest.console.type_keys(NEXT)?;
    }
    guest.console.type_keys(ENTER)
}

fn starts_without_the_state_and_the_recovery_console(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "menu-install", &disk.path, "")?;
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let guest = Machine::new("menu", Boot::Disk)
            .firmware(firmware)
            .disk_behind(&disk.path, "virtio-blk-pci")
            .start(&context.artifacts)?;
        // Once as always: the keys of this boot are those that the next one has without its state
        guest.wait_ready()?;
        guest.run("findmnt -n /state && echo mine > note")?;
        let mark = restart(&guest);
        choose(&guest, mark, WITHOUT_STATE)?;
        guest.wait_ready_after(mark)?;
        guest.run("! findmnt -n /state && test ! -e note")?;
        let line = guest.run("cat /proc/cmdline")?;
        ensure!(line.contains("rancher.state.dev=none"), "{line}");
        let mark = restart(&guest);
        choose(&guest, mark, RECOVERY)?;
        guest.console.wait_after(mark, "rescue#", BOOT_DEADLINE)?;
        guest.types("echo rescued-$((40 + 7))", "rescued-47")?;
        // Nobody has to choose to come back
        let mark = guest.console.mark();
        guest.console.type_line("exit")?;
        guest.wait_ready_after(mark)?;
        guest.run("grep -q mine note")?;
        guest.check()?;
    }
    Ok(())
}

/// Where the output of the next boot begins.
fn restart(guest: &Guest) -> usize {
    let mark = guest.console.mark();
    // The connection ends with the machine.
    let _ = guest.ssh.answer("sudo reboot");
    mark
}
