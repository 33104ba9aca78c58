//! Compiles AppArmor policy with the parser of the system that is built, whatever the building machine has: the engine loads
//! what comes out, and no compiler runs at boot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache;
use crate::debian::{self, deb};
use crate::workspace::{Arch, Build};

/// Packages of the parser and all that it needs to run.
const PACKAGES: [&str; 2] = ["apparmor", "libc6"];
/// What of the parser's package says which rules kernels know, and what policy's `include` and `abi` name.
const FEATURES: &str = "usr/share/apparmor-features/features";
const BASE: &str = "etc/apparmor.d";

/// The parser, unpacked.
pub(super) struct Parser {
    build: Build,
    packages: Vec<PathBuf>,
}

impl Parser {
    /// Fetches it for this machine: policy is the same for every architecture.
    pub(super) fn fetch(build: &Build) -> Result<Self> {
        let host = Build {
            arch: Arch::host()?,
            ..build.clone()
        };
        let packages = PACKAGES
            .iter()
            .map(|name| debian::fetch_package(&host, name))
            .collect::<Result<_>>()?;
        Ok(Self {
            build: host,
            packages,
        })
    }

    /// The packages, which the result depends on.
    pub(super) fn packages(&self) -> &[PathBuf] {
        &self.packages
    }

    /// Compiles the profiles of the file `source` into `target`.
    pub(super) fn compile(&self, source: &Path, target: &Path) -> Result<()> {
        let root = self.build.scratch().join("apparmor");
        for package in &self.packages {
            unpack(package, &root)?;
        }
        let libraries = root.join("usr/lib").join(self.build.arch.multiarch());
        // The building machine's file would say what this machine's kernel knows
        let configuration = root.join("parser.conf");
        cache::write(&configuration, b"")?;
        cmd!(
            libraries.join(self.build.arch.loader()),
            "--library-path",
            &libraries,
            root.join("usr/sbin/apparmor_parser"),
            "--config-file",
            &configuration,
            "--base",
            root.join(BASE),
            "--kernel-features",
            root.join(FEATURES),
            "--skip-kernel-load",
            "--skip-cache",
            "--ofile",
            target,
            source
        )
        .stderr_to_stdout()
        .read()
        .with_context(|| format!("compile the AppArmor policy {}", source.display()))
        .map(|_| ())
    }
}

fn unpack(package: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("create {}", root.display()))?;
    deb::for_each(package, |entry| {
        let name = entry.path().context("entry name")?.display().to_string();
        // What an earlier run left is replaced, links too; what leads out of `root` is left out
        entry
            .unpack_in(root)
            .with_context(|| format!("unpack {name}"))
            .map(|_| ())
    })
}
