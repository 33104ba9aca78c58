//! Runs everything that continuous integration runs.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask ci`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("ci is not there yet")
}
