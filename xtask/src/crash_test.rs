//! `cargo xtask crash-test`: power cuts at every point of the life of a machine's disk.
//!
//! `install::crash` has the story and the states; here they are run until there are enough of them, and wrong orders that are
//! made on purpose must be noticed. With `--machine` it is a running machine whose power is cut, and with
//! `--vm` one that is killed while it upgrades (`qemu/src/crash`).

use anyhow::{Result, bail, ensure};
use install::crash::{Event, Fault, Share, run as run_states, story};

use crate::workspace::Build;
use crate::{iso, progress, qemu_test};

/// Options of `cargo xtask crash-test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// States to look at
    #[arg(long, default_value_t = 1_000_000)]
    states: usize,
    /// A fiftieth of them, as in CI
    #[arg(long)]
    short: bool,
    /// Record the state disk of a machine that runs, look at this many states of it (minutes), and boot a sample of them
    #[arg(long, value_name = "STATES", num_args = 0..=1, default_missing_value = "300", conflicts_with_all = ["states", "short"])]
    machine: Option<usize>,
    /// Of these states, so many are booted
    #[arg(long, default_value_t = 8, requires = "machine")]
    boots: usize,
    /// Record the disk of an installed machine that changes versions, look at this many states of it (minutes), and boot a sample
    #[arg(long, value_name = "STATES", num_args = 0..=1, default_missing_value = "150", conflicts_with_all = ["states", "short", "machine"])]
    installed: Option<usize>,
    /// Kill a machine so many times while it upgrades (hours)
    #[arg(long, value_name = "KILLS", num_args = 0..=1, default_missing_value = "200", conflicts_with_all = ["states", "short", "machine", "installed"])]
    vm: Option<usize>,
    /// Number of the first kill: its moment depends on it, and a run goes on where another one has ended
    #[arg(long, default_value_t = 0, requires = "vm")]
    from: usize,
}

/// Of the states, CI takes one in this many.
const SHORT: usize = 50;
/// Flushes with few writes, of which every subset is tried anyway, and those that the rounds do not reach.
const ROUNDS: usize = 50;

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    if let Some(states) = options.machine {
        iso::build(build)?;
        let numbers = [states.to_string(), options.boots.to_string()];
        return progress::step("crash-test", || qemu_test::start(build, "crash", &numbers));
    }
    if let Some(states) = options.installed {
        iso::build(build)?;
        let numbers = [states.to_string()];
        return progress::step("crash-test", || {
            qemu_test::start(build, "crash-installed", &numbers)
        });
    }
    if let Some(kills) = options.vm {
        iso::build(build)?;
        let numbers = [kills.to_string(), options.from.to_string()];
        return progress::step("crash-test", || qemu_test::start(build, "kill", &numbers));
    }
    let wanted = if options.short {
        options.states / SHORT
    } else {
        options.states
    };
    let right = story(None);
    let flushes = right
        .events
        .iter()
        .filter(|event| matches!(event, Event::Flush))
        .count();
    let step = if options.short { SHORT } else { 1 };
    let mut random = wanted / flushes.max(1);
    let mut states = 0;
    for _ in 0..ROUNDS {
        let outcome = run_states(&right, Share { random, step });
        if outcome.bad > 0 {
            bail!(
                "{} of {} states are bad:\n  {}",
                outcome.bad,
                outcome.states,
                outcome.told.join("\n  ")
            );
        }
        states = outcome.states;
        if states >= wanted {
            break;
        }
        // Some flushes have few writes: the others take their part.
        random += random * wanted / states.max(1) / 2 + 1;
    }
    ensure!(states >= wanted, "only {states} of {wanted} states");
    for fault in Fault::ALL {
        let outcome = run_states(
            &story(Some(fault)),
            Share {
                random: 100,
                step: SHORT,
            },
        );
        ensure!(outcome.bad > 0, "nobody notices the wrong order {fault:?}");
    }
    progress::note(
        "crash-test",
        &format!(
            "{states} states after a power cut, none bad; {} wrong orders were noticed",
            Fault::ALL.len()
        ),
    );
    Ok(())
}
