//! "Nothing kills PID 1": the engine as an ordinary process (`init engine`) in its own network namespace, killed at
//! random instants, and under more clients, bytes, lines and containers than anybody has. Needs root and
//! busybox-static; without them every test is reported as ignored. The long ones are ignored: `cargo xtask soak` runs them.

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml's exception does not see

/// The tests of a module, with their names.
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[crate::Test] = &[$((stringify!($test), $test)),*];
    };
}
use tests;

mod copies;
mod damage;
mod files;
mod full;
mod http;
mod in_memory;
mod kill;
mod load;
mod machine;
mod memory;
mod network;
mod order;
#[path = "../upgrade/program.rs"]
mod program;
mod silent;
mod strangers;
mod volumes;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

/// A test and its name.
type Test = (&'static str, fn());

/// Kind of the tests that take minutes. CI leaves them out by it: `--skip [long]`.
const LONG: &str = "long";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let tests = [
        copies::TESTS,
        damage::TESTS,
        files::TESTS,
        full::TESTS,
        in_memory::TESTS,
        kill::TESTS,
        load::TESTS,
        memory::TESTS,
        network::TESTS,
        order::TESTS,
        silent::TESTS,
        strangers::TESTS,
        volumes::TESTS,
    ]
    .concat();
    let trials = tests.into_iter().map(|(name, test)| {
        let needs_memory = memory::TESTS.iter().any(|one| one.0 == name);
        let needs_fuse = silent::TESTS.iter().any(|one| one.0 == name);
        let needs_perl = name == files::NEEDS_PERL;
        let trial = Trial::ignorable_test(name, move || {
            if !machine::possible() {
                return Ok(Completion::ignored_with("needs root and busybox-static"));
            }
            if needs_memory && !memory::possible() {
                return Ok(Completion::ignored_with(
                    "needs the memory controller of cgroup v2",
                ));
            }
            if needs_fuse && !silent::possible() {
                return Ok(Completion::ignored_with("needs /dev/fuse"));
            }
            if needs_perl && !files::has_perl() {
                return Ok(Completion::ignored_with("needs perl"));
            }
            test();
            Ok(Completion::Completed)
        });
        if [kill::LONG, load::LONG].contains(&name) {
            trial.with_kind(LONG).with_ignored_flag(true)
        } else {
            trial
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
