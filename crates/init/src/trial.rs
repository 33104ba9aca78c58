//! A boot that tries a new version: what PID 1 itself does about it.
//!
//! `ros os gate` in the console judges the version. Here is what catches a version whose console or gate never comes: when the
//! deadline passes and the boot records still say that it is tried, its other tries are taken from it, since they would end as
//! this one, and the machine reboots into the version before. The same holds for a boot that ends in the rescue shell.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use install::{BLOCK_BYTES, Records, Role, Slot, Step};
use sys::clock;

use crate::installed::{self, Installed};
use crate::log;

/// balenaOS's figure for a whole update; the gate itself gives up after 10 min.
const DEADLINE: Duration = Duration::from_secs(900);
/// What the gate has at the least for its last round of checks when `rancher.upgrade.timeout` has passed: each of the commands in it
/// has its own deadline.
const LEAST_SLACK: Duration = Duration::from_secs(120);
/// Made by the gate for a version that came by kexec and has passed: a boot through the firmware decides.
const PASSED: &str = "/run/rancher/upgrade-passed";
/// Written by the gate again and again while a cable is out: the seconds since the kernel's start. It waits for somebody to notice.
const WAITS: &str = "/run/rancher/upgrade-waits";
/// What it says is believed so long: a round of checks has deadlines of some minutes.
const WAITS_FRESH: Duration = Duration::from_secs(600);
/// And no longer than this after the deadline: the gate itself gives up before.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 3600);
/// Pause between two looks at it.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// Longest wait for a disk that has to be written before a reboot.
const SPEND_LIMIT: Duration = Duration::from_secs(10);
/// In a try nobody may be there to type: the rescue shell waits this long before the reboot.
pub(crate) const RESCUE_PAUSE: Duration = Duration::from_secs(30);

/// Whether the boot loader counts this boot as a try: `rancher.boot=ID.TRY.WHY`.
pub(crate) fn is_one(command_line: &str) -> bool {
    let words = command_line.split_ascii_whitespace();
    let boot = words
        .rev()
        .find_map(|word| word.strip_prefix("rancher.boot="));
    let attempt = boot.and_then(|boot| boot.split('.').nth(1));
    attempt
        .and_then(|number| number.parse::<u32>().ok())
        .is_some_and(|number| number > 0)
}

/// How long a version may stay unjudged when the gate has `timeout` seconds.
fn deadline(timeout: Option<i64>) -> Duration {
    let given = timeout.and_then(|seconds| u64::try_from(seconds).ok());
    given.map_or(DEADLINE, |seconds| {
        let timeout = Duration::from_secs(seconds);
        timeout.saturating_add(LEAST_SLACK.max(timeout / 2))
    })
}

/// When a version that this boot tries has to be judged, counted from the kernel's start: a program that takes over from this one goes
/// by the same. `timeout` is `rancher.upgrade.timeout`, in seconds.
pub(crate) fn end(timeout: Option<i64>) -> Duration {
    clock::boottime() + deadline(timeout)
}

/// Returns when `end` has passed and the version is still only tried, which then has no try left; never when it was
/// judged.
pub(crate) async fn overdue(command_line: String, end: Duration) {
    let Some(installed) = Installed::named_by(&command_line).filter(|_| is_one(&command_line))
    else {
        return std::future::pending().await;
    };
    tokio::time::sleep(end.saturating_sub(clock::boottime())).await;
    while waits(clock::boottime(), end, fs::read_to_string(WAITS).ok()) {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if !Path::new(PASSED).exists() && is_undecided(&installed) {
        log::error(&format!(
            "upgrade: nobody has judged slot {} in {} s: rebooting into the version before",
            installed.slot,
            clock::boottime().as_secs()
        ));
        if let Err(error) = spend(&installed) {
            log::error(&format!("upgrade: {error:#}: it is tried again"));
        }
        return;
    }
    std::future::pending().await
}

/// Whether the gate waits for a cable, by what it has `said`.
fn waits(now: Duration, end: Duration, said: Option<String>) -> bool {
    let said: Option<u64> = said.and_then(|text| text.trim().parse().ok());
    said.is_some_and(|seconds| {
        now.saturating_sub(Duration::from_secs(seconds)) < WAITS_FRESH && now < end + LONGEST_WAIT
    })
}

/// Takes its other tries from a version whose boot has failed in PID 1: they would end as this one. A disk that does not answer is not
/// waited for.
pub(crate) fn give_up(command_line: &str) {
    let Some(installed) = Installed::named_by(command_line) else {
        return;
    };
    let (sender, receiver) = mpsc::channel();
    let spawned = std::thread::Builder::new()
        .name("give up".to_owned())
        .spawn(move || sender.send(spend(&installed)));
    let done = match spawned {
        Ok(_) => match receiver.recv_timeout(SPEND_LIMIT) {
            Ok(done) => done,
            Err(_) => Err(anyhow::anyhow!("the disk does not answer")),
        },
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => {
            log::error("upgrade: it has no other try: the next boot starts the version before");
        }
        Err(error) => log::error(&format!("upgrade: {error:#}: it is tried again")),
    }
}

/// Whether the records have the next boot try another version than the one that runs.
pub(crate) fn tries_another(installed: &Installed) -> bool {
    let next = read(installed)
        .ok()
        .and_then(|records| records.choice()?.next);
    next.is_some_and(|next| next != installed.slot)
}

/// Whether the records still name the running slot as the one to be tried. Records that cannot be read decide nothing: the
/// reboot would not change that.
fn is_undecided(installed: &Installed) -> bool {
    match read(installed) {
        Ok(records) => {
            let next: Option<Slot> = records.choice().and_then(|choice| choice.next);
            next == Some(installed.slot)
        }
        Err(error) => {
            log::error(&format!("upgrade: {error:#}"));
            false
        }
    }
}

fn node(installed: &Installed) -> anyhow::Result<std::path::PathBuf> {
    installed
        .partition(Role::BootState)
        .context("the partition with the boot records is gone")
}

fn read(installed: &Installed) -> anyhow::Result<Records> {
    Ok(Records::read(&mut installed::open(&node(installed)?)?, 0)?)
}

/// Takes its other tries from the version that runs.
fn spend(installed: &Installed) -> anyhow::Result<()> {
    let records = read(installed)?;
    let next = records.choice().and_then(|choice| choice.next);
    anyhow::ensure!(
        next == Some(installed.slot),
        "the boot records do not say that slot {} is tried",
        installed.slot
    );
    let steps = install::spend(&records)?;
    let node = node(installed)?;
    let context = || format!("cannot write {}", node.display());
    let file = File::options()
        .write(true)
        .open(&node)
        .with_context(context)?;
    write(&file, &steps).with_context(context)
}

/// Writes records, each on the disk before the next.
fn write(file: &File, steps: &[Step]) -> std::io::Result<()> {
    for step in steps {
        let mut block = [0; BLOCK_BYTES];
        block[..step.block.len()].copy_from_slice(&step.block);
        file.write_all_at(&block, step.which.offset())?;
        file.sync_data()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_counted_boot_is_a_try() {
        for (line, wanted) in [
            ("rancher.slot=5 rancher.boot=00000007.1.ok", true),
            ("rancher.slot=5 rancher.boot=00000007.3.mirror", true),
            ("rancher.slot=4 rancher.boot=00000007.0.exhausted", false),
            ("rancher.slot=4 rancher.boot=.0.lost", false),
            ("rancher.boot=", false),
            ("", false),
        ] {
            assert_eq!(is_one(line), wanted, "{line}");
        }
    }

    #[test]
    fn pid_1_waits_longer_than_the_gate() {
        for (timeout, seconds) in [
            (None, 900),
            (Some(600), 900),
            (Some(60), 180),
            (Some(-1), 900),
        ] {
            assert_eq!(deadline(timeout).as_secs(), seconds, "{timeout:?}");
        }
    }

    #[test]
    fn a_gate_that_waits_for_a_cable_is_waited_for() {
        let hour = 3600;
        for (now, said, expected) in [
            (900, None, false),
            (900, Some("890"), true),
            (900, Some("890\n"), true),
            (1500, Some("890"), false),
            (900, Some("soon"), false),
            (6 * hour, Some("21590"), true),
            (8 * hour, Some("28790"), false),
        ] {
            let seconds = Duration::from_secs;
            let said = said.map(str::to_owned);
            let waits = waits(seconds(now), seconds(900), said.clone());
            assert_eq!(waits, expected, "{said:?} at {now}");
        }
    }

    #[test]
    fn a_version_that_nobody_judges_has_no_try_left() {
        let mut records = install::install(Slot::A);
        for step in install::arm(&records, Slot::B).unwrap() {
            records.set(step.which, step.block);
        }
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &install::envelope(&records).unwrap()).unwrap();
        assert!(install::choose(&records, true).attempt > 0);
        write(&file, &install::spend(&records).unwrap()).unwrap();
        let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let records = Records::read(&mut install::Memory(bytes), 0).unwrap();
        let decision = install::choose(&records, true);
        assert_eq!(
            (decision.attempt, decision.why, decision.slot()),
            (0, install::Why::Exhausted, Slot::A)
        );
    }
}
