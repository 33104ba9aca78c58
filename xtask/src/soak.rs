//! Runs the long tests of "nothing kills PID 1" (`crates/init/tests/soak`), which `cargo test` leaves out.

use anyhow::{Context, Result};

use crate::setup::{self, Purpose};
use crate::workspace::Build;

/// Options of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// Runs the quick ones too: they share what they need.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    setup::ensure(build, &[Purpose::Tests])?;
    // One after the other: they count what the engine holds, and memory.
    let fixed = ["test", "--package", "init", "--test", "soak", "--"];
    let after = ["--include-ignored", "--nocapture", "--test-threads=1"];
    let arguments = fixed
        .into_iter()
        .chain(after)
        .chain(options.filter.as_deref());
    duct::cmd("cargo", arguments)
        .dir(&build.root)
        .run()
        .context("soak tests")?;
    Ok(())
}
