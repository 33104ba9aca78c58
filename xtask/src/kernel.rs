//! Builds the kernel, its modules and the firmware image.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask kernel`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("kernel is not there yet")
}
