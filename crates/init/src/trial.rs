//! A boot that tries a new version: what PID 1 itself does about it.
//!
//! `ros os gate` in the console judges the version. Here is what catches a version whose console or gate never comes: when the
//! deadline passes and the boot records still say that it is tried, its other tries are taken from it, since they would end as
//! this one, and the machine reboots into the version before.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use install::{BLOCK_BYTES, Records, Role, Slot, Step};

use crate::installed::{Installed, Reader};
use crate::log;

/// balenaOS's figure for a whole update; the gate itself gives up after 10 min.
const DEADLINE: Duration = Duration::from_secs(900);
/// What the gate has at the least for its last round of checks when `rancher.upgrade.timeout` has passed: each of the commands in it
/// has its own deadline.
const LEAST_SLACK: Duration = Duration::from_secs(120);
/// Made by the gate for a version that came by kexec and has passed: a boot through the firmware decides.
const PASSED: &str = "/run/rancher/upgrade-passed";
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

/// Returns when the deadline has passed and the version is still only tried, which then has no try left; never when it was
/// judged. `timeout` is `rancher.upgrade.timeout`, in seconds.
pub(crate) async fn overdue(command_line: String, timeout: Option<i64>) {
    let Some(installed) = Installed::named_by(&command_line).filter(|_| is_one(&command_line))
    else {
        return std::future::pending().await;
    };
    let deadline = deadline(timeout);
    tokio::time::sleep(deadline).await;
    if !Path::new(PASSED).exists() && is_undecided(&installed) {
        log::error(&format!(
            "upgrade: nobody has judged slot {} for {} s: rebooting into the version before",
            installed.slot,
            deadline.as_secs()
        ));
        if let Err(error) = spend(&installed) {
            log::error(&format!("upgrade: {error:#}: it is tried again"));
        }
        return;
    }
    std::future::pending().await
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
    Ok(Records::read(&mut Reader::open(&node(installed)?)?, 0)?)
}

/// Takes its other tries from the version that runs.
fn spend(installed: &Installed) -> anyhow::Result<()> {
    let steps = install::spend(&read(installed)?)?;
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
