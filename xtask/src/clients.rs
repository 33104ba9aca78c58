//! Clients that we did not write, for the tests of the Engine API: stock docker compose and the Docker SDK for Python.
//! They are handed to the tests and are on no image.

use std::fs;

use anyhow::{Context, Result};
use duct::cmd;

use crate::cache::{self, Inputs};
use crate::workspace::Build;
use crate::{debian, progress};

/// Debian's docker compose v2: the version that goes with its Docker 26.
const COMPOSE_PACKAGE: &str = "docker-compose";
/// The program in it.
const COMPOSE: &str = "usr/libexec/docker/cli-plugins/docker-compose";
/// The SDK's files, pinned by hash.
const PYTHON: &str = "ci/python-sdk.txt";

/// Makes `dist/clients-ARCH` unless it is there: `docker-compose`, and `python` to be imported from.
///
/// # Errors
/// When a client cannot be fetched or is not the pinned one.
pub(crate) fn ensure(build: &Build) -> Result<()> {
    progress::step("clients", || {
        let folder = build.dist().join(format!("clients-{}", build.arch.name()));
        let package = debian::fetch_package(build, COMPOSE_PACKAGE)?;
        let requirements = build.root.join(PYTHON);
        let mut inputs = Inputs::new("clients");
        inputs.file(&package)?.file(&requirements)?;
        let key = inputs.key();
        let (compose, python) = (folder.join("docker-compose"), folder.join("python"));
        if cache::is_done(build, "clients", &key, &[compose.clone(), python.clone()]) {
            return Ok(());
        }
        // What an interrupted run left
        fs::remove_dir_all(&folder).ok();
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        debian::deb::extract(&package, COMPOSE, &compose)?;
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
