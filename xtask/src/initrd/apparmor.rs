//! Compiles AppArmor policy with the parser of the system that is built, whatever the host has: the engine loads what comes
//! out, and no compiler runs at boot.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cache;
use crate::debian::{self, Tool};
use crate::workspace::Build;

/// Packages of the parser and all that it needs to run. Policy is the same for every architecture.
const PACKAGES: [&str; 2] = ["apparmor", "libc6"];
/// What of the parser's package says which rules kernels know, and what policy's `include` and `abi` name.
const FEATURES: &str = "usr/share/apparmor-features/features";
const BASE: &str = "etc/apparmor.d";

/// Fetches the packages, which the policy depends on.
pub(super) fn fetch(build: &Build) -> Result<Vec<PathBuf>> {
    let host = Tool::host(build)?;
    PACKAGES
        .iter()
        .map(|name| debian::fetch_package(&host, name))
        .collect()
}

/// Compiles the profiles of the file `source` into `target`.
pub(super) fn compile(
    build: &Build,
    packages: &[PathBuf],
    source: &Path,
    target: &Path,
) -> Result<()> {
    let parser = Tool::unpack(build, "apparmor", packages, |_| Ok(()))?;
    // The host's file would say what the host's kernel knows
    let configuration = parser.path("parser.conf");
    cache::write(&configuration, b"")?;
    let mut arguments = vec!["--skip-kernel-load".to_owned(), "--skip-cache".to_owned()];
    for (option, path) in [
        ("--config-file", &*configuration),
        ("--base", &parser.path(BASE)),
        ("--kernel-features", &parser.path(FEATURES)),
        ("--ofile", target),
    ] {
        arguments.extend([option.to_owned(), path.display().to_string()]);
    }
    arguments.push(source.display().to_string());
    parser
        .run("usr/sbin/apparmor_parser", &arguments)
        .stderr_to_stdout()
        .read()
        .with_context(|| format!("compile the AppArmor policy {}", source.display()))
        .map(|_| ())
}
