//! placeholder
use crate::workspace::Build;
use anyhow::Result;
/// Options
#[derive(clap::Args)]
pub(crate) struct Options {}
/// Entry
pub(crate) fn run(build: &Build, _options: &Options) -> Result<()> {
    let path = crate::debian::fetch_package(build, "linux-source-6.12")?;
    eprintln!("{}", path.display());
    Ok(())
}
