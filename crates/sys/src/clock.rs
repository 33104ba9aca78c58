//! Clocks that nobody sets: clock_gettime(2).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the kernel started, suspend included (CLOCK_BOOTTIME).
#[must_use]
pub fn boottime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
