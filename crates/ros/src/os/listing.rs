//! `ros os list`, `status` and `history`.

use anyhow::bail;
use install::{Choice, Outcome, Slot, Tries};
use serde_json::json;

use super::installed::Installed;
use super::policy::Policy;
use super::releases::{self, Release};
use super::{auto, gate, live, pin, upgrade};

/// One line a version, RancherOS's form: `IMAGE local latest running`. With `update` those of the registry, too.
pub(super) fn list(update: bool, format: &str) -> anyhow::Result<()> {
    let json = is_json(format)?;
    let machine = Installed::here()?;
    let choice = machine.records()?.choice();
    let mut rows = Vec::new();
    for slot in Slot::ALL {
        let Some(version) = machine.version(slot) else {
            continue;
        };
        let version = version.manifest.version;
        let words = words(&machine, choice, slot);
        if json {
            rows.push(
                json!({"version": version, "place": "local", "slot": slot.number(), "is": words}),
            );
            continue;
        }
        let mut line = format!("rancher/os:v{version} local slot {slot}");
        for word in words {
            line.push(' ');
            line.push_str(word);
        }
        println!("{line}");
    }
    if update {
        rows.extend(remote(json)?);
    }
    if json {
        println!("{:#}", serde_json::Value::from(rows));
    }
    Ok(())
}

/// The versions that there are elsewhere, the newest first.
fn remote(json: bool) -> anyhow::Result<Vec<serde_json::Value>> {
    let policy = Policy::of_machine(false)?;
    let mut rows = Vec::new();
    for release in releases::all(&policy)? {
        let mut words = Vec::new();
        if release.latest {
            words.push("latest");
        }
        if install::compare(&release.version, config::VERSION).is_eq() {
            words.push("running");
        }
        let Release {
            version,
            image,
            channel,
            ..
        } = &release;
        if json {
            rows.push(json!({"version": version, "place": "remote", "image": image, "channel": channel, "is": words}));
        } else {
            words.extend(channel.as_deref());
            println!("{image} remote {}", words.join(" "));
        }
    }
    Ok(rows)
}

/// Whether `--format` says JSON.
///
/// # Errors
/// For a word that is not known.
pub(super) fn is_json(format: &str) -> anyhow::Result<bool> {
    match format {
        "json" => Ok(true),
        "text" => Ok(false),
        other => bail!("format {other:?} is not known, only text and json"),
    }
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

/// Where the machine is between two versions, in a word.
fn state(machine: &Installed, choice: Option<Choice>) -> &'static str {
    match choice {
        None => "lost",
        Some(Choice { next: None, .. }) => "idle",
        Some(Choice {
            next: Some(next), ..
        }) if next == machine.slot && machine.attempt > 0 => "trial",
        Some(_) => "armed",
    }
}

/// What a person, or a script with `--format json`, needs to know.
pub(super) fn status(format: &str) -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let records = machine.records()?;
    let choice = records.choice();
    let tries = Tries::decode(&records.tries);
    let state = state(&machine, choice);
    let number = |slot: Option<Slot>| slot.map(Slot::number);
    let last = machine.history().events.pop();
    let staged = choice
        .map(|_| upgrade::staged(&machine))
        .transpose()?
        .flatten();
    match is_json(format)? {
        true => {
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
                "staged": number(staged),
                "checks": gate::results(),
                "live": live::slot(),
                "pinned": pin::read(),
                "policy": auto::status(),
            });
            println!("{value:#}");
        }
        false => {
            println!("state: {state}");
            println!("running: v{} in slot {}", config::VERSION, machine.slot);
            if let Some(slot) = live::slot() {
                println!(
                    "live: v{} of slot {slot}, without a reboot",
                    config::VERSION
                );
            }
            if let Some(next) = choice.and_then(|choice| choice.next) {
                let left = tries.map_or(0, |tries| tries.left);
                println!("next: slot {next}, {left} tries left");
            }
            if let Some(previous) = choice.and_then(|choice| choice.prev) {
                println!("previous: slot {previous}");
            }
            if let Some(slot) = staged {
                println!("staged: slot {slot}");
            }
            for line in check_lines(gate::results()) {
                println!("{line}");
            }
            if let Some(version) = pin::read() {
                println!("pinned: v{version}");
            }
            println!("policy: {}", auto::status());
            if let Some(event) = last {
                println!("last event: {}", line(&event));
            }
        }
    }
    Ok(())
}

/// What the checks of this boot have said so far, one line each.
fn check_lines(results: Option<serde_json::Value>) -> Vec<String> {
    let checks = results.as_ref().and_then(|value| value.as_array());
    let line = |check: &serde_json::Value| {
        let text = |key: &str| check.get(key).and_then(|value| value.as_str());
        let name = text("check").unwrap_or_default();
        match text("reason") {
            // The reason begins with the check's name
            Some(reason) => format!("check {reason}"),
            None => format!("check {name}: passed"),
        }
    };
    checks.into_iter().flatten().map(line).collect()
}

/// All events, the oldest first.
pub(super) fn history(format: &str) -> anyhow::Result<()> {
    let history = Installed::here()?.history();
    if is_json(format)? {
        println!("{:#}", json!(history.events));
        return Ok(());
    }
    for event in history.events {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_told_one_by_one() {
        let results = json!([
            {"check": "services", "passed": true, "reason": null},
            {"check": "network", "passed": false, "reason": "network: no link has a carrier"},
        ]);
        assert_eq!(
            check_lines(Some(results)),
            [
                "check services: passed",
                "check network: no link has a carrier"
            ]
        );
        assert!(check_lines(None).is_empty());
    }
}
