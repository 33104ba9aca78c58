//! patchelf of Debian 12, on every host. The one of Debian 13 (0.18) lays segments of programs with a fixed address (containerd,
//! runc) over one another, and what the loader writes lands on a read-only page.

use anyhow::{Context, Result};

use crate::debian::{self, PoolFile, Tool};
use crate::workspace::{Arch, Build};

/// Unpacked, with what it needs to run.
pub(super) struct Patchelf(Tool);

/// Packages of the suite that is built whose libraries it needs.
const LIBRARIES: [&str; 3] = ["libc6", "libgcc-s1", "libstdc++6"];

fn package(host: Arch) -> PoolFile {
    let (path, sha256, size) = match host {
        Arch::X86_64 => (
            "pool/main/p/patchelf/patchelf_0.14.3-1+b1_amd64.deb",
            "0364b90e81faabbb9569076063952c7bcbf07f83d954a2f2602a163d65be60e6",
            65480,
        ),
        Arch::Aarch64 => (
            "pool/main/p/patchelf/patchelf_0.14.3-1+b1_arm64.deb",
            "a0dc6bda4b34cc242e5cb5d6ffc664c7b9968df715f3fecad130bedb343f5e8a",
            59004,
        ),
    };
    PoolFile {
        name: "patchelf",
        path,
        sha256,
        size,
    }
}

impl Patchelf {
    /// Fetches and unpacks it.
    pub(super) fn get(build: &Build) -> Result<Self> {
        let host = Tool::host(build)?;
        let mut packages = vec![debian::fetch_pool_file(&package(host.arch))?];
        for name in LIBRARIES {
            packages.push(debian::fetch_package(&host, name)?);
        }
        Ok(Self(Tool::unpack(
            build,
            "patchelf",
            &packages,
            |_| Ok(()),
        )?))
    }

    /// Runs it on a file, which `arguments` end with.
    pub(super) fn run(&self, arguments: &[String]) -> Result<()> {
        self.0
            .run("usr/bin/patchelf", arguments)
            .run()
            .with_context(|| format!("patchelf {}", arguments.join(" ")))
            .map(|_| ())
    }
}
