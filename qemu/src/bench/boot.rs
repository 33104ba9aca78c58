//! From kernel start to Docker, and the RAM that is used then; compared with Debian 13 with docker.io.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::row;
use crate::artifacts::Artifacts;
use crate::console::Console;
use crate::guest::{BOOT_DEADLINE, Guest, PROMPT};
use crate::machine::{Boot, Machine};

/// What PID 1 logs when System Docker's socket answers.
const SYSTEM_DOCKER: &str = "boot: start engine (";
/// What `ros preload-images` logs, and the peer's own unit too, when User Docker answers.
const USER_DOCKER: &str = "user docker answers";
/// What the shell and the peer's unit print before the figure, in KiB.
const RAM_USED: &str = "ram-used-kib ";
/// RAM is read so many seconds after Docker answered.
const SETTLED: u32 = 15;

#[derive(Debug, Default)]
struct Figures {
    system_docker_s: Vec<f64>,
    user_docker_s: Vec<f64>,
    ram_mb: Vec<f64>,
}

/// Boots both, alternately, and prints the table that docs/measurements.md quotes.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let (mut ours, mut peer) = (Figures::default(), Figures::default());
    for round in 1..=rounds {
        eprintln!("bench boot: round {round} of {rounds}");
        let results = [
            measure_ours(artifacts, "", &mut ours).context("our system"),
            measure_peer(artifacts, &mut peer).context("the peer"),
        ];
        // One boot that fails does not take the figures of the others with it.
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            eprintln!("bench boot: round {round}: left out: {error:#}");
        }
    }
    for (name, figures) in [("our system", &ours), ("the peer", &peer)] {
        ensure!(!figures.ram_mb.is_empty(), "no boot of {name} has ended");
    }
    println!("| | RancherOS | Debian 13 + docker.io | ratio |\n|---|---|---|---|");
    println!(
        "{}",
        row(
            "kernel start -> System Docker answers",
            "s",
            &ours.system_docker_s,
            &[]
        )
    );
    println!(
        "{}",
        row(
            "kernel start -> User Docker answers",
            "s",
            &ours.user_docker_s,
            &peer.user_docker_s
        )
    );
    println!(
        "{}",
        row("RAM used 15 s later", "MB", &ours.ram_mb, &peer.ram_mb)
    );
    let size = |path: &std::path::Path| -> anyhow::Result<f64> {
        Ok(std::fs::metadata(path)
            .with_context(|| format!("cannot stat {}", path.display()))?
            .len() as f64
            / 1e6)
    };
    println!(
        "{}",
        row(
            "ISO; the peer's disk",
            "MB",
            &[size(&artifacts.iso)?],
            &[size(&artifacts.peer_content()?)?]
        )
    );
    Ok(())
}

/// Boots a machine on which there is no datasource, once as it is and once with none to look for, alternately.
pub(super) fn datasource(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let (mut looking, mut told) = (Figures::default(), Figures::default());
    for round in 1..=rounds {
        eprintln!("bench datasource: round {round} of {rounds}");
        measure_ours(artifacts, "", &mut looking)?;
        measure_ours(artifacts, " rancher.cloud_init.datasources=[]", &mut told)?;
    }
    println!("| | looked for | none to look for | ratio |\n|---|---|---|---|");
    println!(
        "{}",
        row(
            "kernel start -> User Docker answers",
            "s",
            &looking.user_docker_s,
            &told.user_docker_s
        )
    );
    Ok(())
}

/// Adds the figures of one boot with more `parameters` on the kernel's command line.
fn measure_ours(
    artifacts: &Artifacts,
    parameters: &str,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let guest = Machine::new("bench-ours", Boot::Kernel)
        .in_ram()
        .parameters(&format!("rancher.autologin=ttyS0{parameters}"))
        .start(artifacts)?;
    guest.console.wait(USER_DOCKER, BOOT_DEADLINE)?;
    guest.console.wait(PROMPT, BOOT_DEADLINE)?;
    let command = "awk '/^MemTotal/ {t=$2} /^MemAvailable/ {print \"ram-used-\" \"kib\", t-$2}' /proc/meminfo";
    guest
        .console
        .type_line(&format!("sleep {SETTLED}; {command}"))?;
    figures
        .system_docker_s
        .push(time_of(&guest.console, SYSTEM_DOCKER)?);
    finish(&guest, figures)
}

fn measure_peer(artifacts: &Artifacts, figures: &mut Figures) -> anyhow::Result<()> {
    let disk = artifacts.peer()?.display().to_string();
    let guest = Machine::new("bench-peer", Boot::Peer)
        .in_ram()
        .arguments(&[
            "-drive",
            &format!("file={disk},format=raw,if=virtio,snapshot=on"),
        ])
        .start(artifacts)?;
    guest.console.wait(USER_DOCKER, BOOT_DEADLINE)?;
    finish(&guest, figures)
}

fn finish(guest: &Guest, figures: &mut Figures) -> anyhow::Result<()> {
    figures
        .user_docker_s
        .push(time_of(&guest.console, USER_DOCKER)?);
    guest.console.wait(
        RAM_USED,
        BOOT_DEADLINE + Duration::from_secs(u64::from(SETTLED)),
    )?;
    // The figure ends with the line.
    let mark = guest.console.text().find(RAM_USED).unwrap_or(0);
    guest.console.wait_after(mark, "\n", BOOT_DEADLINE)?;
    let text = guest.console.text();
    let figure = text[mark + RAM_USED.len()..]
        .split_whitespace()
        .next()
        .unwrap_or("");
    let kib: f64 = figure
        .parse()
        .with_context(|| format!("{figure:?} is not an amount of RAM"))?;
    figures.ram_mb.push(kib * 1024.0 / 1e6);
    Ok(())
}

/// The kernel's time stamp of the line that holds `text`: seconds since its start.
fn time_of(console: &Console, text: &str) -> anyhow::Result<f64> {
    let output = console.text();
    let line = output
        .lines()
        .find(|line| line.contains(text))
        .with_context(|| format!("no line has {text:?}"))?;
    stamp(line).with_context(|| format!("no time stamp in {line:?}"))
}

/// A shell's prompt, in brackets too, may stand before it.
pub(super) fn stamp(line: &str) -> Option<f64> {
    line.match_indices('[').find_map(|(bracket, _)| {
        let (text, _) = line[bracket + 1..].split_once(']')?;
        text.trim().parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn a_kernel_line_begins_with_its_time() {
        assert_eq!(
            stamp("[    2.345678] init: boot: start engine (11/13): done"),
            Some(2.345678)
        );
        assert_eq!(
            stamp(
                "\u{1b}[?2004h[rancher@rancher ~]$ [   23.236031] user-docker: user docker answers"
            ),
            Some(23.236031)
        );
        assert_eq!(stamp("no stamp here"), None);
    }
}
