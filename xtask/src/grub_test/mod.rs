//! Runs Debian's own GRUB on every state of the boot records and compares what it does with what our chooser says.
//!
//! grub-emu is GRUB as a program: the same script engine, file systems and writing of records as in the image on the disk.

mod emulator;
mod states;

use anyhow::{Result, bail};

use crate::progress;
use crate::workspace::Build;
use emulator::Emulator;

/// Options of `cargo xtask grub-test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only every 64th state, as in CI
    #[arg(long)]
    short: bool,
}

/// Of the states, CI takes one in this many.
const SHORT: usize = 64;
/// Disks of one run of the emulator: its start takes longer than a state.
const AT_ONCE: usize = 64;
/// Differences that are printed.
const PRINTED: usize = 5;

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    let emulator = Emulator::get(build)?;
    let step = if options.short { SHORT } else { 1 };
    let states: Vec<_> = states::all().into_iter().step_by(step).collect();
    let mut differences = Vec::new();
    for writable in [true, false] {
        for batch in states.chunks(AT_ONCE) {
            let answers = emulator.run(batch, writable)?;
            for (state, answer) in batch.iter().zip(answers) {
                let wanted = states::expected(state, writable);
                if answer != wanted {
                    differences.push(format!(
                        "{}\n  GRUB {answer:?}\n  ours {wanted:?}",
                        states::describe(state)
                    ));
                }
            }
        }
    }
    if differences.is_empty() {
        progress::note(
            "grub-test",
            &format!(
                "{} states, on writable and read-only disks, as our chooser has them",
                states.len()
            ),
        );
        return Ok(());
    }
    differences.truncate(PRINTED);
    bail!("GRUB and our chooser differ:\n{}", differences.join("\n"))
}
