//! One container, run and removed: `system-docker run --rm` against `docker run --rm`, in one guest.

use super::{guest_with_busybox, row, timed};
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
                "for i in $(seq {RUNS}); do {client} run --rm busybox true || exit 1; done"
            );
            times.push(timed(&guest, &command)? / f64::from(RUNS));
        }
    }
    println!("{}", row("run --rm busybox true", "s", &ours, &peer));
    Ok(())
}
