//! Runs the container engine alone on this machine, as root and without booting.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::workspace::Build;
use crate::{progress, rust};

/// Options of `cargo xtask engine`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Also offer the system images of dist/
    #[arg(long)]
    media: bool,
}

/// Builds PID 1's program and starts `init engine` until Ctrl-C.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    let program = progress::step("build init and worker", || {
        rust::build(build, "worker")?;
        rust::build(build, "init")
    })?;
    let folder = build.scratch().join("engine");
    let shell = Shell::new().context("open a shell")?;
    shell
        .create_dir(&folder)
        .with_context(|| format!("create {}", folder.display()))?;
    let (root, run, socket) = (
        folder.join("root"),
        folder.join("run"),
        folder.join("system-docker.sock"),
    );
    let media: Vec<_> = if options.media {
        vec!["--media".into(), build.media().into_os_string()]
    } else {
        Vec::new()
    };
    let sudo = (!is_root()).then_some("sudo");
    println!("DOCKER_HOST=unix://{}", socket.display());
    cmd!(
        shell,
        "env {sudo...} {program} engine --root {root} --run {run} --socket {socket} {media...}"
    )
    .quiet()
    .run()
    .context("init engine")
}

/// Whether this process may make namespaces without sudo: `/proc/self` belongs to its user.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
