//! `ros os list`, `status` and `history`.

use anyhow::bail;
use install::{Choice, Outcome, Slot, Tries};
use serde_json::json;

use super::installed::Installed;

/// One line a version, RancherOS's form: `IMAGE local latest running`.
pub(super) fn list(update: bool) -> anyhow::Result<()> {
    if update {
        bail!("-u is not possible yet: this version does not ask for newer ones");
    }
    let machine = Installed::here()?;
    let choice = machine.records()?.choice();
    for slot in Slot::ALL {
        let Some(version) = machine.version(slot) else {
            continue;
        };
        let mut line = format!("rancher/os:v{} local slot {slot}", version.manifest.version);
        for word in words(&machine, choice, slot) {
            line.push(' ');
            line.push_str(word);
        }
        println!("{line}");
    }
    Ok(())
}

fn words(machine: &Installed, choice: Option<Choice>, slot: Slot) -> Vec<&'static str> {
    let is = |known: Option<Slot>| known == Some(slot);
    let rejected = machine
        .version(slot)
        .is_some_and(|version| machine.history().rejected(&version.digest).is_some());
    [
        (is(choice.map(|choice| choice.good)), "good"),
        (is(choice.and_then(|choice| choice.next)), "next"),
        (is(choice.and_then(|choice| choice.prev)), "previous"),
        (rejected, "rejected"),
        (slot == machine.slot, "running"),
    ]
    .into_iter()
    .filter_map(|(holds, word)| holds.then_some(word))
    .collect()
}

/// What a person, or a script with `--format json`, needs to know.
pub(super) fn status(format: &str) -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let records = machine.records()?;
    let choice = records.choice();
    let tries = Tries::decode(&records.tries);
    let state = match choice {
        None => "lost",
        Some(Choice { next: None, .. }) => "idle",
        Some(Choice {
            next: Some(next), ..
        }) if next == machine.slot && machine.attempt > 0 => "trial",
        Some(_) => "armed",
    };
    let number = |slot: Option<Slot>| slot.map(Slot::number);
    let last = machine.history().events.pop();
    match format {
        "json" => {
            let value = json!({
                "state": state,
                "running": machine.slot.number(),
                "version": config::VERSION,
                "good": number(choice.map(|choice| choice.good)),
                "next": number(choice.and_then(|choice| choice.next)),
                "previous": number(choice.and_then(|choice| choice.prev)),
                "attempt": machine.attempt,
                "tries_left": tries.map(|tries| tries.left),
                "last": last,
            });
            println!("{value:#}");
        }
        "text" => {
            println!("state: {state}");
            println!("running: v{} in slot {}", config::VERSION, machine.slot);
            if let Some(next) = choice.and_then(|choice| choice.next) {
                let left = tries.map_or(0, |tries| tries.left);
                println!("next: slot {next}, {left} tries left");
            }
            if let Some(previous) = choice.and_then(|choice| choice.prev) {
                println!("previous: slot {previous}");
            }
            if let Some(event) = last {
                println!("last event: {}", line(&event));
            }
        }
        other => bail!("format {other:?} is not known, only text and json"),
    }
    Ok(())
}

/// All events, the oldest first.
pub(super) fn history() -> anyhow::Result<()> {
    for event in Installed::here()?.history().events {
        println!("{}", line(&event));
    }
    Ok(())
}

fn line(event: &install::Event) -> String {
    let outcome = match event.outcome {
        Outcome::Installed => "installed",
        Outcome::Staged => "staged",
        Outcome::Armed => "armed",
        Outcome::Committed => "committed",
        Outcome::Rejected => "rejected",
        Outcome::Cancelled => "cancelled",
    };
    let mut line = format!("v{} in slot {}: {outcome}", event.version, event.slot);
    if !event.reason.is_empty() {
        line.push_str(&format!(", {}", event.reason));
    }
    line
}
