//! Downloads and verifies everything the build takes from outside.

use anyhow::Result;

use crate::images::declaration::Declarations;
use crate::workspace::Build;
use crate::{debian, grub, progress, setup};

/// Options of `cargo xtask fetch`.
#[derive(clap::Args)]
pub(crate) struct Options {}

/// Entry point of the command.
pub(crate) fn run(build: &Build, _options: &Options) -> Result<()> {
    setup::ensure(build, &[setup::Purpose::Fetch])?;
    progress::step("fetch", || {
        let declarations = Declarations::read(build)?;
        let closures = debian::fetch_closures(build, &declarations.requests())?;
        for (image, packages) in declarations.image.iter().zip(&closures) {
            let names: Vec<&str> = packages
                .iter()
                .map(|package| package.name.as_str())
                .collect();
            progress::note(&image.name, &names.join(" "));
        }
        grub::fetch(build).map(|_| ())
    })
}
