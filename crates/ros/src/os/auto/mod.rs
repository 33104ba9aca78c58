//! `rancher.upgrade.policy`: versions that this machine fetches by itself, and when it tries them.
//!
//! Nothing happens unless the policy says so. With `download` a new version is put on the disk and said. With `auto` it is armed as
//! well: the next reboot, whoever asks for it, tries it; except one with another major version of Docker, which waits for a person. A
//! `window` is the owner's leave to reboot: without one the machine never does so by itself.

mod decide;
mod hold;
mod memory;
mod window;

use std::time::Duration;

use anyhow::{Context as _, bail};
use config::VERSION;
use config::cloud_config::{Rancher, Upgrade};
use install::Slot;

use super::installed::Installed;
use super::policy::Policy;
use super::wanted::Wanted;
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
/// The subject of what is said.
const SUBJECT: &str = "upgrade-policy";

/// Follows the policy for as long as the console runs.
pub(crate) fn run() {
    std::thread::sleep(FIRST);
    loop {
        if let Err(error) = look(When::Due) {
            // Told once: it stands in `ros status` until it is over.
            problems::warn(SUBJECT, &format!("{error:#}"));
        }
        std::thread::sleep(LOOK);
    }
}

/// Does at once, for a person, what the policy would do at its next look, and prints it.
///
/// # Errors
/// What failed; it is not noted in `ros status`, since the person reads it here.
pub(super) fn look_now() -> anyhow::Result<()> {
    println!("{}", look(When::Now)?);
    Ok(())
}

/// When a newer version is asked for, and what failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// Once a day, and after a pause.
    Due,
    /// At once.
    Now,
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

/// Settings that the policy refuses: their keys, and words.
pub(crate) fn mistakes(upgrade: &Upgrade) -> Vec<(&'static str, String)> {
    let policy = Mode::of(upgrade).err().map(|error| ("policy", error));
    let window = upgrade.window.as_deref().map(Window::parse);
    let window = window.and_then(Result::err).map(|error| ("window", error));
    let said = |(key, error): (&'static str, anyhow::Error)| {
        let words = format!("{error:#}");
        let own = format!("rancher.upgrade.{key} ");
        (key, words.trim_start_matches(&*own).to_owned())
    };
    policy.into_iter().chain(window).map(said).collect()
}

/// Returns what was done, or why nothing was.
fn look(when: When) -> anyhow::Result<String> {
    let machine = MachineConfig::load();
    let rancher = &machine.loaded.config.rancher;
    let upgrade = &rancher.upgrade;
    let mode = Mode::of(upgrade)?;
    if mode == Mode::None {
        problems::clear(SUBJECT);
        return Ok("rancher.upgrade.policy is none: nothing is done by itself".to_owned());
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
        stuck: when == When::Due && memory.is_stuck(),
        due: when == When::Now || memory.is_due(jitter(upgrade)),
        in_window: window.as_ref().map(|window| window.has(now)),
    };
    let action = decide::decide(&facts);
    let outcome = match action {
        Action::Wait => return Ok(decide::why_it_waits(&facts).to_owned()),
        Action::Fetch => fetch(&installed, mode, staged),
        Action::Arm => upgrade::arm_staged(&installed)
            .map(|version| Some(format!("v{version} is tried at the next reboot"))),
        Action::Reboot => reboot(rancher),
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
    let written = memory.write();
    let said = outcome?;
    written?;
    problems::clear(SUBJECT);
    Ok(said.unwrap_or_else(|| "there is no newer version that this machine takes".to_owned()))
}

/// Whether a version on the disk may be tried without a person.
fn kind(installed: &Installed, slot: Slot) -> Staged {
    let Some(then) = installed.version(slot) else {
        return Staged::Refused;
    };
    let wanted = Wanted::in_slot(&then, slot);
    if rules::check(installed, &wanted, rules::Asker::Policy).is_err() {
        return Staged::Refused;
    }
    match installed.version(installed.slot) {
        Some(now) if rules::changes_docker(&now.manifest, &then.manifest) => Staged::WantsPerson,
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

/// Reboots, unless something says "not now".
fn reboot(rancher: &Rancher) -> anyhow::Result<Option<String>> {
    if let Some(reason) = hold::reason(rancher)? {
        return Ok(Some(reason));
    }
    crate::power::reboot()?;
    Ok(Some("the machine reboots into the version".to_owned()))
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
