//! Boots the built media under QEMU and proves what the README promises; `bench` measures it.
//!
//! The tests see what a user sees: the media, the serial port, the network and QEMU's buttons. Their
//! names read as sentences. Run as `cargo xtask qemu-test [filter]`. `crash` cuts the power of a running machine.
//!
//! **Belongs here:** virtual machines, tests of the booted system, and measurements.
//!
//! **Not here:** this crate does not build anything, and knows nothing of the system's insides but how an installed disk is laid out.
//!
//! **May import:** `install` of our crates.

mod accelerator;
mod artifacts;
mod bench;
mod console;
mod context;
mod crash;
mod disk;
mod guest;
mod machine;
mod qmp;
mod registry;
mod router;
mod second_version;
mod ssh;
mod tests;
mod tries;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use libtest_mimic::Arguments;

use crate::artifacts::Artifacts;
use crate::context::Context;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("qemu-test: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `qemu-test DIST ARCH test|test-twice [--machine disk|ram] [libtest arguments]` or `qemu-test DIST ARCH bench|crash|kill [arguments]`.
fn run() -> anyhow::Result<bool> {
    let mut arguments = std::env::args();
    let program = arguments.next().unwrap_or_default();
    let dist = PathBuf::from(
        arguments
            .next()
            .context("the first argument is the folder dist")?,
    );
    let arch = arguments
        .next()
        .context("the second argument is the architecture")?;
    let mut artifacts = Artifacts::find(&dist, &arch)?;
    match arguments.next().as_deref() {
        Some(verb @ ("test" | "test-twice")) => {
            let mut arguments: Vec<String> = arguments.collect();
            artifacts.state_disks = wants_state_disks(&mut arguments)?;
            let mut libtest = Arguments::from_iter(std::iter::once(program).chain(arguments));
            // A guest has two processors and TCG uses both: more guests than cores only wait.
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            libtest.test_threads = libtest.test_threads.or(Some(cores.min(MOST_GUESTS)));
            let second_tries = if verb == "test" { 0 } else { SECOND_TRIES };
            let context = Context::new(artifacts, second_tries);
            let conclusion = libtest_mimic::run(&libtest, tests::all(&context));
            context.end();
            Ok(!conclusion.has_failed())
        }
        Some("bench") => bench::run(&artifacts, &arguments.collect::<Vec<_>>()).map(|()| true),
        Some("crash") => crash::run(&artifacts, &arguments.collect::<Vec<_>>()).map(|()| true),
        Some("kill") => {
            crash::kills::run(&artifacts, &arguments.collect::<Vec<_>>()).map(|()| true)
        }
        Some("crash-installed") => {
            crash::installed::run(&artifacts, &arguments.collect::<Vec<_>>()).map(|()| true)
        }
        other => {
            bail!(
                "the third argument is test, test-twice, bench, crash, crash-installed or kill, not {other:?}"
            )
        }
    }
}

/// Takes `--machine KIND` out of the arguments: the machines that tests boot have a state disk (`disk`, as people have
/// them) or keep everything in RAM.
fn wants_state_disks(arguments: &mut Vec<String>) -> anyhow::Result<bool> {
    let Some(at) = arguments
        .iter()
        .position(|argument| argument == "--machine")
    else {
        return Ok(true);
    };
    let kind = arguments.get(at + 1).map(String::as_str);
    let wanted = match kind {
        Some("disk") => true,
        Some("ram") => false,
        _ => bail!("--machine is disk or ram, not {}", kind.unwrap_or_default()),
    };
    arguments.drain(at..at + 2);
    Ok(wanted)
}

/// Tests of one run that may fail once, under `test-twice`: what fails more often is broken.
const SECOND_TRIES: usize = 2;
/// Each guest takes 1 GiB.
const MOST_GUESTS: usize = 4;
