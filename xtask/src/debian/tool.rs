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

    /// Unpacks `packages` of the host's architecture for the tool `name`, once; `prepare` changes what was unpacked.
    pub(crate) fn unpack(
        build: &Build,
        name: &str,
        packages: &[PathBuf],
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let host = Self::host(build)?;
        let root = host
            .scratch()
            .join("tools")
            .join(format!("{name}-{}", key(packages)));
        let arch = host.arch;
        if !root.exists() {
            // Under another name first: a program of another run may be using what is there.
            let pending = root.with_extension(format!("{}.new", std::process::id()));
            fs::create_dir_all(&pending)
                .with_context(|| format!("create {}", pending.display()))?;
            for package in packages {
                unpack(package, &pending)?;
            }
            prepare(&pending)?;
            if let Err(error) = fs::rename(&pending, &root) {
                // Another run was faster.
                let _ = fs::remove_dir_all(&pending);
                if !root.exists() {
                    return Err(error).with_context(|| format!("create {}", root.display()));
                }
            }
        }
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

/// Names these packages: their files are named by version.
fn key(packages: &[PathBuf]) -> String {
    let mut names = String::new();
    for package in packages {
        names.push_str(&package.display().to_string());
        names.push('\n');
    }
    let digest = oci_image::Digest::sha256(names.as_bytes());
    digest.hex().chars().take(KEY_PART).collect()
}

/// Digits of a key that tell folders apart.
const KEY_PART: usize = 12;

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
