//! The runtime against the running kernel: real namespaces, mounts, capabilities and filters. Needs root and
//! busybox-static; without them every test is reported as ignored.
//!
//! The runtime starts this very program as the container's first process: `main` is the dispatcher that PID 1 has.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml's exception does not see

mod accounts;
mod advisories;
mod bundle;
mod confinement;
mod lifecycle;
mod mounts;
mod sources;

use std::ffi::OsString;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    if args.get(1).is_some_and(|verb| verb == "runtime") {
        return runtime::main(&args[2..]);
    }
    let mut arguments = Arguments::from_args();
    // Descriptors and children of the whole process are counted.
    arguments.test_threads = Some(1);
    let trials = [
        lifecycle::TESTS,
        confinement::TESTS,
        mounts::TESTS,
        sources::TESTS,
        advisories::TESTS,
        accounts::TESTS,
    ]
    .concat();
    let trials = trials.into_iter().map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if !bundle::possible() {
                return Ok(Completion::ignored_with("needs root and busybox-static"));
            }
            if name == sources::NEEDS_FUSE && !sources::has_fuse() {
                return Ok(Completion::ignored_with("needs /dev/fuse"));
            }
            bundle::block_on(test);
            Ok(Completion::Completed)
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
