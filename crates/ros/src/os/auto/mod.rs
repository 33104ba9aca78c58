//! `rancher.upgrade.policy`: versions that this machine fetches by itself, and when it tries them.
//!
//! Nothing happens unless the policy says so. With `download` a new version is put on the disk and said. With `auto` it is armed as
//! well: the next reboot, whoever asks for it, tries it; except one with another major version of Docker, which waits for a person. A
//! `window` is the owner's leave to reboot: without one the machine never does so by itself.

mod decide;
mod memory;
mod window;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use config::VERSION;
use config::cloud_config::Upgrade;
use engine_api::{Client, Filters};
use install::Slot;
use sys::process::Command;

use super::installed::Installed;
use super::policy::Policy;
use super::{again, releases, rules, upgrade};
use crate::machine_config::MachineConfig;
use crate::problems;
use decide::{Action, Facts, Mode, Staged};
use memory::Memory;
use window::Window;

/// How often the policy is looked at: a window of an hour is not missed.
const LOOK: Duration = Duration::from_secs(300);
/// The first look waits until the boot, and a gate, are over.
const FIRST: Duration = Duration::from_secs(1200);
/// Longest time that the owner's command may think.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);
/// A container with this label holds the reboot while it runs.
const HOLD: &str = "io.rancher.os.upgrade.hold";
/// User Docker's socket.
const USER_DOCKER: &str = "/run/docker.sock";
/// The subject of what is said.
const SUBJECT: &str = "upgrade-policy";

/// Follows the policy for as long as the console runs.
pub(crate) fn run() {
    std::thread::sleep(FIRST);
    loop {
        if let Err(error) = look() {
            // Told once: it stands in `ros status` until it is over.
            problems::warn(SUBJECT, &format!("{error:#}"));
        }
        std::thread::sleep(LOOK);
    }
}

/// What the policy is, for `ros os status`.
pub(super) fn status() -> String {
    let upgrade = MachineConfig::load().loaded.config.rancher.upgrade;
    let memory = Memory::read();
    let mode = match Mode::of(&upgrade) {
        Ok(Mode::None) => return "none".to_owned(),
        Ok(mode) => mode.to_string(),
        Err(error) => return format!("none ({error:#})"),
    };
    let window = upgrade
        .window
        .as_deref()
        .map_or_else(String::new, |window| format!(", reboots in {window}"));
    let said = memory
        .said
        .map_or_else(String::new, |said| format!("; {said}"));
    format!("{mode}{window}{said}")
}

fn look() -> anyhow::Result<()> {
    let machine = MachineConfig::load();
    let upgrade = &machine.loaded.config.rancher.upgrade;
    let mode = Mode::of(upgrade)?;
    if mode == Mode::None {
        return Ok(());
    }
    let Ok(installed) = Installed::here() else {
        bail!(
            "rancher.upgrade.policy is {mode}, and this system runs from a medium: nothing is upgraded"
        );
    };
    let window = upgrade.window.as_deref().map(Window::parse).transpose()?;
    let choice = installed
        .records()?
        .choice()
        .context("the boot records are lost")?;
    let mut memory = Memory::read();
    let now = window::now()?;
    let staged = upgrade::staged(&installed)?;
    let facts = Facts {
        mode,
        armed: choice.next.is_some() && choice.next != Some(installed.slot),
        trial: choice.next == Some(installed.slot),
        staged: staged.map(|slot| kind(&installed, slot)),
        stuck: memory.is_stuck(),
        due: memory.is_due(jitter(upgrade)),
        in_window: window.as_ref().map(|window| window.has(now)),
    };
    let action = decide::decide(&facts);
    let outcome = match action {
        Action::Wait => return Ok(()),
        Action::Fetch => fetch(&installed, mode, staged),
        Action::Arm => upgrade::arm_staged(&installed)
            .map(|version| Some(format!("v{version} is tried at the next reboot"))),
        Action::Reboot => reboot(upgrade),
    };
    match (&outcome, action) {
        (Ok(_), Action::Fetch) => memory.succeeded(),
        (Err(_), Action::Fetch) => memory.failed(),
        (Ok(_), _) => memory.moved(),
        (Err(_), _) => memory.got_stuck(),
    }
    if let Ok(Some(said)) = &outcome {
        memory.said = Some(said.clone());
    }
    memory.write()?;
    outcome?;
    problems::clear(SUBJECT);
    Ok(())
}

/// Whether a version on the disk may be tried without a person.
fn kind(installed: &Installed, slot: Slot) -> Staged {
    let version = |slot| installed.version(slot).map(|version| version.manifest);
    match (version(installed.slot), version(slot)) {
        (Some(now), Some(then)) if rules::changes_docker(&now, &then) => Staged::WantsPerson,
        _ => Staged::Ready,
    }
}

/// Minutes within which checks of many machines are spread.
fn jitter(upgrade: &Upgrade) -> u64 {
    upgrade
        .jitter
        .and_then(|minutes| u64::try_from(minutes).ok())
        .unwrap_or(memory::JITTER_MINUTES)
}

/// Puts the newest version on the disk, when there is one that this machine takes, and that is newer than the one that lies there.
fn fetch(
    installed: &Installed,
    mode: Mode,
    staged: Option<Slot>,
) -> anyhow::Result<Option<String>> {
    let policy = Policy::of_machine(false)?;
    let release = releases::newest(&policy)?;
    let staged = staged.and_then(|slot| installed.version(slot));
    let there = staged.map(|version| version.manifest.version);
    if !is_wanted(&release.version, there.as_deref())
        || again::against_name(&installed.history(), &release.version).is_some()
    {
        return Ok(None);
    }
    upgrade::stage_image(installed, &release.image, &policy)?;
    let slot = upgrade::staged(installed)?.context("the version is not staged")?;
    let said = format!("v{} is on the disk", release.version);
    Ok(Some(match kind(installed, slot) {
        Staged::WantsPerson if mode == Mode::Auto => format!(
            "{said}; Docker's major version changes, so that a person has to start it: `ros os upgrade`"
        ),
        _ => said,
    }))
}

/// Whether a version is newer than the one that runs, and than the one on the disk.
fn is_wanted(version: &str, staged: Option<&str>) -> bool {
    let newer = |than: &str| install::compare(version, than).is_gt();
    newer(VERSION) && staged.is_none_or(newer)
}

/// Reboots, unless a container or the owner's command says "not now".
fn reboot(upgrade: &Upgrade) -> anyhow::Result<Option<String>> {
    if let Some(name) = held_by()? {
        return Ok(Some(format!("container {name} holds the reboot")));
    }
    if let Some(command) = &upgrade.not_now {
        let output = Command::new("sh")
            .args(["-c", command])
            .deadline(COMMAND_DEADLINE)
            .run()
            .context("rancher.upgrade.not_now")?;
        // As `test`: it says whether it is not the time.
        if output.status.success() {
            return Ok(Some("rancher.upgrade.not_now holds the reboot".to_owned()));
        }
    }
    crate::power::reboot()?;
    Ok(None)
}

/// The first running container with the label. A Docker that does not answer holds nothing.
fn held_by() -> anyhow::Result<Option<String>> {
    if !Path::new(USER_DOCKER).exists() {
        return Ok(None);
    }
    let runtime = system_docker::event_loop()?;
    let ask = async {
        let client = Client::new(USER_DOCKER);
        let all = Filters::default();
        let listed = client.container_list(false, false, &all);
        tokio::time::timeout(COMMAND_DEADLINE, listed).await
    };
    let containers = match runtime.block_on(ask) {
        Ok(Ok(containers)) => containers,
        _ => return Ok(None),
    };
    let held = containers.into_iter().find(|container| {
        container
            .labels
            .get(HOLD)
            .is_some_and(|value| value != "false")
    });
    Ok(held.map(|container| {
        let name = container.names.into_iter().next();
        name.map_or(container.id, |name| name.trim_start_matches('/').to_owned())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_disk_is_replaced_by_something_newer_only() {
        for (version, staged, wanted) in [
            ("999.1", None, true),
            ("999.1", Some("999.0"), true),
            ("999.1", Some("999.1"), false),
            ("999.1", Some("999.2"), false),
            (VERSION, None, false),
        ] {
            assert_eq!(is_wanted(version, staged), wanted, "{version} {staged:?}");
        }
    }
}
