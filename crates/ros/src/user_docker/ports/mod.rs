//! Published ports go on working while dockerd starts.
//!
//! With `live_restore` containers run on without dockerd. But dockerd takes the rules of published ports away when it starts, and
//! makes them again when it has loaded its containers: new connections from other machines would be refused until then. So
//! what leads to running containers is copied to chains of ours before dockerd starts, and these go when it answers.
//!
//! A kept rule leads where dockerd's did, under the same conditions. It holds as long as the container's network namespace
//! has a process, so that the address cannot become another container's. Packets for containers that no rule accepts are marked, as in
//! dockerd's chain, and dropped ([`super::firewall`]): dockerd's chain does not do that while it is empty.

mod alive;
mod rules;

use std::fs;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use sys::process::Command;

use super::CLOSURE;
use alive::Alive;
use rules::Kept;

/// What is kept, for the keeper and for the start after a dockerd that did not answer.
const FILE: &str = "/run/rancher/user-docker.ports";
/// Pause between two looks at which containers have ended.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest run of a program that reads or changes rules.
const DEADLINE: Duration = Duration::from_secs(30);
/// What [`Command::run`] keeps of an output, some 10,000 rules: half a firewall is not copied.
const MAX_OUTPUT_BYTES: usize = 1 << 20;

/// The families: their programs, and what is kept of each.
#[derive(Debug, Serialize, Deserialize)]
struct All {
    families: Vec<(String, Kept)>,
}

/// Keeps the ports of containers that run, until [`Watch::end`]; dockerd does not run. Without containers it runs no program.
///
/// # Errors
/// When iptables fails; ports then are closed until dockerd has loaded its containers.
pub(super) fn keep(environment: &[(String, String)]) -> anyhow::Result<()> {
    let alive = alive::now();
    let earlier = Path::new(FILE).exists();
    let (mut families, mut changes) = (Vec::new(), Vec::new());
    for (program, is_family) in [
        (
            "iptables",
            alive.iter().any(|(address, _)| address.is_ipv4()),
        ),
        (
            "ip6tables",
            alive.iter().any(|(address, _)| address.is_ipv6()),
        ),
    ] {
        if !is_family && !earlier {
            continue;
        }
        let saved = save(program, environment)?;
        let kept = Kept::of(&saved, &alive);
        if kept.is_empty() {
            changes.extend(rules::end(&saved).map(|text| (program, text)));
        } else {
            changes.push((program, kept.begin(&saved)));
            families.push((program.to_owned(), kept));
        }
    }
    // Who is to take them away must know of them first.
    if !families.is_empty() {
        fs::write(FILE, serde_json::to_vec(&All { families })?).context(FILE)?;
    } else if earlier {
        fs::remove_file(FILE).context(FILE)?;
    }
    for (program, text) in changes {
        restore(program, environment, text)?;
    }
    Ok(())
}

/// Looks after what is kept, in the keeper.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Begins; without anything kept there is nothing to look after.
    pub(super) fn start() -> Option<Watch> {
        let text = fs::read(FILE).ok()?;
        let all = serde_json::from_slice::<All>(&text)
            .inspect_err(|error| eprintln!("user-docker: {FILE}: {error}"))
            .unwrap_or(All {
                families: Vec::new(),
            });
        let (stop, stopped) = channel();
        let thread = std::thread::spawn(move || {
            let mut all = all;
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                if let Err(error) = all.forget_dead(&alive::now()) {
                    eprintln!(
                        "user-docker: ports of containers that have ended stay open: {error:#}"
                    );
                }
            }
        });
        Some(Watch { stop, thread })
    }

    /// dockerd has its own rules again: takes ours away.
    pub(super) fn end(self) {
        drop(self.stop);
        // A watcher that panicked changes no rules any more, either.
        let _ = self.thread.join();
        if let Err(error) = remove() {
            eprintln!("user-docker: rules of published ports stay twice: {error:#}");
        }
    }
}

impl All {
    fn forget_dead(&mut self, alive: &Alive) -> anyhow::Result<()> {
        for (program, kept) in &mut self.families {
            let living = kept.living(alive);
            if living != *kept {
                restore(program, &[], living.chains())?;
                *kept = living;
            }
        }
        Ok(())
    }
}

/// Takes the rules of both families away, and the note of them.
fn remove() -> anyhow::Result<()> {
    for program in ["iptables", "ip6tables"] {
        let saved = save(program, &[])?;
        if let Some(end) = rules::end(&saved) {
            restore(program, &[], end)?;
        }
    }
    if Path::new(FILE).exists() {
        fs::remove_file(FILE).context(FILE)?;
    }
    Ok(())
}

/// All rules of a family.
fn save(program: &str, environment: &[(String, String)]) -> anyhow::Result<String> {
    run(&format!("{program}-save"), environment, |command| command)
}

/// Applies `text`, all or nothing of each table.
fn restore(program: &str, environment: &[(String, String)], text: String) -> anyhow::Result<()> {
    run(&format!("{program}-restore"), environment, |command| {
        command.arg("--noflush").stdin(text)
    })
    .map(drop)
}

/// Runs a program of the closure with additions to this process's environment; its standard output.
fn run(
    name: &str,
    environment: &[(String, String)],
    with: impl FnOnce(Command) -> Command,
) -> anyhow::Result<String> {
    let command = Command::new(format!("{CLOSURE}/bin/{name}")).deadline(DEADLINE);
    let command = environment
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value));
    let output = with(command)
        .run()
        .with_context(|| format!("cannot run {name}"))?;
    ensure!(
        output.status.success(),
        "{name}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    ensure!(
        output.stdout.len() < MAX_OUTPUT_BYTES,
        "{name} prints more than {MAX_OUTPUT_BYTES} bytes"
    );
    String::from_utf8(output.stdout).with_context(|| format!("{name} prints no text"))
}
