//! A disk that does 50 operations a second, as a worn stick or a busy volume in a cloud: how long `ps` takes while containers start,
//! whose records are synced to that disk.

use std::path::Path;

use anyhow::Context as _;

use super::{median, row};
use crate::artifacts::Artifacts;
use crate::disk::Disk;
use crate::guest::Guest;
use crate::machine::{Boot, Machine};

/// Operations a second.
const IOPS: u32 = 50;
/// Containers that start one after the other in each round.
const STARTS: u32 = 4;

/// Prints the table's rows: the middle and the longest `ps` of all rounds.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let guest = Machine::new("bench-slow-disk", Boot::Kernel)
        .in_ram()
        .arguments(&["-drive", &throttled(&disk.path)])
        .memory_mib(2048)
        .start(artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("docker save busybox | system-docker load -q")?;
    let (mut ours, mut peers) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        ours.extend(round(&guest, "system-docker")?);
        peers.extend(round(&guest, "docker")?);
        eprintln!("bench slow-disk: round {number} of {rounds}");
    }
    println!("{}", row("`ps` while containers start", "s", &ours, &peers));
    let longest = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    eprintln!(
        "bench slow-disk: {} and {} of them, the longest {:.2} s and {:.2} s, the middle {:.2} s and {:.2} s",
        ours.len(),
        peers.len(),
        longest(&ours),
        longest(&peers),
        median(&ours),
        median(&peers)
    );
    guest.check()
}

/// Every write goes to the host's disk, and QEMU lets so many through.
fn throttled(image: &Path) -> String {
    format!(
        "file={},format=raw,if=virtio,cache=writethrough,throttling.iops-total={IOPS}",
        image.display()
    )
}

/// Seconds of each `ps` from the first start to the end of the last.
fn round(guest: &Guest, docker: &str) -> anyhow::Result<Vec<f64>> {
    let said = guest.run(&format!(
        "(for i in $(seq {STARTS}); do {docker} run -d busybox sleep 100000; done >/dev/null 2>&1) & starts=$!; \
         while kill -0 $starts 2>/dev/null; do s=${{EPOCHREALTIME/./}}; {docker} ps >/dev/null || exit 1; \
         echo $(( ${{EPOCHREALTIME/./}} - s )); sleep 0.1; done; \
         {docker} rm -f $({docker} ps -q -f ancestor=busybox) >/dev/null"
    ))?;
    said.lines()
        .map(|line| {
            let microseconds: f64 = line.parse().with_context(|| format!("no time: {line}"))?;
            Ok(microseconds / 1e6)
        })
        .collect()
}
