//! Checks the layout rules of the workspace.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask tidy`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("tidy is not there yet")
}
