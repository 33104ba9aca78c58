//! Replacing PID 1's program again and again while containers write: how long it takes, and that nothing is lost.

use anyhow::{Context as _, ensure};

use super::{guest_with_busybox, median, row, timed};
use crate::artifacts::Artifacts;
use crate::guest::Guest;

/// Upgrades of one round; the default of five rounds makes a thousand.
const UPGRADES: u32 = 200;
/// Upgrades in one command, which has a deadline.
const AT_ONCE: u32 = 10;
/// Containers that write all the time.
const WRITERS: u32 = 8;
/// A writer: a hundred numbered lines, then a rest of 0.1 s. Eight of them write some thousand lines a second and leave
/// the emulated CPU to the upgrades; without rests the reading of their logs is most of a round.
const WRITE: &str =
    "i=0; while :; do echo n $i; i=$((i+1)); case $i in *00) usleep 100000;; esac; done";

/// Prints the table's row; fails when a child or a line was lost.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let guest = guest_with_busybox(artifacts, "bench-reexec", 2048)?;
    let mut times = Vec::new();
    for number in 1..=rounds {
        let lines = round(&guest, &mut times)?;
        eprintln!(
            "bench reexec: round {number} of {rounds}: {UPGRADES} upgrades, median {:.2} s, {lines} lines, none lost",
            median(&times)
        );
    }
    println!(
        "{}",
        row("replacing PID 1's program under load", "s", &times, &[])
    );
    guest.check()
}

/// One round with its own writers; returns how many lines they wrote.
fn round(guest: &Guest, times: &mut Vec<f64>) -> anyhow::Result<u64> {
    for writer in 0..WRITERS {
        guest.run(&format!(
            "system-docker run -d --name writer{writer} --log-opt max-size=-1 busybox sh -c '{WRITE}'"
        ))?;
    }
    let before = processes(guest)?;
    for _ in 0..UPGRADES / AT_ONCE {
        times.push(upgrade(guest)?);
    }
    ensure!(processes(guest)? == before, "a container was lost");
    guest.run("system-docker kill $(system-docker ps -q --filter name=writer)")?;
    let mut lines = 0;
    for writer in 0..WRITERS {
        lines += count(guest, writer).with_context(|| format!("the log of writer{writer}"))?;
    }
    Ok(lines)
}

/// Lines in a writer's log, which must have no gap; removes the writer.
fn count(guest: &Guest, writer: u32) -> anyhow::Result<u64> {
    let counted = guest.run(&format!(
        "system-docker logs writer{writer} | awk '$2 != NR - 1 {{ gap = 1; exit 1 }} END {{ if (!gap) print NR }}' \
            && system-docker rm writer{writer} >/dev/null"
    ))?;
    let lines = counted
        .trim()
        .parse()
        .with_context(|| format!("no number of lines: {counted}"))?;
    ensure!(lines > 0, "it is empty");
    Ok(lines)
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
