//! Runs the container engine alone on this machine.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask engine`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("engine is not there yet")
}
