//! `cargo xtask`: builds, checks and starts RancherOS on a developer's machine.
//!
//! Each command is a module with a `run` function; each build step is a function that returns the artifact it made.
//!
//! **Belongs here:** each step from the pinned sources to the media, the checks of CI, and the rules of `tidy`.
//!
//! **Not here:** this crate does not run on the machine it builds.
//!
//! **May import:** `config`, `install`, `oci-image`, `oci-transfer` of our crates.

mod bench;
mod cache;
mod ci;
mod clients;
mod cloud_image;
mod crash_test;
mod debian;
mod docs;
mod download;
mod engine;
mod engine_tests;
mod fetch;
mod fuzz;
mod grub;
mod grub_test;
mod images;
mod initrd;
mod iso;
mod kernel;
mod os_image;
mod peer;
mod progress;
mod qemu_test;
mod run;
mod rust;
mod setup;
mod size;
mod soak;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::{Arch, Build};

/// Build tool of RancherOS.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    /// Architecture to build for: x86_64 or aarch64 (default: this machine's)
    #[arg(long, global = true)]
    arch: Option<Arch>,
    /// Fail when a lock file would have to change
    #[arg(long, global = true)]
    locked: bool,
    #[command(subcommand)]
    command: Command,
}

/// One verb per build step or check.
#[derive(Subcommand)]
enum Command {
    /// Install the host packages that the other commands need
    Setup(setup::Options),
    /// Download and verify everything the build takes from outside
    Fetch(fetch::Options),
    /// Build the kernel, its modules and the firmware image
    Kernel(kernel::Options),
    /// Build the system images
    Images(images::Options),
    /// Build the initial RAM disk
    Initrd(initrd::Options),
    /// Build the bootable ISO image, with everything it needs
    Iso(iso::Options),
    /// Build a disk image of an installed system
    CloudImage(cloud_image::Options),
    /// Build the system as an OCI image, for registries and `ros os upgrade`
    OsImage(os_image::Options),
    /// Start the ISO in a virtual machine in this terminal
    Run(run::Options),
    /// Boot the media and test the running system
    QemuTest(qemu_test::Options),
    /// Measure the boot against a Debian peer, or the engine against Docker
    Bench(bench::Options),
    /// Run the container engine alone on this machine
    Engine(engine::Options),
    /// Write the pages that are made from data
    Docs(docs::Options),
    /// Feed made-up input to the parsers of what strangers write
    Fuzz(fuzz::Options),
    /// Run the engine's long tests of load and sudden death
    Soak(soak::Options),
    /// Run Debian's GRUB on every state of the boot records
    GrubTest(grub_test::Options),
    /// Cut the power at every point of a disk's life, and look whether the machine comes back
    CrashTest(crash_test::Options),
    /// Show the sizes of what was built against their budgets
    Size(size::Options),
    /// Check the layout rules of the workspace
    Tidy(tidy::Options),
    /// Run everything that continuous integration runs
    Ci(ci::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Result<()> {
    let build = Build::new(cli.arch, cli.locked)?;
    match cli.command {
        Command::Setup(options) => setup::run(&build, &options),
        Command::Fetch(options) => fetch::run(&build, &options),
        Command::Kernel(options) => kernel::run(&build, &options),
        Command::Images(options) => images::run(&build, &options),
        Command::Initrd(options) => initrd::run(&build, &options),
        Command::Iso(options) => iso::run(&build, &options),
        Command::CloudImage(options) => cloud_image::run(&build, &options),
        Command::OsImage(options) => os_image::run(&build, &options),
        Command::Run(options) => run::run(&build, &options),
        Command::QemuTest(options) => qemu_test::run(&build, &options),
        Command::Bench(options) => bench::run(&build, &options),
        Command::Engine(options) => engine::run(&build, &options),
        Command::Docs(options) => docs::run(&build, &options),
        Command::Fuzz(options) => fuzz::run(&build, &options),
        Command::Soak(options) => soak::run(&build, &options),
        Command::GrubTest(options) => grub_test::run(&build, &options),
        Command::CrashTest(options) => crash_test::run(&build, &options),
        Command::Size(options) => size::run(&build, &options),
        Command::Tidy(options) => tidy::run(&build, &options),
        Command::Ci(options) => ci::run(&build, &options),
    }
}
