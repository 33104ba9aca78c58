//! `cargo xtask crash-test --installed`: power cuts of an installed machine while versions are staged, ordered, kept, given up and
//! pruned. Everything that it writes to its disk is recorded. In each state that a power cut can leave, the slot that the boot loader
//! takes is whole, as is the good one behind it; both file systems are whole again after their journals; and an order that
//! was given, or taken back, holds. A sample of the states is booted.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use install::{Layout, Slot};
use serde_json::json;

use super::log::{Entry, Log};
use super::states::{self, State};
use super::{Base, copy, number, slots, words};
use crate::artifacts::Artifacts;
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};
use crate::second_version::SecondVersion;
use crate::tests::install::{DISK_BYTES, blank_disk, install_on, reboot};

/// States that are looked at, and of them booted, unless the arguments say otherwise.
const STATES: usize = 150;
const BOOTS: usize = 5;

/// The versions that the records may name: the good one, and the one that is to be tried.
pub(super) type Order = (Slot, Option<Slot>);

/// What held when a command had returned.
struct Step {
    /// Operations in the log by then.
    at: usize,
    order: Order,
}

/// Runs it; the arguments are the number of states and of boots.
///
/// # Errors
/// When a state is bad, or a machine does not come up.
pub(crate) fn run(artifacts: &Artifacts, arguments: &[String]) -> anyhow::Result<()> {
    let (wanted, boots) = (number(arguments, 0, STATES)?, number(arguments, 1, BOOTS)?);
    let disk = blank_disk(DISK_BYTES)?;
    install_on(artifacts, "crash-install", &disk.path, "")?;
    let layout = Layout::plan(DISK_BYTES, 512, true)?;
    let folder = tempfile::tempdir().context("cannot make a folder for disks")?;
    let (before, lived) = (folder.path().join("before"), folder.path().join("lived"));
    copy(&disk.path, &before)?;
    copy(&disk.path, &lived)?;
    let log = Log::new(folder.path())?;
    let steps = live(artifacts, &log, &lived)?;
    log.check()?;
    let entries = log.entries()?;
    let flushes = entries.iter().filter(|entry| **entry == Entry::Flush);
    eprintln!(
        "crash: {} operations on the disk, {} of them flushes",
        entries.len(),
        flushes.count()
    );
    a_wrong_order_is_noticed(&log, &entries, &steps, &before, &layout)?;
    let step = (wanted / boots.max(1)).max(1);
    let mut base = Base::new(&log, &entries, before);
    let mut booted = 0;
    for (index, state) in states::spread(&entries, 0, wanted).iter().enumerate() {
        let image = folder.path().join("state");
        base.make(state, &image)?;
        let mut tried = slots::check(&image, &layout, &allowed(&steps, state.cut));
        if tried.is_ok() && boots > 0 && index % step == step - 1 {
            booted += 1;
            eprintln!("crash: {} states, {booted} are booted", index + 1);
            tried = boot(artifacts, &image, booted).context("booted");
        }
        if let Err(error) = tried {
            let bad = artifacts.log("crash", "installed");
            base.make(state, &bad)?;
            bail!("{} ({}): {error:#}", bad.display(), words(state));
        }
    }
    println!(
        "{wanted} states after a power cut of an installed machine that changes versions, none bad; {booted} of them were booted"
    );
    Ok(())
}

/// Two upgrades, the second of which is given up, and what is around them; the machine is killed at the end.
fn live(artifacts: &Artifacts, log: &Log, disk: &Path) -> anyhow::Result<Vec<Step>> {
    let version = |label: &'static str| {
        SecondVersion::changed(&artifacts.iso, |tree| {
            tree.configure("ntp", |config| config["Labels"] = json!({"crash": label}))
        })
    };
    let (one, two) = (version("one")?, version("two")?);
    let arguments = log.arguments(disk);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let guest = Machine::new("crash-installed", Boot::Disk)
        .arguments(&arguments)
        .disc_behind_scsi(&one.path)
        .disc_behind_scsi(&two.path)
        .start(artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("docker run -d --restart always --name web busybox sleep 1000000")?;
    let (a, b, c) = (Slot::A, Slot::B, Slot::C);
    let mut steps = Vec::new();
    let mut holds = |order: Order| -> anyhow::Result<()> {
        let at = log.entries()?.len();
        steps.push(Step { at, order });
        Ok(())
    };
    let discs = guest.run(
        "for disc in /dev/sr*; do blkid -o value -s LABEL $disc >/dev/null && echo $disc; done",
    )?;
    let discs: Vec<&str> = discs.lines().collect();
    let [first, second] = discs[..] else {
        bail!("not two discs: {discs:?}");
    };
    holds((a, None))?;
    guest.run(&format!("sudo ros os upgrade -f -i {first} --stage"))?;
    holds((a, None))?;
    guest.run("sudo ros os upgrade -f --no-reboot")?;
    holds((a, Some(b)))?;
    reboot(&guest, 1)?;
    guest.run_until(IDLE, BOOT_DEADLINE)?;
    holds((b, None))?;
    guest.run("sudo ros config set rancher.upgrade.checks '[\"test -e /run/go\"]'")?;
    guest.run(&format!("sudo ros os upgrade -f -i {second} --no-reboot"))?;
    holds((b, Some(c)))?;
    guest.run("sudo ros os cancel")?;
    holds((b, None))?;
    guest.run(&format!("sudo ros os upgrade -f -i {second} --no-reboot"))?;
    holds((b, Some(c)))?;
    reboot(&guest, 1)?;
    guest.run("sudo ros os rollback -f --no-reboot")?;
    holds((b, None))?;
    reboot(&guest, 1)?;
    // Into the slot of the version before, whose layers go
    guest.run(&format!("sudo ros os upgrade -f -i {second} --stage"))?;
    holds((b, None))?;
    Ok(steps)
}

const IDLE: &str = "sudo ros os status | grep -q 'state: idle'";

/// What the records may say after a cut: what the last command before it has left, or what the next one will.
fn allowed(steps: &[Step], cut: usize) -> Vec<Order> {
    let made = steps.iter().rposition(|step| step.at <= cut);
    let first = made.unwrap_or(0);
    let last = made.map_or(0, |made| made + 1);
    let range = steps.get(first..=last.min(steps.len().saturating_sub(1)));
    range
        .unwrap_or_default()
        .iter()
        .map(|step| step.order)
        .collect()
}

/// A disk that has written the first order before what is to be started: were there no flush in between, it could.
fn a_wrong_order_is_noticed(
    log: &Log,
    entries: &[Entry],
    steps: &[Step],
    before: &Path,
    layout: &Layout,
) -> anyhow::Result<()> {
    let order = steps.iter().find(|step| step.order.1.is_some());
    let cut = order.context("nothing was ordered")?.at;
    let records = layout.get(install::Role::BootState)?;
    let is_record = |index: &usize| match entries.get(*index) {
        Some(Entry::Write { to, .. }) => (records.start..records.start + records.size).contains(to),
        _ => false,
    };
    let state = State {
        flushed: 0,
        lucky: (0..cut).filter(is_record).collect(),
        cut,
    };
    let folder = tempfile::tempdir().context("cannot make a folder for a disk")?;
    let image = folder.path().join("state");
    let mut base = Base::new(log, entries, before.to_owned());
    base.make(&state, &image)?;
    let checked = slots::check(&image, layout, &allowed(steps, cut));
    ensure!(
        checked.is_err(),
        "an order without its version is not noticed"
    );
    Ok(())
}

/// The machine comes up by itself, on a whole version, with what it had.
fn boot(artifacts: &Artifacts, image: &Path, number: usize) -> anyhow::Result<()> {
    let guest: Guest = Machine::new(&format!("crash-installed-{number}"), Boot::Disk)
        .disk_behind(image, "virtio-blk-pci,bootindex=1")
        .start(artifacts)?;
    guest.wait_ready()?;
    // A version that the checks of the owner hold is decided by them
    guest.run("sudo touch /run/go")?;
    guest.run_until(IDLE, BOOT_DEADLINE)?;
    guest.run("test $(sudo ros os list | grep -c 'good running') = 1 && sudo ros os verify")?;
    guest.run("sudo ros config set rancher.environment.AFTER later")?;
    guest.run_until(
        "test \"$(docker inspect -f '{{.State.Running}}' web)\" = true",
        BOOT_DEADLINE,
    )?;
    guest.check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_from_its_command_to_the_end_of_the_next() {
        let (a, b) = (Slot::A, Slot::B);
        let step = |at, order| Step { at, order };
        let steps = [
            step(10, (a, None)),
            step(20, (a, Some(b))),
            step(30, (b, None)),
        ];
        assert_eq!(allowed(&steps, 5), [(a, None)]);
        assert_eq!(allowed(&steps, 10), [(a, None), (a, Some(b))]);
        assert_eq!(allowed(&steps, 29), [(a, Some(b)), (b, None)]);
        assert_eq!(allowed(&steps, 31), [(b, None)]);
    }
}
