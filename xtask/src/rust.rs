//! Builds our own programs for the machine: static, so that they run on a bare root file system.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use xshell::{Shell, cmd};

use crate::workspace::Build;

/// Builds the program `bin` (package of the same name) in release mode and returns its path.
pub(crate) fn build(build: &Build, bin: &str) -> Result<PathBuf> {
    let shell = Shell::new().context("open a shell")?;
    shell.change_dir(&build.root);
    let target = build.arch.target();
    // Cargo reads the flags of one target from this variable: host programs (xtask, macros) stay as they are.
    let variable = format!(
        "CARGO_TARGET_{}_RUSTFLAGS",
        target.to_uppercase().replace('-', "_")
    );
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let locked = build.locked.then_some("--locked");
    cmd!(
        shell,
        "{cargo} build --quiet --release {locked...} --target {target} --package {bin} --bin {bin}"
    )
    .env(variable, "-C target-feature=+crt-static")
    .env_remove("RUSTFLAGS")
    .env_remove("CARGO_ENCODED_RUSTFLAGS")
    .quiet()
    .run()
    .with_context(|| format!("build {bin} for {target}"))?;
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| build.root.join("target"), PathBuf::from);
    let path = folder.join(target).join("release").join(bin);
    if !path.is_file() {
        bail!("cargo built {bin} but {} is missing", path.display());
    }
    Ok(path)
}
