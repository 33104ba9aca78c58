//! Second tries: of what failed, where the run allows them, and of what QEMU did wrong, always. And how long the tests took.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What QEMU's emulation does wrong, as a guest's console tells it.
///
/// - A processor may translate code between the end of its old translation and the write that ended it, and then runs a
///   breakpoint that is long gone; the kernel patches its jump labels with breakpoints.
/// - The AHCI may lose an interrupt: the drive stops for the command's 30 s.
const EMULATOR_FAULTS: [&str; 2] = ["Oops: int3: 0000", "at drivers/ata/libata-core.c"];

/// Of one run; each was seen once in some hundred boots, so that more are something else.
const MOST_EMULATOR_FAULTS: usize = 2;
/// How many tests the table at the end of a run has: those that a run waits for.
const SLOWEST: usize = 20;

/// The second tries of one run.
#[derive(Debug)]
pub(crate) struct Tries {
    failed: Names,
    emulator: Names,
    times: Mutex<Vec<(String, Duration)>>,
}

/// What was tried again, and how much may be.
#[derive(Debug)]
struct Names {
    names: Mutex<Vec<String>>,
    most: usize,
}

impl Names {
    fn new(most: usize) -> Names {
        Names {
            names: Mutex::default(),
            most,
        }
    }

    /// Adds a name if there is room.
    fn add(&self, name: &str) -> bool {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let room = names.len() < self.most;
        if room {
            names.push(name.to_owned());
        }
        room
    }

    fn say(&self, why: &str) {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.is_empty() {
            println!("{why}: {}\n", names.join(", "));
        }
    }
}

impl Tries {
    /// `most` tests, the boot of the shared guest among them, may fail once.
    pub(crate) fn new(most: usize) -> Tries {
        Tries {
            failed: Names::new(most),
            emulator: Names::new(MOST_EMULATOR_FAULTS),
            times: Mutex::default(),
        }
    }

    /// Runs a test, or boots what tests share, and once more if that fails and may.
    ///
    /// Each failure is said at once: the harness repeats it only when the whole run ends, and forgets the first of two.
    pub(crate) fn attempt<T>(
        &self,
        name: &str,
        work: impl Fn() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        let once = || work().inspect_err(|error| eprintln!("\n{name}: {error:#}\n"));
        let outcome = once().or_else(|error| {
            if self.may_try_again(name, &error) {
                once()
            } else {
                Err(error)
            }
        });
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.push((name.to_owned(), begun.elapsed()));
        outcome
    }

    fn may_try_again(&self, name: &str, error: &anyhow::Error) -> bool {
        let text = format!("{error:#}");
        if EMULATOR_FAULTS.iter().any(|fault| text.contains(fault)) {
            self.emulator.add(name)
        } else {
            self.failed.add(name)
        }
    }

    /// Names what was tried again, and what took longest.
    pub(crate) fn say(&self) {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        for (name, time) in times.iter().take(SLOWEST) {
            println!("{:>6.0} s  {name}", time.as_secs_f64());
        }
        self.failed.say("failed at the first try");
        self.emulator.say("tried again after a fault of QEMU's");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::bail;

    use super::*;

    /// How often work that always fails with these words is done.
    fn runs(tries: &Tries, words: &'static str) -> usize {
        let count = Cell::new(0);
        let outcome = tries.attempt("test", || -> anyhow::Result<()> {
            count.set(count.get() + 1);
            bail!("{words}")
        });
        assert!(outcome.is_err());
        count.get()
    }

    #[test]
    fn only_qemu_s_own_faults_are_tried_again_unasked() {
        let tries = Tries::new(0);
        assert_eq!(
            runs(
                &tries,
                "the console says: [1.5] Oops: general protection fault"
            ),
            1
        );
        for expected in [2, 2, 1] {
            let fault = "the console says: [1.5] Oops: int3: 0000 [#1] SMP NOPTI";
            assert_eq!(runs(&tries, fault), expected);
        }
    }

    #[test]
    fn as_much_is_tried_again_as_was_asked_for() {
        let tries = Tries::new(1);
        assert_eq!(runs(&tries, "no answer"), 2);
        assert_eq!(runs(&tries, "no answer"), 1);
    }
}
