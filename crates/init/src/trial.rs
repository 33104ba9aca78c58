//! A boot that tries a new version: what PID 1 itself does about it.
//!
//! `ros os gate` in the console judges the version. Here is what catches a version whose console or gate never comes: when the
//! deadline passes and the boot records still say that it is tried, the machine reboots. GRUB has counted the try; after the
//! last one it boots the version before.

use std::path::Path;
use std::time::Duration;

use install::{Disk, Records, Role, Slot};

use crate::installed::{Installed, Reader};
use crate::log;

/// balenaOS's figure for a whole update; the gate itself gives up after 10 min.
pub(crate) const DEADLINE: Duration = Duration::from_secs(900);
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

/// Returns when the deadline has passed and the version is still only tried; never when it was judged.
pub(crate) async fn overdue(command_line: String) {
    let Some(installed) = Installed::named_by(&command_line).filter(|_| is_one(&command_line))
    else {
        return std::future::pending().await;
    };
    tokio::time::sleep(DEADLINE).await;
    if !Path::new(PASSED).exists() && is_undecided(&installed) {
        log::error(&format!(
            "upgrade: nobody has judged slot {} for {} s: rebooting",
            installed.slot,
            DEADLINE.as_secs()
        ));
        return;
    }
    std::future::pending().await
}

/// Whether the records still name the running slot as the one to be tried. Records that cannot be read decide nothing: the
/// reboot would not change that.
fn is_undecided(installed: &Installed) -> bool {
    let read = || -> anyhow::Result<Option<Slot>> {
        let node = installed
            .partition(Role::BootState)
            .ok_or_else(|| anyhow::anyhow!("the partition with the boot records is gone"))?;
        let records = read_records(&mut Reader::open(&node)?)?;
        Ok(records.choice().and_then(|choice| choice.next))
    };
    match read() {
        Ok(next) => next == Some(installed.slot),
        Err(error) => {
            log::error(&format!("upgrade: {error:#}"));
            false
        }
    }
}

fn read_records(disk: &mut impl Disk) -> anyhow::Result<Records> {
    Ok(Records::read(disk, 0)?)
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
}
