//! Boots the media and tests the running system: hands over to the crate in `qemu/`.

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::workspace::Build;
use crate::{clients, engine_tests, os_image, progress, setup};

/// Options of `cargo xtask qemu-test`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Try a test that fails once more, and say so; a third failure in the run is final. For machines that others use too
    #[arg(long)]
    second_try: bool,
    /// What the machines keep their state on: `disk`, as people have them, or `ram`
    #[arg(long, default_value = "disk", value_parser = ["disk", "ram"])]
    machine: String,
    /// Names of tests (or parts of them), and options of the test harness, such as --list
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<String>,
}

/// Builds the media if need be, then boots them.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    os_image::unsigned(build)?;
    setup::ensure(build, &[setup::Purpose::Machine])?;
    clients::ensure(build)?;
    engine_tests::ensure(build)?;
    let verb = if options.second_try {
        "test-twice"
    } else {
        "test"
    };
    let mut arguments = vec!["--machine".to_owned(), options.machine.clone()];
    arguments.extend(options.arguments.iter().cloned());
    progress::step("qemu-test", || start(build, verb, &arguments))
}

/// Runs the program `qemu-test` in the mode `verb`.
///
/// # Errors
/// When a test failed, or it could not be started.
pub(crate) fn start(build: &Build, verb: &str, arguments: &[String]) -> Result<()> {
    setup::ensure(build, &[setup::Purpose::Machine])?;
    let shell = Shell::new().context("open a shell")?;
    shell.change_dir(&build.root);
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let (dist, arch) = (build.dist(), build.arch.name());
    cmd!(
        shell,
        "{cargo} run --quiet --package qemu-test -- {dist} {arch} {verb} {arguments...}"
    )
    .quiet()
    .run()
    .with_context(|| format!("qemu-test {verb}"))
}
