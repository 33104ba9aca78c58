//! System Docker against the real Docker Engine, in one guest: what each takes for the same commands, and its RAM.

use std::ops::Range;

use anyhow::Context as _;

use super::{guest_with_busybox, pull, row, timed};
use crate::artifacts::Artifacts;
use crate::guest::Guest;

/// Room for 200 shims of Docker's and for state kept in RAM.
const MEMORY_MIB: u32 = 8192;
/// Containers that run when `ps` and RAM are measured.
const FEW: u32 = 50;
const MANY: u32 = 200;
/// Containers started by one command, whose end the harness awaits.
const BATCH: u32 = 10;
/// How often a command is measured that takes a fraction of a second: one alone says more about the host than about an engine.
const SAMPLES: usize = 10;
/// Lines that one container printed.
const LINES: u32 = 100_000;

/// One engine and its client.
struct Side {
    client: &'static str,
    /// Lists the processes of the daemon itself, for RAM.
    daemon: &'static str,
    /// What it runs in addition for each container.
    helpers: &'static str,
    figures: Figures,
}

/// What was measured: seconds, and MB of RAM.
#[derive(Default)]
struct Figures {
    exec: Vec<f64>,
    start: Vec<f64>,
    ps: Vec<f64>,
    logs: Vec<f64>,
    pull: Vec<f64>,
    ram_idle: Vec<f64>,
    ram_few: Vec<f64>,
    ram_many: Vec<f64>,
    ram_with_helpers: Vec<f64>,
}

/// Measures both sides and prints the rows of the table that docs/measurements.md quotes, each as soon as both have it.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let guest = guest_with_busybox(artifacts, "bench-engine", MEMORY_MIB)?;
    let _registry = pull::serve(artifacts, &guest)?;
    let mut ours = Side {
        client: "system-docker",
        daemon: "echo 1",
        helpers: "pgrep -P 1 -x init",
        figures: Figures::default(),
    };
    let mut peer = Side {
        client: "docker",
        daemon: "pgrep -x dockerd; pgrep -x containerd",
        helpers: "pgrep -f containerd-shim",
        figures: Figures::default(),
    };
    for round in 1..=rounds {
        eprintln!("bench engine: round {round} of {rounds}");
        for side in [&mut ours, &mut peer] {
            small(&guest, side).context(side.client)?;
        }
    }
    let print = |name: &str, unit: &str, ours: &[f64], peer: &[f64]| {
        println!("{}", row(name, unit, ours, peer));
    };
    let (o, p) = (&ours.figures, &peer.figures);
    print("exec true", "s", &o.exec, &p.exec);
    print("logs of 100,000 lines", "s", &o.logs, &p.logs);
    println!("{}", pull::table_row(&o.pull, &p.pull));
    for side in [&mut ours, &mut peer] {
        side.figures.ram_idle = vec![ram(&guest, side.daemon)?];
        start(&guest, side, 0..FEW).context(side.client)?;
        side.figures.ram_few = vec![ram(&guest, side.daemon)?];
    }
    let (o, p) = (&ours.figures, &peer.figures);
    print(
        "start of 10 containers, of the first 50",
        "s",
        &o.start,
        &p.start,
    );
    print(
        "RAM of the daemon, no container",
        "MB",
        &o.ram_idle,
        &p.ram_idle,
    );
    print(
        "RAM of the daemon, 50 containers",
        "MB",
        &o.ram_few,
        &p.ram_few,
    );
    // Last: 200 containers of Docker's take an emulated machine a quarter of an hour.
    for side in [&mut ours, &mut peer] {
        many(&guest, side).context(side.client)?;
    }
    let (o, p) = (&ours.figures, &peer.figures);
    print("ps with 200 containers", "s", &o.ps, &p.ps);
    print(
        "RAM of the daemon, 200 containers",
        "MB",
        &o.ram_many,
        &p.ram_many,
    );
    let (o, p) = (&o.ram_with_helpers, &p.ram_with_helpers);
    print("the same with its helper processes", "MB", o, p);
    Ok(())
}

/// Makes the containers of these numbers, and starts them ten at a time.
fn start(guest: &Guest, side: &mut Side, numbers: Range<u32>) -> anyhow::Result<()> {
    let client = side.client;
    for first in numbers.step_by(BATCH as usize) {
        let names = names(first);
        guest.run(&format!(
            "for n in {names}; do {client} create --name $n busybox sleep 1000000 >/dev/null || exit 1; done"
        ))?;
        // Docker's 160th shim went away on an emulated machine ("ttrpc: closed"): once more. What runs already stays.
        let start = timed(
            guest,
            &format!("{{ {client} start {names} || {client} start {names}; }} >/dev/null"),
        )?;
        side.figures.start.push(start);
    }
    Ok(())
}

/// What is measured with 200 containers.
fn many(guest: &Guest, side: &mut Side) -> anyhow::Result<()> {
    eprintln!("bench engine: {MANY} containers of {}", side.client);
    start(guest, side, FEW..MANY)?;
    let list = format!("{} ps >/dev/null", side.client);
    for _ in 0..SAMPLES {
        side.figures.ps.push(timed(guest, &list)?);
    }
    side.figures.ram_many = vec![ram(guest, side.daemon)?];
    let all = format!("{}; {}", side.daemon, side.helpers);
    side.figures.ram_with_helpers = vec![ram(guest, &all)?];
    Ok(())
}

/// The containers of one batch, as bash expands them.
fn names(first: u32) -> String {
    format!("bench{{{first}..{}}}", first + BATCH - 1)
}

/// What is measured in each round.
fn small(guest: &Guest, side: &mut Side) -> anyhow::Result<()> {
    let client = side.client;
    guest.run(&format!(
        "{client} run -d --name exec busybox sleep 1000000 && {client} run --name lines busybox seq {LINES} >/dev/null"
    ))?;
    let figures = &mut side.figures;
    for _ in 0..SAMPLES {
        let exec = timed(guest, &format!("{client} exec exec true"))?;
        figures.exec.push(exec);
    }
    figures.logs.push(timed(
        guest,
        &format!("test $({client} logs lines | wc -l) = {LINES}"),
    )?);
    guest.run(&format!("{client} rm -f exec lines >/dev/null"))?;
    figures.pull.push(pull::once(guest, client)?);
    Ok(())
}

/// MB of RAM of the processes that `list` names: their proportional set size (proc(5), smaps_rollup).
fn ram(guest: &Guest, list: &str) -> anyhow::Result<f64> {
    let kib: f64 = guest
        .run(&format!(
            "sudo sh -c 'for p in $({list}); do cat /proc/$p/smaps_rollup; done' | awk '/^Pss:/ {{ s += $2 }} END {{ print s }}'"
        ))?
        .parse()
        .with_context(|| format!("no RAM of {list}"))?;
    Ok(kib * 1024.0 / 1e6)
}
