//! The new version is bad, and meanwhile the old one has become so: no loop, and the owner gets in.

use anyhow::ensure;

use super::faults::{Fault, Program};
use super::{BACK_DEADLINE, Installed, UPGRADE, installed};
use crate::context::Context;
use crate::second_version::SecondVersion;

/// Zeros in the largest layer of the version that runs, which has dockerd. What was read of it before is read again after the boot.
const DAMAGE: &str = "cd /run/rancher/os && sudo mount -o remount,rw . && \
    sudo dd if=/dev/zero of=$(ls -S slots/4/rancheros/layers/* | head -n 1) bs=1M seek=4 count=48 conv=notrunc,fsync && \
    sudo mount -o remount,ro .";
/// The machine has run for four minutes: what boots again and again does it within two.
const RUNS_ON: &str = "test $(cut -d. -f1 /proc/uptime) -ge 240";

pub(super) fn both_bad(context: &Context) -> anyhow::Result<()> {
    let artifacts = &context.artifacts;
    let disk = installed(context, "broken-both", "")?;
    let machine = Installed::start(context, "broken-both", &disk.path)?;
    let version = SecondVersion::changed(&artifacts.iso, |tree| {
        Fault::Init(Program::Exits).apply(tree, &artifacts.arch)
    })?;
    machine.offer(&version)?;
    drop(version);
    machine.guest.run(UPGRADE)?;
    machine.guest.run(DAMAGE)?;
    let mark = machine.guest.console.mark();
    // The connection ends with the machine.
    let _ = machine.guest.ssh.answer("sudo reboot");
    machine.wait_back(mark)?;
    let answer = machine.guest.ssh.answer("docker run --rm busybox true")?;
    ensure!(
        answer.code != 0,
        "the old version works: the test has not broken it"
    );
    // It stays: nothing counts the boots of a version that is good
    let boots = |text: &str| text[mark..].matches("Linux version").count();
    let before = boots(&machine.guest.console.text());
    let status = machine.guest.run("sudo ros os status; ros status")?;
    ensure!(
        status.contains("was given up"),
        "after two bad versions: {status}"
    );
    machine.guest.run_until(RUNS_ON, BACK_DEADLINE)?;
    ensure!(
        boots(&machine.guest.console.text()) == before,
        "the machine boots again and again"
    );
    Ok(())
}
