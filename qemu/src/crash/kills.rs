//! `cargo xtask crash-test --vm`: an installed machine whose QEMU is killed at any moment of an upgrade, again and again. It comes up
//! by itself each time, on one of the two versions and with all of both, with the container and the settings that it had.
//!
//! What the disk had not confirmed is not lost here, since the host keeps it: that is what [`super::states`] is for.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::number;
use crate::artifacts::Artifacts;
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};
use crate::second_version::SecondVersion;
use crate::tests::install::{DISK_BYTES, blank_disk, install_on};

/// Kills, unless the argument says otherwise.
const KILLS: usize = 200;
/// A version that was being tried is kept, or given up, by then: three tries.
const DECIDED: Duration = Duration::from_secs(900);
/// Where the moments of the kills begin; each is the hash of its number and this.
const SEED: u64 = 0x5eed;

/// The disks that have the two versions.
const MEDIA: [&str; 2] = ["/dev/vdb", "/dev/vdc"];

/// Runs it; the arguments are the number of kills, and the number of the first one.
///
/// # Errors
/// When a machine does not come up, or has lost something.
pub(crate) fn run(artifacts: &Artifacts, arguments: &[String]) -> anyhow::Result<()> {
    let (kills, from) = (number(arguments, 0, KILLS)?, number(arguments, 1, 0)?);
    let disk = blank_disk(DISK_BYTES)?;
    install_on(artifacts, "kills-install", &disk.path, "")?;
    let version = |label: &'static str| {
        SecondVersion::changed(&artifacts.iso, |tree| {
            tree.configure("ntp", |config| config["Labels"] = json!({"kills": label}))
        })
    };
    let versions = [version("one")?, version("two")?];
    let boot = || start(artifacts, &disk.path, &versions);

    // An upgrade that nobody disturbs says how long there is something to disturb
    let guest = boot()?;
    guest.wait_docker()?;
    guest.run("docker run -d --restart always --name web busybox sleep 1000000 && sudo ros config set rancher.environment.KEPT kept")?;
    let begin = Instant::now();
    upgrade(&guest, 0)?;
    let mark = guest.console.mark();
    guest.wait_ready_after(mark)?;
    decided(&guest)?;
    let whole = begin.elapsed();
    ensure!(
        running(&guest)? == Some(0),
        "the version was not kept: nothing to kill"
    );
    drop(guest);
    eprintln!("kills: an upgrade takes {} s", whole.as_secs());

    let mut kept = [0, 0];
    for kill in from..from + kills {
        let guest = boot()?;
        decided(&guest)?;
        let before = healthy(&guest).with_context(|| format!("before kill {kill}"))?;
        kept[before.unwrap_or(0)] += 1;
        upgrade(&guest, 1 - before.unwrap_or(1))?;
        let share = moment(kill);
        std::thread::sleep(whole.mul_f64(share));
        // SIGKILL
        drop(guest);
        eprintln!(
            "kills: {} of {kills}, at {:.0} % of an upgrade",
            kill + 1 - from,
            share * 100.0
        );
    }
    let guest = boot()?;
    decided(&guest)?;
    healthy(&guest).context("after the last kill")?;
    println!(
        "{kills} kills during upgrades, the machine came up by itself after each; it was found {} and {} times with either version",
        kept[0], kept[1]
    );
    guest.check()
}

fn start(
    artifacts: &Artifacts,
    disk: &Path,
    versions: &[SecondVersion; 2],
) -> anyhow::Result<Guest> {
    let guest = Machine::new("kills", Boot::Disk)
        .disk_behind(disk, "virtio-blk-pci,bootindex=1")
        .disk(&versions[0].path)
        .disk(&versions[1].path)
        .start(artifacts)?;
    guest.wait_ready()?;
    Ok(guest)
}

/// Begins an upgrade to one of the two versions, and the reboot into it.
fn upgrade(guest: &Guest, version: usize) -> anyhow::Result<()> {
    let medium = MEDIA[version];
    guest
        .run(&format!(
            "sudo setsid sh -c 'ros os upgrade -f -i {medium} --no-reboot && reboot' >/tmp/upgrade.log 2>&1 </dev/null &"
        ))
        .map(drop)
}

/// Waits until no version is tried any more; a machine may start three times until then.
fn decided(guest: &Guest) -> anyhow::Result<()> {
    guest
        .run_until("sudo ros os status | grep -q 'state: idle'", DECIDED)
        .map(drop)
}

/// All that the machine had is there; returns the version that runs, none for the installed one.
fn healthy(guest: &Guest) -> anyhow::Result<Option<usize>> {
    guest.run("test $(sudo ros os list | grep -c 'good running') = 1")?;
    guest.run("sudo ros os verify")?;
    guest.run("test \"$(sudo ros config get rancher.environment.KEPT)\" = kept")?;
    guest.run_until(
        "test \"$(docker inspect -f '{{.State.Running}}' web)\" = true",
        BOOT_DEADLINE,
    )?;
    running(guest)
}

fn running(guest: &Guest) -> anyhow::Result<Option<usize>> {
    let label = guest.run("system-docker inspect -f '{{index .Config.Labels \"kills\"}}' ntp")?;
    Ok(["one", "two"]
        .into_iter()
        .position(|known| known == label.trim()))
}

/// The share of an upgrade after which kill `number` comes: splitmix64, so that a run can be repeated.
fn moment(number: usize) -> f64 {
    let mut x = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ SEED;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = u32::try_from((x ^ (x >> 31)) >> 32).unwrap_or(0);
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spread_over_an_upgrade() {
        let mut tenths = [0; 10];
        for number in 0..KILLS {
            let share = moment(number);
            assert!((0.0..=1.0).contains(&share));
            tenths[(share * 9.99) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| *count > 5), "{tenths:?}");
    }
}
