//! placeholder
use crate::workspace::Build;
use anyhow::Result;
/// Options
#[derive(clap::Args)]
pub(crate) struct Options {}
/// Entry
pub(crate) fn run(_build: &Build, _options: &Options) -> Result<()> {
    Ok(())
}
