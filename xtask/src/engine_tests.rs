//! The engine's own tests as programs, for qemu-test: what holds on a developer's machine must hold on ours, next to the real
//! PID 1. They are handed to the tests and are on no image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;
use serde::Deserialize;

use crate::kernel::cross_prefix;
use crate::progress;
use crate::workspace::{Arch, Build};

/// Test targets: the unit tests of the engine's crates, the runtime's against the kernel (`containers`), those that start the
/// engine as a process and ill-treat it, and those that replace its program.
const TARGETS: [&str; 8] = [
    "engine",
    "engine_server",
    "images",
    "network",
    "runtime",
    "containers",
    "soak",
    "upgrade",
];

/// One line of cargo's `--message-format=json`, as far as it is of interest.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Makes `dist/engine-tests-ARCH` with a program per target, without its debug information.
///
/// # Errors
/// When they do not compile.
pub(crate) fn ensure(build: &Build) -> Result<()> {
    let _lock = build.lock()?;
    progress::step("engine tests", || {
        let folder = build
            .dist()
            .join(format!("engine-tests-{}", build.arch.name()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let programs = compile(build)?;
        for name in TARGETS {
            let program = programs
                .get(name)
                .with_context(|| format!("cargo built no test program {name}"))?;
            strip(build, program, &folder.join(name))?;
        }
        Ok(())
    })
}

/// Compiles as CI's `cargo test` does, so that nothing is compiled twice there; the programs by the names of their targets.
fn compile(build: &Build) -> Result<BTreeMap<String, PathBuf>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut arguments = vec!["test", "--quiet", "--no-run", "--message-format=json"];
    arguments.extend(["--workspace", "--exclude", "qemu-test"]);
    if build.arch != Arch::host()? {
        arguments.extend(["--target", build.arch.target()]);
    }
    let text = cmd(cargo, arguments)
        .dir(&build.root)
        .read()
        .context("compile the engine's tests")?;
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok());
    Ok(messages
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect())
}

/// Copies a program without what only debuggers read: a quarter of its size, and a guest is slow to receive it.
fn strip(build: &Build, program: &Path, to: &Path) -> Result<()> {
    let strip = format!("{}strip", cross_prefix(build)?);
    cmd!(&strip, "-o", to, program)
        .run()
        .with_context(|| format!("{strip} {}", program.display()))?;
    Ok(())
}
