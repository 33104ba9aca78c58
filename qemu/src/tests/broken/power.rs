//! Power cuts, and a reset button that is pressed, while a good version is written, tried and kept.
//!
//! What every single sector that was or was not written means is a matter of `cargo xtask crash-test`; here it is the machine.

use anyhow::ensure;
use serde_json::json;

use super::{BACK_DEADLINE, GOOD, Installed, TRIED, UPGRADE, WEB, installed};
use crate::context::Context;
use crate::guest::BOOT_DEADLINE;
use crate::second_version::SecondVersion;

/// A layer is being written: it has its name only when it is whole.
const IS_WRITING: &str = "ls /run/rancher/os/files | grep -q '[.]part$'";

/// Where a squashfs says when it was made, which nobody reads (Documentation/filesystems/squashfs.rst; include/squashfs_fs.h).
const MADE_AT: std::ops::Range<usize> = 8..12;

pub(super) fn cuts(context: &Context) -> anyhow::Result<()> {
    let disk = installed(context, "broken-power", "")?;
    let mut machine = Installed::start(context, "broken-power", &disk.path)?;
    // A good version, with a large layer that the disk does not have: what differs is when its file system was made
    let version = SecondVersion::changed(&context.artifacts.iso, |tree| {
        tree.configure("ntp", |config| config["Labels"] = json!({"second": "yes"}))?;
        let layer = tree.layer_of("docker")?;
        tree.alter(&layer, |content| content[MADE_AT].fill(1))
    })?;
    machine.offer(&version)?;
    drop(version);

    // No room for it: refused before anything is written
    let fill = "free=$(df -k /run/rancher/os | awk 'NR == 2 {print $4}'); \
        sudo mount -o remount,rw /run/rancher/os && sudo fallocate -l $((free - 2000))K /run/rancher/os/fill";
    machine.guest.run(fill)?;
    machine
        .guest
        .refuses(UPGRADE, 5, "bytes are to be stored")?;
    machine
        .guest
        .run("sudo rm /run/rancher/os/fill && sudo mount -o remount,ro /run/rancher/os")?;

    // While it is written: nothing was decided, and it can be written again
    let start = format!("{UPGRADE} >/tmp/upgrade.log 2>&1 &");
    machine.guest.run(&start)?;
    machine.guest.run_until(IS_WRITING, BOOT_DEADLINE)?;
    let mark = machine.guest.console.mark();
    machine.reset()?;
    machine.wait_back(mark)?;
    ensure!(
        machine.boots_since(mark) == 0,
        "what was half written was tried"
    );

    // At the start of the first try, and in the middle of the second: the third decides
    let mark = machine.try_version()?;
    let mut from = mark;
    for words in [&*format!("rancher.slot={TRIED} "), "init: "] {
        let console = &machine.guest.console;
        console.wait_after(from, "Linux version", BOOT_DEADLINE)?;
        from = console.mark();
        console.wait_after(from, words, BOOT_DEADLINE)?;
        machine.reset()?;
        from = machine.guest.console.mark();
    }
    kept(&machine, mark)?;
    ensure!(
        machine.boots_since(mark) == 3,
        "{} boots in place of three tries",
        machine.boots_since(mark)
    );

    // Once it is kept, it is what every boot starts
    let mark = machine.guest.console.mark();
    machine.reset()?;
    machine
        .guest
        .console
        .wait_after(mark, &format!("rancher.slot={TRIED} "), BACK_DEADLINE)?;
    machine.guest.wait_ready_after(mark)?;
    kept(&machine, mark)?;
    machine.guest.run_until(WEB, BOOT_DEADLINE)?;
    machine.guest.check()
}

/// Waits until the version is the good one.
fn kept(machine: &Installed, mark: usize) -> anyhow::Result<()> {
    let list = format!("sudo ros os list | grep -q 'slot {TRIED} good running'");
    machine.guest.run_until(&list, BACK_DEADLINE)?;
    let text = machine.guest.console.text();
    ensure!(
        !text[mark..].contains(&format!("rancher.slot={GOOD} ")),
        "the version before was started"
    );
    Ok(())
}
