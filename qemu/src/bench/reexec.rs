//! Replacing PID 1's program again and again while containers write: how long it takes, and that nothing is lost.

use anyhow::{Context as _, ensure};

use super::{guest_with_busybox, row, timed};
use crate::artifacts::Artifacts;
use crate::guest::Guest;

/// Upgrades of one round; the default of five rounds makes a thousand.
const UPGRADES: u32 = 200;
/// Upgrades in one command, which has a deadline.
const AT_ONCE: u32 = 10;
/// Containers that write all the time.
const WRITERS: u32 = 8;
/// A writer: numbered lines as fast as it can for a while, then a short rest.
const WRITE: &str =
    "i=0; while :; do echo n $i; i=$((i+1)); case $i in *00) usleep 10000;; esac; done";

/// Prints the table's row; fails when a child or a line was lost.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let guest = guest_with_busybox(artifacts, "bench-reexec", 2048)?;
    for writer in 0..WRITERS {
        guest.run(&format!(
            "system-docker run -d --name writer{writer} --log-opt max-size=-1 busybox sh -c '{WRITE}'"
        ))?;
    }
    let before = processes(&guest)?;
    let mut times = Vec::new();
    for round in 1..=rounds {
        eprintln!("bench reexec: round {round} of {rounds}");
        for _ in 0..UPGRADES / AT_ONCE {
            times.push(upgrade(&guest)?);
        }
    }
    ensure!(processes(&guest)? == before, "a container was lost");
    for writer in 0..WRITERS {
        guest
            .run(&format!("system-docker kill writer{writer}; system-docker logs writer{writer} | awk '$2 != NR - 1 {{ exit 1 }}'"))
            .with_context(|| format!("the log of writer{writer} has a gap"))?;
    }
    println!(
        "{}",
        row("replacing PID 1's program under load", "s", &times, &[])
    );
    guest.check()
}

/// Seconds that one upgrade takes, client included.
fn upgrade(guest: &Guest) -> anyhow::Result<f64> {
    let command = format!(
        "for i in $(seq {AT_ONCE}); do system-docker engine upgrade >/dev/null || exit 1; done"
    );
    Ok(timed(guest, &command)? / f64::from(AT_ONCE))
}

fn processes(guest: &Guest) -> anyhow::Result<String> {
    let writers: Vec<String> = (0..WRITERS)
        .map(|writer| format!("writer{writer}"))
        .collect();
    guest.run(&format!(
        "system-docker inspect -f '{{{{.Name}}}} {{{{.State.Pid}}}} {{{{.RestartCount}}}}' docker console {}",
        writers.join(" ")
    ))
}
