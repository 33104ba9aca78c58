//! Programs that we did not write, for the tests of the Engine API: stock docker compose, the Docker SDK for Python, and
//! the registry that stock clients push to. They are handed to the tests and are on no image.

use std::fs;

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache::{self, Inputs};
use crate::workspace::Build;
use crate::{debian, progress};

/// Debian's packages, and the one program that is taken from each: docker compose v2, of the version that goes with its
/// Docker 26, and Docker's registry.
const PROGRAMS: [(&str, &str); 2] = [
    (
        "docker-compose",
        "usr/libexec/docker/cli-plugins/docker-compose",
    ),
    ("docker-registry", "usr/bin/docker-registry"),
];
/// The SDK's files, pinned by hash.
const PYTHON: &str = "ci/python-sdk.txt";

/// Makes `dist/clients-ARCH` unless it is there: the programs under their packages' names, and `python` to be imported
/// from.
///
/// # Errors
/// When a client cannot be fetched or is not the pinned one.
pub(crate) fn ensure(build: &Build) -> Result<()> {
    let _lock = build.lock()?;
    progress::step("clients", || {
        let folder = build.dist().join(format!("clients-{}", build.arch.name()));
        let python = folder.join("python");
        let requirements = build.root.join(PYTHON);
        let mut inputs = Inputs::new("clients");
        inputs.file(&requirements)?;
        let (mut packages, mut made) = (Vec::new(), vec![python.clone()]);
        for (package, _) in PROGRAMS {
            let file = debian::fetch_package(build, package)?;
            inputs.file(&file)?;
            packages.push(file);
            made.push(folder.join(package));
        }
        let key = inputs.key();
        if cache::is_done(build, "clients", &key, &made) {
            return Ok(());
        }
        // What an interrupted run left
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        for ((name, program), package) in PROGRAMS.iter().zip(&packages) {
            debian::deb::extract(package, program, &folder.join(name))?;
        }
        // Pip verifies the hashes, and asks the index that this host is set up for.
        cmd!(
            "python3",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--implementation=py",
            "--platform=any",
            "--require-hashes",
            "--target",
            &python,
            "--requirement",
            &requirements
        )
        .run()
        .context("install the Docker SDK for Python with pip")?;
        cache::mark_done(build, "clients", &key)
    })
}
