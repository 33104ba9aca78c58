//! System Docker beside the real Docker Engine, in one guest: what each takes for the same commands, and its RAM.

use anyhow::Context as _;

use super::registry::Registry;
use super::{guest_with_busybox, row};
use crate::artifacts::Artifacts;
use crate::guest::Guest;

/// Room for 200 shims of Docker's and for state kept in RAM.
const MEMORY_MIB: u32 = 8192;
/// Containers that run when `ps` and RAM are measured.
const FEW: u32 = 50;
const MANY: u32 = 200;
/// Containers started by one command, whose end the harness awaits.
const BATCH: u32 = 10;
/// Lines that one container printed.
const LINES: u32 = 100_000;

/// One engine and its client.
struct Side {
    client: &'static str,
    /// Lists the processes of the daemon itself, for RAM.
    daemon: &'static str,
    /// What it runs beside them for each container.
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
    ram: [Vec<f64>; 3],
    ram_with_helpers: Vec<f64>,
}

/// Measures both sides and prints the table that README quotes.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let registry = Registry::start(artifacts.docker_arch())?;
    let guest = guest_with_busybox(artifacts, "bench-engine", MEMORY_MIB)?;
    // 127.0.0.1 is an insecure registry to both engines without a setting.
    guest.run(&format!(
        "setsid busybox nc -ll -p 5000 -e nc 10.0.2.2 {} </dev/null >/dev/null 2>&1 &",
        registry.port
    ))?;
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
    // Last: 200 containers of Docker's take an emulated machine a quarter of an hour.
    for side in [&mut ours, &mut peer] {
        few_and_many(&guest, side).context(side.client)?;
    }
    print(&ours.figures, &peer.figures);
    Ok(())
}

/// What is measured with no, 50 and 200 containers.
fn few_and_many(guest: &Guest, side: &mut Side) -> anyhow::Result<()> {
    let client = side.client;
    eprintln!("bench engine: {MANY} containers of {client}");
    side.figures.ram[0].push(ram(guest, side.daemon)?);
    for first in (0..MANY).step_by(BATCH as usize) {
        if first == FEW {
            side.figures.ram[1].push(ram(guest, side.daemon)?);
        }
        let names = names(first);
        guest.run(&format!(
            "for n in {names}; do {client} create --name $n busybox sleep 1000000 >/dev/null || exit 1; done"
        ))?;
        let start = timed(guest, &format!("{client} start {names} >/dev/null"))?;
        if first < FEW {
            side.figures.start.push(start);
        }
    }
    side.figures.ram[2].push(ram(guest, side.daemon)?);
    let all = format!("{}; {}", side.daemon, side.helpers);
    side.figures.ram_with_helpers.push(ram(guest, &all)?);
    for _ in 0..5 {
        side.figures
            .ps
            .push(timed(guest, &format!("{client} ps >/dev/null"))?);
    }
    for first in (0..MANY).step_by(BATCH as usize) {
        let names = names(first);
        guest.run(&format!("{client} rm -f {names} >/dev/null"))?;
    }
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
    figures
        .exec
        .push(timed(guest, &format!("{client} exec exec true"))?);
    figures.logs.push(timed(
        guest,
        &format!("test $({client} logs lines | wc -l) = {LINES}"),
    )?);
    guest.run(&format!("{client} rm -f exec lines >/dev/null"))?;
    let image = "127.0.0.1:5000/bench:latest";
    figures.pull.push(timed(
        guest,
        &format!("{client} pull -q {image} >/dev/null"),
    )?);
    guest.run(&format!("{client} rmi {image} >/dev/null"))?;
    Ok(())
}

/// Seconds that a command takes, as the guest's clock has them.
fn timed(guest: &Guest, command: &str) -> anyhow::Result<f64> {
    let microseconds: f64 = guest
        .run(&format!(
            "s=${{EPOCHREALTIME/./}}; {command} || exit 1; echo $(( ${{EPOCHREALTIME/./}} - s ))"
        ))?
        .parse()
        .with_context(|| format!("no time of {command}"))?;
    Ok(microseconds / 1e6)
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

fn print(ours: &Figures, peer: &Figures) {
    println!("| | System Docker | Docker 26.1 | ratio |\n|---|---|---|---|");
    let rows = [
        ("exec true", "s", &ours.exec, &peer.exec),
        (
            "start of 10 containers (of the first 50)",
            "s",
            &ours.start,
            &peer.start,
        ),
        ("ps with 200 containers", "s", &ours.ps, &peer.ps),
        ("logs of 100,000 lines", "s", &ours.logs, &peer.logs),
        ("pull of 200 MB in 4 layers", "s", &ours.pull, &peer.pull),
        (
            "RAM of the daemon, no container",
            "MB",
            &ours.ram[0],
            &peer.ram[0],
        ),
        (
            "RAM of the daemon, 50 containers",
            "MB",
            &ours.ram[1],
            &peer.ram[1],
        ),
        (
            "RAM of the daemon, 200 containers",
            "MB",
            &ours.ram[2],
            &peer.ram[2],
        ),
        (
            "the same with its helper processes",
            "MB",
            &ours.ram_with_helpers,
            &peer.ram_with_helpers,
        ),
    ];
    for (name, unit, ours, peer) in rows {
        println!("{}", row(name, unit, ours, peer));
    }
}
