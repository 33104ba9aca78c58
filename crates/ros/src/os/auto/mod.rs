//! `rancher.upgrade.policy`: versions that this machine fetches by itself, and when it tries them.
//!
//! Nothing happens unless the policy says so. With `download` a new version is put on the disk and said. With `auto` it is armed as well: the
//! next reboot, whoever asks for it, tries it. A `window` is the owner's leave to reboot: without one the machine never does so by itself.

mod decide;
mod memory;
mod releases;
mod window;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use config::VERSION;
use config::cloud_config::Upgrade;
use engine_api::{Client, Filters};
use install::Outcome;
use sys::process::Command;

use super::installed::Installed;
use super::policy::Policy;
use super::{source, upgrade};
use crate::machine_config::MachineConfig;
use crate::problems;
use decide::{Action, Facts, Mode};
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
    let facts = Facts {
        mode,
        armed: choice.next.is_some() && choice.next != Some(installed.slot),
        trial: choice.next == Some(installed.slot),
        staged: upgrade::staged(&installed)?.is_some(),
        due: memory.is_due(jitter(upgrade)),
        in_window: window.as_ref().map(|window| window.has(now)),
    };
    let action = decide::decide(&facts);
    let outcome = match action {
        Action::Wait => return Ok(()),
        Action::Fetch => fetch(&installed, upgrade),
        Action::Arm => upgrade::arm_staged(&installed)
            .map(|version| Some(format!("v{version} is tried at the next reboot"))),
        Action::Reboot => reboot(upgrade),
    };
    match outcome {
        Ok(said) => {
            if action == Action::Fetch {
                memory.succeeded();
            }
            if said.is_some() {
                memory.said = said;
            }
            memory.write()?;
            problems::clear(SUBJECT);
            Ok(())
        }
        Err(error) => {
            memory.failed();
            memory.write()?;
            Err(error)
        }
    }
}

/// Minutes within which checks of many machines are spread.
fn jitter(upgrade: &Upgrade) -> u64 {
    upgrade
        .jitter
        .and_then(|minutes| u64::try_from(minutes).ok())
        .unwrap_or(memory::JITTER_MINUTES)
}

/// Puts the newest version on the disk, when there is one that this machine takes.
fn fetch(installed: &Installed, upgrade: &Upgrade) -> anyhow::Result<Option<String>> {
    let policy = Policy::of_machine(false)?;
    let image = match &upgrade.url {
        Some(url) => releases::newest(url, upgrade.channel.as_deref(), &policy)?,
        None => {
            let image = policy.image()?;
            let versions = source::versions(image, &policy.rancher)?;
            match source::newest(&versions) {
                Some(newest) => format!("{image}:{newest}"),
                None => bail!("{image} has no tag that is a version"),
            }
        }
    };
    let Some(version) = image.rsplit_once(':').map(|(_, tag)| tag) else {
        bail!("{image} names no version");
    };
    if !install::compare(version, VERSION).is_gt() || has_left(installed, version) {
        return Ok(None);
    }
    upgrade::stage_image(installed, &image, &policy)?;
    Ok(Some(format!("{version} is on the disk")))
}

/// Whether this machine has run the version and was taken back from it, or has rejected it: it is not taken again by itself.
fn has_left(installed: &Installed, version: &str) -> bool {
    let name = version.trim_start_matches('v');
    installed.history().events.iter().any(|event| {
        event.version == name && matches!(event.outcome, Outcome::Rejected | Outcome::Committed)
    })
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
