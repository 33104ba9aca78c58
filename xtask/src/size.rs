//! Shows sizes against their budgets.

use anyhow::{Result, bail};

use crate::workspace::Build;

/// Options of `cargo xtask size`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    bail!("size is not there yet")
}
