//! One container, run and removed: `system-docker run --rm` beside `docker run --rm`, in one guest.

use anyhow::Context as _;

use super::{guest_with_busybox, row};
use crate::artifacts::Artifacts;

/// Runs of one command that one measurement is the mean of.
const RUNS: u32 = 5;

/// Measures both alternately and prints the table's row.
pub(super) fn run(artifacts: &Artifacts, rounds: usize) -> anyhow::Result<()> {
    let guest = guest_with_busybox(artifacts, "bench-run", 2048)?;
    let (mut ours, mut peer) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for (client, times) in [("system-docker", &mut ours), ("docker", &mut peer)] {
            let command = format!(
                "s=${{EPOCHREALTIME/./}}; for i in $(seq {RUNS}); do {client} run --rm busybox true || exit 1; done; echo $(( ${{EPOCHREALTIME/./}} - s ))"
            );
            let microseconds: f64 = guest
                .run(&command)?
                .parse()
                .context("date printed no number")?;
            times.push(microseconds / 1e6 / f64::from(RUNS));
        }
    }
    println!("{}", row("run --rm busybox true", "s", &ours, &peer));
    Ok(())
}
