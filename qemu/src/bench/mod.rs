//! `cargo xtask bench`: ours against the peer, in turn, on the same machine; medians and ratios.
//!
//! Machines are noisy: both sides are measured alternately in one run, and only ratios are quoted.

mod boot;
mod disk;
mod engine;
mod pull;
mod reexec;
mod registry;
mod run;
mod slow_disk;
mod upgrade;

use anyhow::{Context as _, bail};

use crate::artifacts::Artifacts;
use crate::guest::Guest;
use crate::machine::{Boot, Machine};

/// How often each side is measured unless the second argument says otherwise.
const ROUNDS: usize = 5;

/// Head of the tables that compare engines.
const ENGINES: &str = "| | System Docker | Docker 26.1 | ratio |\n|---|---|---|---|";

/// Runs the benchmark that the first argument names.
///
/// # Errors
/// When a machine does not come up, or the name is unknown.
pub(crate) fn run(artifacts: &Artifacts, arguments: &[String]) -> anyhow::Result<()> {
    let rounds = match arguments.get(1) {
        Some(text) => text
            .parse()
            .with_context(|| format!("{text} is not a number of rounds"))?,
        None => ROUNDS,
    };
    match arguments.first().map(String::as_str) {
        Some("boot") => {
            boot::run(artifacts, rounds)?;
            run::run(artifacts, rounds)
        }
        Some("datasource") => boot::datasource(artifacts, rounds),
        Some("disk") => disk::run(artifacts, rounds),
        Some("engine") => {
            println!("{ENGINES}");
            run::run(artifacts, rounds)?;
            engine::run(artifacts, rounds)
        }
        Some("pull") => {
            println!("{ENGINES}");
            pull::run(artifacts, rounds)
        }
        Some("reexec") => reexec::run(artifacts, rounds),
        Some("slow-disk") => {
            println!("{ENGINES}");
            slow_disk::run(artifacts, rounds)
        }
        Some("upgrade") => upgrade::run(artifacts, rounds),
        other => bail!(
            "no benchmark is named {other:?}: there are boot, datasource, disk, engine, pull, reexec, slow-disk and upgrade"
        ),
    }
}

/// A guest in which both Dockers have the image busybox.
fn guest_with_busybox(artifacts: &Artifacts, name: &str, memory_mib: u32) -> anyhow::Result<Guest> {
    let guest = Machine::new(name, Boot::Kernel)
        .in_ram()
        .memory_mib(memory_mib)
        .start(artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?; // and its image
    guest
        .run("docker save busybox -o /tmp/busybox.tar && system-docker load -i /tmp/busybox.tar")?;
    Ok(guest)
}

/// Seconds that a command takes, as bash in the guest has them: busybox's date has no fraction of a second.
fn timed(guest: &Guest, command: &str) -> anyhow::Result<f64> {
    let microseconds: f64 = guest
        .run(&format!(
            "s=${{EPOCHREALTIME/./}}; {command} || exit 1; echo $(( ${{EPOCHREALTIME/./}} - s ))"
        ))?
        .parse()
        .with_context(|| format!("no time of {command}"))?;
    Ok(microseconds / 1e6)
}

/// The middle value; of an even number the lower middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(f64::NAN)
}

/// One row of a table: our figure next to the peer's.
fn row(name: &str, unit: &str, ours: &[f64], peer: &[f64]) -> String {
    let range = |values: &[f64]| {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{:.2} {unit} ({lowest:.2} to {highest:.2})", median(values))
    };
    if peer.is_empty() {
        return format!("| {name} | {} | | |", range(ours));
    }
    format!(
        "| {name} | {} | {} | {:.2} |",
        range(ours),
        range(peer),
        median(ours) / median(peer)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
