//! Boots the media and tests the running system.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask qemu-test`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("qemu-test is not there yet")
}
