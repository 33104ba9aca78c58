//! Running the boot phases: a deadline for each, one log line for each, and a trace of them all.
//!
//! A phase that touches devices can block in the kernel for as long as the hardware likes, so it
//! runs in its own thread and PID 1 stops listening to it when its deadline passes.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::Serialize;
use sys::clock;

use crate::log;
use crate::machine::Machine;
use crate::watchdog;

/// What the boot does when a phase fails or misses its deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OnFailure {
    /// Report it and go on: the machine is useful without it.
    Continue,
    /// Nothing after it can work: give the operator a shell on the console.
    Rescue,
    /// [`OnFailure::Rescue`] on a machine that is configured to need it, else [`OnFailure::Continue`].
    RescueIf(fn(&Machine) -> bool),
}

impl OnFailure {
    fn ends_the_boot(self, machine: &Machine) -> bool {
        match self {
            OnFailure::Continue => false,
            OnFailure::Rescue => true,
            OnFailure::RescueIf(needs) => needs(machine),
        }
    }
}

/// The work of a phase: it takes the machine as the phases before left it and returns it changed.
pub(crate) type Work = fn(Machine) -> anyhow::Result<Machine>;

/// One step of the boot.
#[derive(Clone, Copy)]
pub(crate) struct Phase {
    /// Shown in the log and by `ros boot blame`.
    pub(crate) name: &'static str,
    /// Longest time that the boot waits for it.
    pub(crate) deadline: Duration,
    /// What happens when it fails.
    pub(crate) on_failure: OnFailure,
    /// The function that does it.
    pub(crate) work: Work,
}

/// How one phase went; `/run/rancher/boot.json` is a list of these.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// The phase's name.
    pub(crate) name: String,
    /// Seconds after kernel start (CLOCK_BOOTTIME) at which it began.
    pub(crate) start_s: f64,
    /// How long it took, in seconds.
    pub(crate) duration_s: f64,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A phase failed whose failure ends the normal boot.
#[derive(Debug)]
pub(crate) struct Fatal {
    /// The phase's name.
    pub(crate) phase: &'static str,
    /// Why it failed.
    pub(crate) reason: String,
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.phase, self.reason)
    }
}

/// Runs `phases` in order, and returns the machine as the last one left it.
///
/// `total` and `first` number the log lines: the phases of the engine come after these.
///
/// # Errors
/// The first failed phase that is marked [`OnFailure::Rescue`], with the machine as it was then.
pub(crate) fn run(
    phases: &[Phase],
    total: usize,
    mut machine: Machine,
) -> Result<Machine, Box<(Fatal, Machine)>> {
    for (index, phase) in phases.iter().enumerate() {
        let start_s = clock::boottime().as_secs_f64();
        let result = with_deadline(phase, machine.clone());
        let error = result.as_ref().err().cloned();
        machine = result.unwrap_or(machine);
        let record = Record::ended(phase.name, start_s, error.clone());
        announce(index + 1, total, &record);
        machine.trace.push(record);
        if let Some(reason) = error
            && phase.on_failure.ends_the_boot(&machine)
        {
            let fatal = Fatal {
                phase: phase.name,
                reason,
            };
            return Err(Box::new((fatal, machine)));
        }
    }
    Ok(machine)
}

impl Record {
    /// The record of a phase that ends now.
    pub(crate) fn ended(name: &str, start_s: f64, error: Option<String>) -> Record {
        let duration_s = clock::boottime().as_secs_f64() - start_s;
        Record {
            name: name.to_owned(),
            start_s,
            duration_s,
            error,
        }
    }
}

/// Logs a phase's end as `boot: mount state (5/14): done, 0.12 s`.
pub(crate) fn announce(number: usize, total: usize, record: &Record) {
    let Record {
        name,
        duration_s,
        error,
        ..
    } = record;
    match error {
        None => log::info(&format!(
            "boot: {name} ({number}/{total}): done, {duration_s:.2} s"
        )),
        Some(reason) => log::error(&format!(
            "boot: {name} ({number}/{total}): failed after {duration_s:.2} s: {reason}"
        )),
    }
}

fn with_deadline(phase: &Phase, machine: Machine) -> Result<Machine, String> {
    let (sender, receiver) = mpsc::channel();
    let work = phase.work;
    let spawned = std::thread::Builder::new()
        .name(phase.name.to_owned())
        .spawn(move || {
            // The receiver is gone once the deadline has passed: then nobody wants the answer.
            let _ = sender.send(work(machine));
        });
    if let Err(error) = spawned {
        return Err(format!("cannot start its thread: {error}"));
    }
    match wait(&receiver, phase.deadline) {
        Ok(Ok(machine)) => Ok(machine),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("no end after {} s", phase.deadline.as_secs()))
        }
        // The sender is dropped without a message only when the phase panicked.
        Err(RecvTimeoutError::Disconnected) => Err("panicked".to_owned()),
    }
}

/// Waits for the phase's end, and shows signs of life meanwhile: a phase that hangs ends at its deadline.
fn wait<T>(receiver: &mpsc::Receiver<T>, deadline: Duration) -> Result<T, RecvTimeoutError> {
    let end = Instant::now() + deadline;
    loop {
        watchdog::feed();
        let left = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(left.min(watchdog::pause())) {
            Err(RecvTimeoutError::Timeout) if Instant::now() < end => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(name: &'static str, on_failure: OnFailure, work: Work) -> Phase {
        Phase {
            name,
            deadline: Duration::from_millis(200),
            on_failure,
            work,
        }
    }

    fn rename(mut machine: Machine) -> anyhow::Result<Machine> {
        machine.hostname = "changed".to_owned();
        Ok(machine)
    }

    fn fail(mut machine: Machine) -> anyhow::Result<Machine> {
        machine.hostname = "half done".to_owned();
        anyhow::bail!("no such disk")
    }

    fn hang(_: Machine) -> anyhow::Result<Machine> {
        std::thread::park();
        unreachable!("parked for good")
    }

    fn panic(_: Machine) -> anyhow::Result<Machine> {
        panic!("a phase may be wrong")
    }

    #[test]
    fn a_failed_phase_leaves_the_machine_of_the_phase_before() {
        let phases = [
            phase("rename", OnFailure::Rescue, rename),
            phase("fail", OnFailure::Continue, fail),
        ];
        let machine = run(&phases, 2, Machine::default()).expect("the boot goes on");
        assert_eq!(machine.hostname, "changed");
        assert_eq!(machine.trace[1].error.as_deref(), Some("no such disk"));
    }

    #[test]
    fn hanging_and_panicking_phases_do_not_stop_the_boot() {
        let phases = [
            phase("hang", OnFailure::Continue, hang),
            phase("panic", OnFailure::Continue, panic),
            phase("rename", OnFailure::Continue, rename),
        ];
        let machine = run(&phases, 3, Machine::default()).expect("the boot goes on");
        assert_eq!(machine.hostname, "changed");
        assert_eq!(machine.trace.len(), 3);
    }

    #[test]
    fn a_phase_that_must_succeed_names_itself() {
        let phases = [phase("find media", OnFailure::Rescue, fail)];
        let failed = run(&phases, 1, Machine::default()).expect_err("it must end the boot");
        assert_eq!(failed.0.to_string(), "find media failed: no such disk");
    }
}
