//! Measures the system against a Debian peer, and System Docker against Docker: hands over to the crate in `qemu/`.

use anyhow::Result;

use crate::workspace::Build;
use crate::{iso, peer, progress, qemu_test};

/// The benchmark that is run when none is named.
const BOOT: &str = "boot";
/// Those that boot the peer, too.
const WITH_PEER: [&str; 2] = [BOOT, "upgrade"];

/// Options of `cargo xtask bench`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// What is measured: boot (against a Debian peer), datasource (what it costs to look for user data where there is none), disk (an installed one against the disc), engine (against Docker), pull (one row of it), reexec (a thousand replacements of PID 1's
    /// program), slow-disk (`ps` while containers start on a disk of 50 operations a second) or upgrade (of the whole system, against the peer's)
    #[arg(default_value = BOOT)]
    name: String,
    /// How often each side is measured
    #[arg(default_value_t = 5)]
    rounds: u32,
}

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    iso::build(build)?;
    if WITH_PEER.contains(&options.name.as_str()) {
        peer::ensure(build)?;
    }
    progress::step("bench", || {
        qemu_test::start(
            build,
            "bench",
            &[options.name.clone(), options.rounds.to_string()],
        )
    })
}
