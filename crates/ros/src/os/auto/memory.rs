//! When was asked last, and how often that failed.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// On the state disk: a machine that reboots every hour does not ask every hour.
const FILE: &str = "/var/lib/rancher/upgrade-policy.json";
/// The same in RAM: a disk that takes no write does not have the registry asked every few minutes.
const IN_RAM: &str = "/run/rancher/upgrade-policy.json";
/// It has three values.
const LONGEST_BYTES: u64 = 64 << 10;
/// Between two questions.
const INTERVAL_MINUTES: u64 = 24 * 60;
/// After a failure; doubled with each further one, up to the interval.
const AGAIN_MINUTES: u64 = 60;
/// After an order or a reboot that failed; doubled with each further one, up to the interval.
const STUCK_MINUTES: u64 = 10;
/// Machines that start together do not ask together.
pub(super) const JITTER_MINUTES: u64 = 120;

/// What is remembered.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    /// Seconds since 1970.
    asked: u64,
    failures: u32,
    /// Orders and reboots in a row that failed, and when the last one did.
    stuck: u32,
    stuck_at: u64,
    /// The last that was done, for people.
    pub(super) said: Option<String>,
}

impl Memory {
    /// The later of the two.
    pub(super) fn read() -> Memory {
        let (disk, ram) = (
            Self::read_from(Path::new(FILE)),
            Self::read_from(Path::new(IN_RAM)),
        );
        let last = |memory: &Memory| memory.asked.max(memory.stuck_at);
        if last(&ram) > last(&disk) { ram } else { disk }
    }

    /// What is damaged, or not a file at all, is as good as none.
    fn read_from(file: &Path) -> Memory {
        sys::regular::read(file, LONGEST_BYTES)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default()
    }

    pub(super) fn write(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec(self)?;
        cloud_init::store::write_atomic(Path::new(IN_RAM), &text, 0o600)?;
        Ok(cloud_init::store::write_atomic(
            Path::new(FILE),
            &text,
            0o600,
        )?)
    }

    pub(super) fn succeeded(&mut self) {
        self.asked = now();
        self.failures = 0;
    }

    pub(super) fn failed(&mut self) {
        self.asked = now();
        self.failures = self.failures.saturating_add(1);
    }

    /// An order was given, or a reboot asked for.
    pub(super) fn moved(&mut self) {
        self.stuck = 0;
    }

    /// It failed.
    pub(super) fn got_stuck(&mut self) {
        self.stuck_at = now();
        self.stuck = self.stuck.saturating_add(1);
    }

    /// Whether the next try has to wait.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck_at(now())
    }

    fn is_stuck_at(&self, now: u64) -> bool {
        self.stuck > 0 && now.abs_diff(self.stuck_at) < doubled(STUCK_MINUTES, self.stuck) * 60
    }

    pub(super) fn is_due(&self, jitter_minutes: u64) -> bool {
        let id = fs::read("/etc/machine-id")
            .or_else(|_| fs::read("/sys/class/dmi/id/product_uuid"))
            .unwrap_or_default();
        self.is_due_at(now(), jitter_minutes, &id)
    }

    /// The jitter is the machine's own and the same each time.
    fn is_due_at(&self, now: u64, jitter_minutes: u64, id: &[u8]) -> bool {
        let digest = oci_image::Digest::sha256(id);
        let part = u64::from_str_radix(&digest.hex()[..8], 16).unwrap_or(0);
        let jitter = part % (jitter_minutes + 1);
        let pause = match self.failures {
            0 => INTERVAL_MINUTES + jitter,
            failures => doubled(AGAIN_MINUTES, failures),
        };
        // A clock that went back waits no longer than the pause.
        let waited = now.abs_diff(self.asked);
        waited >= pause * 60
    }
}

/// A pause after so many failures.
fn doubled(minutes: u64, failures: u32) -> u64 {
    (minutes << failures.min(10).saturating_sub(1)).min(INTERVAL_MINUTES)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_and_machines_spread() {
        let hours = |failures, hours: u64| {
            let memory = Memory {
                asked: 1_000_000,
                failures,
                ..Memory::default()
            };
            memory.is_due_at(1_000_000 + hours * 3600, 0, b"a")
        };
        assert!(hours(1, 1) && !hours(2, 1) && hours(2, 2) && hours(3, 4) && !hours(3, 3));
        assert!(hours(40, 24) && !hours(40, 23) && hours(0, 24) && !hours(0, 23));
        assert!(Memory::default().is_due_at(1_700_000_000, 120, b"new"));
        let memory = Memory {
            asked: 1_000_000,
            ..Memory::default()
        };
        let due = |id: &[u8]| (0..180).find(|m| memory.is_due_at(1_086_400 + m * 60, 120, id));
        let all: std::collections::BTreeSet<_> = (0..20_u8).map(|id| due(&[id])).collect();
        assert!(
            all.len() > 10 && all.iter().all(|m| m.is_some_and(|m| m <= 120)),
            "{all:?}"
        );
    }

    #[test]
    fn a_pipe_in_its_place_is_not_waited_for() {
        use std::os::fd::AsFd as _;
        let folder = tempfile::tempdir().unwrap();
        let here = fs::File::open(folder.path()).unwrap();
        let kind = sys::fs::NodeKind::Fifo;
        sys::fs::make_node(here.as_fd(), Path::new("memory"), kind, 0o600, (0, 0)).unwrap();
        let read = Memory::read_from(&folder.path().join("memory"));
        assert_eq!(read, Memory::default());
    }

    #[test]
    fn orders_that_fail_back_off_and_questions_do_not_wait_for_them() {
        let stuck = |stuck, minutes: u64| {
            let memory = Memory {
                stuck,
                stuck_at: 1_000_000,
                ..Memory::default()
            };
            memory.is_stuck_at(1_000_000 + minutes * 60)
        };
        assert!(!stuck(0, 0) && stuck(1, 9) && !stuck(1, 10) && stuck(2, 19) && !stuck(2, 20));
        assert!(stuck(40, 24 * 60 - 1) && !stuck(40, 24 * 60));
        let mut memory = Memory::default();
        memory.got_stuck();
        assert!(memory.is_stuck() && memory.is_due(120));
        memory.moved();
        assert!(!memory.is_stuck());
    }
}
