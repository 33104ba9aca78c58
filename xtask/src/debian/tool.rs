//! Programs of Debian's packages that the build runs on whatever host it is on: with the loader and the libraries that come
//! with them, so that every host makes the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::{Expression, cmd};

use super::deb;
use crate::workspace::{Arch, Build};

/// A program and all that it needs, unpacked.
pub(crate) struct Tool {
    root: PathBuf,
    arch: Arch,
}

impl Tool {
    /// This build, for the host's architecture: packages to run come from it.
    pub(crate) fn host(build: &Build) -> Result<Build> {
        Ok(Build {
            arch: Arch::host()?,
            ..build.clone()
        })
    }

    /// Unpacks `packages` of the host's architecture for the tool `name`.
    pub(crate) fn unpack(build: &Build, name: &str, packages: &[PathBuf]) -> Result<Self> {
        let host = Self::host(build)?;
        let root = host.scratch().join("tools").join(name);
        fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
        for package in packages {
            unpack(package, &root)?;
        }
        let arch = host.arch;
        Ok(Self { root, arch })
    }

    /// A file of its packages.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The program at this path of its packages.
    pub(crate) fn run(&self, program: &str, arguments: &[String]) -> Expression {
        let libraries = self.path("usr/lib").join(self.arch.multiarch());
        let mut line = vec![
            "--library-path".to_owned(),
            libraries.display().to_string(),
            self.path(program).display().to_string(),
        ];
        line.extend_from_slice(arguments);
        cmd(libraries.join(self.arch.loader()), line)
    }
}

fn unpack(package: &Path, root: &Path) -> Result<()> {
    deb::for_each(package, |entry| {
        let name = entry.path().context("entry name")?.display().to_string();
        // What an earlier run left is replaced, links too; what leads out of `root` is left out
        entry
            .unpack_in(root)
            .with_context(|| format!("unpack {name}"))
            .map(|_| ())
    })
}
