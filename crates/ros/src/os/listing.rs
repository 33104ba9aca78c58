//! `ros os list`, `status` and `history`.

use anyhow::bail;
use install::{Choice, Outcome, Slot, Tries};
use serde_json::json;

use super::installed::Installed;
use super::policy::Policy;
use super::{auto, live, pin, source};

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

/// The registry's versions, the newest first.
fn remote(json: bool) -> anyhow::Result<Vec<serde_json::Value>> {
    let policy = Policy::of_machine(false)?;
    let image = policy.image()?;
    let versions = source::versions(image, &policy.rancher)?;
    let newest = source::newest(&versions);
    let mut rows = Vec::new();
    for tag in &versions {
        let mut words = Vec::new();
        if newest == Some(tag) {
            words.push("latest");
        }
        if install::compare(tag, config::VERSION).is_eq() {
            words.push("running");
        }
        if json {
            let version = tag.trim_start_matches('v');
            rows.push(json!({"version": version, "place": "remote", "image": format!("{image}:{tag}"), "is": words}));
        } else {
            println!("{image}:{tag} remote {}", words.join(" "));
        }
    }
    Ok(rows)
}

fn is_json(format: &str) -> anyhow::Result<bool> {
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
