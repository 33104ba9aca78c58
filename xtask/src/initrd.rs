//! Builds the initial RAM disk.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask initrd`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("initrd is not there yet")
}
