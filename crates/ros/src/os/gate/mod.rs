//! Judges a version that is tried: it is kept when Docker has run a container, and when what worked before works again, else
//! given up. What worked before are the facts that were noted when the version was armed ([`facts`]).
//!
//! The console starts this at every boot of an installed machine. Should there be no console, PID 1 gives the version up when
//! its own deadline passes (`crates/init/src/trial.rs`).

mod canary;
mod checks;
pub(super) mod facts;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use install::Outcome;
use serde_json::json;
use sys::kmsg::{self, Priority};
use sys::process::Command;

use super::installed::Installed;
use super::{kexec, loader};
use crate::machine_config::MachineConfig;
use crate::supervisor;
use checks::{CHECKS, Machine};
use facts::Facts;

/// What the checks have said so far, for `ros os status` and for people who look in.
const RESULTS: &str = "/run/rancher/upgrade.json";
/// There when a version that came by kexec has passed (`crates/init/src/trial.rs`).
const PASSED: &str = "/run/rancher/upgrade-passed";
/// Seconds for the services and for User Docker to run a container, unless `rancher.upgrade.timeout` says otherwise: balenaOS's
/// figure for a whole update is 15 min.
const TIMEOUT: u64 = 600;
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Starts the judgement, which runs next to the console's logins.
pub(crate) fn start() -> anyhow::Result<()> {
    let line = std::fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    if line.contains("rancher.slot=") {
        supervisor::once(&Command::new("ros").args(["os", "gate"]))?;
    }
    Ok(())
}

/// Repairs the records; then commits or gives up what this boot was a try of.
pub(super) fn main() -> anyhow::Result<()> {
    let machine = Installed::here()?;
    if let Some(repaired) = machine.repair()? {
        say(Priority::Warning, &repaired);
    }
    let by_kexec = kexec::arrived(&machine)?;
    let records = machine.records()?;
    let choice = records.choice().context("the boot records are lost")?;
    let Some(next) = choice.next else {
        tell(&machine);
        if choice.good == machine.slot {
            // Nothing, unless an earlier update of GRUB has failed
            loader::update(&machine);
        }
        return Ok(());
    };
    // An order that was given after this boot waits for the next one
    if machine.id.parse() != Ok(choice.id) {
        return Ok(());
    }
    if next != machine.slot {
        let reason = match machine.why.as_str() {
            "exhausted" => "none of its tries ended in a system that could be kept",
            "stale" => "its tries were not written",
            "readonly" => "its try could not be written down",
            "manual" => return Ok(()),
            _ => "its kernel could not be loaded",
        };
        say(
            Priority::Error,
            &format!("the version in slot {next} is given up: {reason}"),
        );
        machine.apply(&install::reject(&records)?)?;
        machine.note(next, Outcome::Rejected, reason)?;
        tell(&machine);
        return Ok(());
    }
    match judge() {
        Ok(()) if by_kexec => {
            machine.decide(install::refill)?;
            // For PID 1, which else would reboot a machine in which nobody has decided
            std::fs::write(PASSED, "").context("cannot note that the checks have passed")?;
            let text = "it passed its checks after kexec: a boot through the firmware decides";
            say(Priority::Info, &format!("v{}: {text}", config::VERSION));
            machine.note(machine.slot, Outcome::Armed, text)
        }
        Ok(()) => {
            machine.decide(|records| install::commit(records, machine.slot))?;
            say(
                Priority::Info,
                &format!("v{} works and is kept", config::VERSION),
            );
            machine.note(machine.slot, Outcome::Committed, "")?;
            loader::update(&machine);
            Ok(())
        }
        Err(error) => {
            let reason = format!("{error:#}");
            say(
                Priority::Error,
                &format!(
                    "v{} is given up: {reason}; rebooting into the version before",
                    config::VERSION
                ),
            );
            // First the history: should the power fail in between, it is tried again and not forgotten
            machine.note(machine.slot, Outcome::Rejected, &reason)?;
            machine.decide(install::reject)?;
            crate::power::reboot()
        }
    }
}

/// Tells who logs in, and `ros status`, that an upgrade has failed, until something else happens to a version.
fn tell(machine: &Installed) {
    let Some(event) = machine.history().events.pop() else {
        return;
    };
    if event.outcome == Outcome::Rejected {
        let (failed, reason) = (event.version, event.reason);
        crate::problems::warn(
            "upgrade",
            &format!(
                "v{failed} was given up: {reason}; v{} runs",
                config::VERSION
            ),
        );
    }
}

fn say(priority: Priority, text: &str) {
    let line = format!("upgrade: {text}");
    println!("{line}");
    kmsg::log(priority, &line);
}

/// # Errors
/// What does not work, when the deadline has passed.
fn judge() -> anyhow::Result<()> {
    let rancher = MachineConfig::load().loaded.config.rancher;
    let seconds = rancher
        .upgrade
        .timeout
        .and_then(|given| given.try_into().ok());
    let end = Instant::now() + Duration::from_secs(seconds.unwrap_or(TIMEOUT));
    let facts = Facts::noted();
    let machine = Machine {
        facts: &facts,
        rancher: &rancher,
    };
    loop {
        let failed = match round(&machine) {
            None => return Ok(()),
            Some(failed) => failed,
        };
        if Instant::now() > end {
            return Err(failed);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Asks one check after the other, up to the first that fails.
fn round(machine: &Machine<'_>) -> Option<anyhow::Error> {
    let mut said = Vec::new();
    let mut failed = None;
    for (name, check) in CHECKS {
        let result = check(machine).with_context(|| (*name).to_owned());
        let reason = result.as_ref().err().map(|error| format!("{error:#}"));
        said.push(json!({"check": name, "passed": result.is_ok(), "reason": reason}));
        if let Err(error) = result {
            failed = Some(error);
            break;
        }
    }
    let text = json!({"checks": said}).to_string();
    // It is for who looks in: a judgement does not depend on it
    let _ = cloud_init::store::write_atomic(std::path::Path::new(RESULTS), text.as_bytes(), 0o644);
    failed
}
