//! A boot that tries a version, on a machine whose owner and whose network do not stand still.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use libtest_mimic::Trial;
use serde_json::json;

use super::install::{DISK_BYTES, blank_disk, install_on, reboot};
use crate::context::{Context, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        long(
            context,
            "trial_is_not_failed_by_what_its_owner_did_and_is_left_by_rollback",
            owner,
        ),
        long(context, "trial_waits_for_a_cable_that_is_out", cable_is_out),
    ]
}

const UPGRADE: &str = "sudo ros os upgrade -i /dev/sr0 -f --no-reboot";
const WEB: &str = "docker run -d --restart always --name web busybox sleep 1000000";
/// Seconds that a version has to pass its checks.
const TIMEOUT: u64 = 120;

fn start(context: &Context, name: &str) -> anyhow::Result<(super::install::Disk, Guest)> {
    let disk = blank_disk(DISK_BYTES)?;
    let config = format!("rancher: {{upgrade: {{timeout: {TIMEOUT}}}}}");
    install_on(
        &context.artifacts,
        &format!("{name}-install"),
        &disk.path,
        &config,
    )?;
    let iso = context.artifacts.iso.clone();
    let guest = Machine::new(name, Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .disc_behind_scsi(&iso)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    Ok((disk, guest))
}

fn is_kept(guest: &Guest, slot: u32) -> anyhow::Result<()> {
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list; sudo ros os history")?;
    // The same version lies in all slots, and may have been rejected in another one
    let is_it =
        |line: &str| line.contains(&format!("slot {slot} good")) && line.ends_with("running");
    ensure!(list.lines().any(is_it), "it was not kept: {list}");
    Ok(())
}

fn owner(context: &Context) -> anyhow::Result<()> {
    let (_disk, guest) = start(context, "trial-owner")?;
    guest.run(WEB)?;
    guest.run("docker run -d --restart always --name goes busybox sleep 1000000")?;
    guest.run(UPGRADE)?;
    for command in ["commit", "rollback -f"] {
        guest.refuses(&format!("sudo ros os {command}"), 2, "was not started yet")?;
    }
    guest.refuses(UPGRADE, 2, "ros os cancel")?;

    // The order is given; now one container is made again, one goes, and one more comes
    guest.run(&format!("docker rm -f web goes && {WEB}"))?;
    guest.run("docker run -d --restart always --name new busybox sleep 1000000")?;
    reboot(&guest, 1)?;
    is_kept(&guest, 5)?;
    guest.run("test \"$(docker inspect -f '{{.State.Running}}' web new | sort -u)\" = true")?;
    let noted = guest.run("sudo cat /run/rancher/os/facts.json")?;
    ensure!(
        noted.contains("\"new\"") && !noted.contains("\"goes\""),
        "noted at the order, not before the boot: {noted}"
    );

    // Nothing of the system's own may be missed by who cleans up, and a version that is tried is left by rollback
    guest
        .run("docker rm -f web new && docker system prune -af && ! docker image inspect busybox")?;
    guest.run("sudo ros config set rancher.upgrade.checks '[\"test -e /run/go\"]'")?;
    guest.run(UPGRADE)?;
    reboot(&guest, 1)?;
    guest.run_until(
        "sudo ros os status | grep -q 'check own checks: .* failed'",
        BOOT_DEADLINE,
    )?;
    let status = guest.run("sudo ros os status --format json")?;
    ensure!(status.contains("\"trial\""), "not a trial: {status}");
    guest.run("sudo ros os rollback -f --no-reboot")?;
    guest.run("sudo ros os history | tail -n 1 | grep -q 'rejected, by hand'")?;
    reboot(&guest, 1)?;
    is_kept(&guest, 5)?;

    guest.run(UPGRADE)?;
    reboot(&guest, 1)?;
    guest.run("sudo touch /run/go")?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    let list = guest.run("sudo ros os list; sudo ros os history | tail -n 1")?;
    ensure!(
        list.contains("committed"),
        "without busybox a good version was not kept: {list}"
    );
    guest.check()
}

/// Longer than the version has for its checks: there is no event to wait for.
const DARK: Duration = Duration::from_secs(TIMEOUT + 60);

fn cable_is_out(context: &Context) -> anyhow::Result<()> {
    let (_disk, mut guest) = start(context, "trial-cable")?;
    guest.run(UPGRADE)?;
    let mark = guest.reboot()?;
    guest
        .qmp
        .run("set_link", json!({"name": "net", "up": false}))?;
    guest
        .console
        .wait_after(mark, "waits: network: no link has a carrier", BOOT_DEADLINE)?;
    std::thread::sleep(DARK);
    let text = guest.console.text();
    ensure!(
        text[mark..].matches("Linux version").count() == 1 && !text[mark..].contains("given up"),
        "an outage was held against the version"
    );
    guest
        .qmp
        .run("set_link", json!({"name": "net", "up": true}))?;
    guest.wait_ready_after(mark)?;
    is_kept(&guest, 5)?;
    guest.check()
}
