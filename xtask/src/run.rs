//! Starts the ISO in a virtual machine in this terminal.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask run`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("run is not there yet")
}
