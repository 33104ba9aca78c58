//! Builds the bootable ISO image.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask iso`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("iso is not there yet")
}
