//! Measures boot time, memory and sizes beside a Debian peer.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("bench is not there yet")
}
