//! From the command to a User Docker that answers on the new version: with a reboot, by kexec, without either; compared with Debian that
//! installs docker.io again and reboots. And how many requests to a published port fail meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::row;
use crate::artifacts::Artifacts;
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};
use crate::second_version::SecondVersion;
use crate::tests::install::{DISK_BYTES, blank_disk, install_on};
use crate::tests::live::{Clients, publish};

/// What `ros preload-images` logs, and the peer's own unit too, when User Docker answers.
const USER_DOCKER: &str = "user docker answers";
/// What the peer's unit logs before it installs.
const PEER_BEGINS: &str = "peer: upgrade begins";
/// Requests to a published port while a live upgrade runs, and after it up to this number.
const REQUESTS: u32 = 10_000;
/// Longest wait for them: an emulated machine answers 50 a second.
const REQUESTS_DEADLINE: Duration = Duration::from_secs(900);

#[derive(Debug, Default)]
struct Figures {
    reboot_s: Vec<f64>,
    kexec_s: Vec<f64>,
    live_s: Vec<f64>,
    peer_s: Vec<f64>,
    failed: u32,
    requests: u32,
}

/// Measures both, alternately, and prints the table that docs/measurements.md quotes.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for round in 1..=rounds {
        eprintln!("bench upgrade: round {round} of {rounds}");
        let results = [
            ours(artifacts, &mut figures).context("our system"),
            peer(artifacts, &mut figures).context("the peer"),
        ];
        // One machine that fails does not take the figures of the others with it.
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            eprintln!("bench upgrade: round {round}: left out: {error:#}");
        }
    }
    ensure!(
        !figures.peer_s.is_empty(),
        "no upgrade of the peer has ended"
    );
    println!(
        "| from the command to User Docker | RancherOS | Debian 13 + docker.io | ratio |\n|---|---|---|---|"
    );
    for (name, ours) in [
        ("with a reboot", &figures.reboot_s),
        ("by kexec", &figures.kexec_s),
        ("without a reboot (`--live`)", &figures.live_s),
    ] {
        ensure!(!ours.is_empty(), "no upgrade {name} has ended");
        println!("{}", row(name, "s", ours, &figures.peer_s));
    }
    println!(
        "\n{} of {} requests to a published port failed during and after upgrades without a reboot.",
        figures.failed, figures.requests
    );
    Ok(())
}

fn ours(artifacts: &Artifacts, figures: &mut Figures) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(artifacts, "bench-upgrade-install", &disk.path, "")?;
    let next = SecondVersion::of(&artifacts.iso, &["docker"], |_, config| {
        config["Labels"] = json!({"second": "yes"});
    })?;
    let mut guest = Machine::new("bench-upgrade", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci,bootindex=1")
        .disk(&next.path)
        .disc_behind_scsi(&artifacts.iso)
        .memory_mib(1536)
        .start(artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    figures
        .reboot_s
        .push(over_a_boot(&guest, "sudo ros os upgrade -i /dev/sr0 -f")?);
    decided(&guest)?;
    figures.kexec_s.push(over_a_boot(
        &guest,
        "sudo ros os upgrade -i /dev/sr0 -f --kexec",
    )?);
    guest.run_until(
        "sudo ros os history | tail -n 1 | grep -q 'passed its checks after kexec'",
        BOOT_DEADLINE,
    )?;
    over_a_boot(&guest, "sudo reboot")?;
    decided(&guest)?;
    live(&mut guest, figures)?;
    guest.check()
}

/// Seconds from the command to User Docker of the boot that follows.
fn over_a_boot(guest: &Guest, command: &str) -> anyhow::Result<f64> {
    let mark = guest.console.mark();
    let begun = Instant::now();
    // The connection ends with the machine.
    let _ = guest.ssh.answer(command);
    guest
        .console
        .wait_after(mark, "Linux version", BOOT_DEADLINE)?;
    guest.console.wait_after(mark, USER_DOCKER, BOOT_DEADLINE)?;
    let seconds = begun.elapsed().as_secs_f64();
    guest.wait_ready_after(mark)?;
    Ok(seconds)
}

fn decided(guest: &Guest) -> anyhow::Result<()> {
    guest
        .run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)
        .map(drop)
}

fn live(guest: &mut Guest, figures: &mut Figures) -> anyhow::Result<()> {
    let port = publish(guest)?;
    let clients = Clients::start(port);
    let begun = Instant::now();
    // It ends when User Docker answers and every service that was replaced has run for a while
    let said = guest.run("sudo ros os upgrade -i /dev/vdb -f --live")?;
    figures.live_s.push(begun.elapsed().as_secs_f64());
    ensure!(said.contains("docker: works"), "docker stayed: {said}");
    let end = Instant::now() + REQUESTS_DEADLINE;
    while clients.requests() < REQUESTS && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
    }
    let (failed, requests) = clients.end();
    figures.failed += failed;
    figures.requests += requests;
    Ok(())
}

/// Debian: its packages are on its disk, so that no network is measured.
fn peer(artifacts: &Artifacts, figures: &mut Figures) -> anyhow::Result<()> {
    let disk = artifacts.peer()?.display().to_string();
    let guest = Machine::new("bench-upgrade-peer", Boot::Peer)
        .in_ram()
        .parameters("peer.upgrade")
        .arguments(&[
            "-drive",
            &format!("file={disk},format=raw,if=virtio,snapshot=on"),
        ])
        .start(artifacts)?;
    guest.console.wait(PEER_BEGINS, BOOT_DEADLINE)?;
    let (mark, begun) = (guest.console.mark(), Instant::now());
    guest
        .console
        .wait_after(mark, "Linux version", BOOT_DEADLINE)?;
    let mark = guest.console.mark();
    guest.console.wait_after(mark, USER_DOCKER, BOOT_DEADLINE)?;
    figures.peer_s.push(begun.elapsed().as_secs_f64());
    Ok(())
}
