//! Judges a version that is tried: it is kept when Docker has run a container, and when what worked before works again, else
//! given up. What worked before are the facts that were noted before the boot ([`facts`]).
//!
//! What no time changes ends the judgement at once. An outage of the network is waited for, and at last leaves the version unproven
//! ([`outcome`]): that is not a reason to refuse it for good.
//!
//! The console starts this at every boot of an installed machine. Should there be no console, PID 1 gives the version up when
//! its own deadline passes (`crates/init/src/trial.rs`).

mod canary;
mod checks;
mod containers;
pub(super) mod facts;
mod network;
mod outcome;
mod services;
mod steady;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use install::Outcome;
use serde_json::json;
use sys::kmsg::{self, Priority};
use sys::process::Command;

use super::installed::Installed;
use super::{kexec, loader, lock};
use crate::machine_config::MachineConfig;
use crate::supervisor;
use checks::{CHECKS, Machine};
use facts::Facts;
use outcome::{Failure, Verdict, verdict};

pub(super) use checks::has_docker;
pub(super) use outcome::UNPROVEN;

/// What the checks have said so far, for `ros os status` and for people who look in.
const RESULTS: &str = "/run/rancher/upgrade.json";
/// There when a version that came by kexec has passed (`crates/init/src/trial.rs`).
const PASSED: &str = "/run/rancher/upgrade-passed";
/// Seconds since the kernel's start, written again and again while a cable is out: PID 1, which else would not wait for this longer than
/// for any judgement, knows by it that somebody waits (`crates/init/src/trial.rs`).
const WAITS: &str = "/run/rancher/upgrade-waits";
/// Seconds for the services and for User Docker to run a container, unless `rancher.upgrade.timeout` says otherwise: balenaOS's
/// figure for a whole update is 15 min.
const TIMEOUT: u64 = 600;
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The same while the network is out, perhaps for hours.
const LOOK_AGAIN_OUTSIDE: Duration = Duration::from_secs(5);

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
        machine.decide(install::reject)?;
        machine.note_or_say(next, Outcome::Rejected, reason);
        tell(&machine);
        return Ok(());
    }
    let judged = judge();
    let records = machine.records()?;
    if records.choice().and_then(|choice| choice.next) != Some(machine.slot) {
        // Its owner has decided meanwhile
        return Ok(());
    }
    match judged {
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
            machine.note_or_say(machine.slot, Outcome::Committed, "");
            loader::update(&machine);
            Ok(())
        }
        Err(reason) => give_up(&machine, &reason),
    }
}

/// Goes back to the version before.
fn give_up(machine: &Installed, reason: &str) -> anyhow::Result<()> {
    let text = format!(
        "v{} is given up: {reason}; rebooting into the version before",
        config::VERSION
    );
    say(Priority::Error, &text);
    // First the history: should the power fail in between, it is tried again and not forgotten
    machine.note_or_say(machine.slot, Outcome::Rejected, reason);
    machine.decide(install::reject)?;
    crate::power::reboot()
}

/// What the checks have said so far, as JSON; nothing when this boot judges nothing.
pub(super) fn results() -> Option<serde_json::Value> {
    let text = std::fs::read(RESULTS).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    value.get("checks").cloned()
}

/// Has the facts noted once more, for the boot that follows; nothing when that does not try another version. After `limit` PID 1 stops
/// what is looked at here.
pub(super) fn note_facts(limit: Duration) -> anyhow::Result<()> {
    let begin = Instant::now();
    // Whoever changes versions now is not waited for as long as by others: what was noted before holds
    let _lock = lock::take_for(limit / 4)?;
    let machine = Installed::here()?;
    let next = machine.records()?.choice().and_then(|choice| choice.next);
    if next.is_none_or(|next| next == machine.slot) {
        return Ok(());
    }
    let facts = Facts::gather_after(&Facts::noted());
    ensure!(begin.elapsed() < limit, "the machine answers too slowly");
    facts.note()
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
/// What does not work, when the deadline has passed, or no time can change it.
fn judge() -> Result<(), String> {
    let rancher = MachineConfig::load().loaded.config.rancher;
    let seconds = rancher.upgrade.timeout;
    let seconds = seconds.and_then(|given| given.try_into().ok());
    let timeout = Duration::from_secs(seconds.unwrap_or(TIMEOUT));
    let facts = Facts::noted();
    let machine = Machine {
        facts: &facts,
        rancher: &rancher,
        sung: Cell::new(false),
        steady: RefCell::new(None),
    };
    let (begin, mut dark) = (Instant::now(), Duration::ZERO);
    let mut said = String::new();
    loop {
        let round_begin = Instant::now();
        let failed = round(&machine);
        let kind = failed.as_ref().map(|failure| failure.kind);
        let outside = kind.is_some_and(outcome::Kind::is_outside);
        let pause = if outside {
            LOOK_AGAIN_OUTSIDE
        } else {
            LOOK_AGAIN
        };
        let verdict = verdict(kind, begin.elapsed(), dark, timeout);
        let reason = failed.map_or_else(String::new, |failure| format!("{:#}", failure.error));
        if outside && said != reason {
            let text = format!("v{} waits: {reason}", config::VERSION);
            say(Priority::Warning, &text);
            said.clone_from(&reason);
        }
        match verdict {
            Verdict::Keep => return Ok(()),
            Verdict::Reject => return Err(reason),
            Verdict::Unproven => return Err(format!("{UNPROVEN}{reason}")),
            Verdict::Wait => std::thread::sleep(pause),
        }
        if kind == Some(outcome::Kind::NoCarrier) {
            dark += round_begin.elapsed();
        }
        if !dark.is_zero() {
            keep_waiting();
        }
    }
}

/// Shows PID 1 that this machine is being judged, however long it takes.
fn keep_waiting() {
    let now = sys::clock::boottime().as_secs().to_string();
    if let Err(error) = cloud_init::store::write_atomic(Path::new(WAITS), now.as_bytes(), 0o644) {
        eprintln!("{WAITS}: {error}: PID 1 may give the version up");
    }
}

/// Asks one check after the other, up to the first that fails. When the network is out, those that do not need it are asked all the
/// same: what they say counts.
fn round(machine: &Machine<'_>) -> Option<Failure> {
    let mut said = Vec::new();
    let mut outage = None;
    let mut failed = None;
    for check in CHECKS {
        if outage.is_some() && check.online {
            continue;
        }
        let result = (check.ask)(machine).map_err(|failure| failure.named(check.name));
        let reason = result
            .as_ref()
            .err()
            .map(|failure| format!("{:#}", failure.error));
        said.push(json!({"check": check.name, "passed": result.is_ok(), "reason": reason}));
        match result {
            Ok(()) => {}
            Err(failure) if failure.kind.is_outside() => outage = Some(failure),
            Err(failure) => {
                failed = Some(failure);
                break;
            }
        }
    }
    let text = json!({"checks": said}).to_string();
    // It is for who looks in: a judgement does not depend on it
    let _ = cloud_init::store::write_atomic(Path::new(RESULTS), text.as_bytes(), 0o644);
    failed.or(outage)
}
