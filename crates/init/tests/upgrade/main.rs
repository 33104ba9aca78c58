//! The engine replaces its program while containers run: `init engine` as an ordinary process, driven over its socket.
//! What else only a whole engine shows is tested here too. Needs root and busybox-static; without them every test is reported as ignored.
//!
//! This program is also a candidate that passes the check and then fails to take over: see [`candidate`].

#![allow(clippy::unwrap_used)] // helpers of tests, which clippy.toml's exception does not see

mod busy;
mod candidates;
mod containers;
mod created;
mod fixture;
mod program;

use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;

use engine::upgrade::{CHECK_VERB, Inheritance, TAKE_OVER_VERB, check_main, take_over};
use engine::{Engine, EngineOptions};
use libtest_mimic::{Arguments, Completion, Trial};

/// What a copy of this program has at its very end to be another candidate.
const REFUSES: &[u8] = b"refuses";
const HANGS: &[u8] = b"hangs";

/// Kind of the tests that take minutes. CI leaves them out by it: `--skip [long]`.
const LONG: &str = "long";
/// The tests of that kind.
const SLOW: [&str; 2] = [busy::SLOW, candidates::SLOW];

fn is(kind: &[u8]) -> bool {
    std::fs::read("/proc/self/exe").is_ok_and(|program| program.ends_with(kind))
}

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|verb| verb.to_str()) {
        Some(CHECK_VERB) if is(REFUSES) => {
            return check_main(|_| Err("this program knows no such owner".to_owned()));
        }
        Some(CHECK_VERB) => return check_main(|_| Ok(())),
        Some(TAKE_OVER_VERB) => return candidate(&args[2..]),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // Each has its own engine; processes and descriptors are counted.
    arguments.test_threads = Some(1);
    let trials = [busy::TESTS, candidates::TESTS, created::TESTS].concat();
    let trials = trials.into_iter().map(|(name, test)| {
        let trial = Trial::ignorable_test(name, move || {
            if !fixture::possible() {
                return Ok(Completion::ignored_with("needs root and busybox-static"));
            }
            fixture::block_on(test);
            Ok(Completion::Completed)
        });
        if SLOW.contains(&name) {
            trial.with_kind(LONG).with_ignored_flag(true)
        } else {
            trial
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Takes everything over, as far as one can without a way back, and panics.
fn candidate(arguments: &[OsString]) -> ExitCode {
    // The panic is the test's own: its stack would bury what a failing test says.
    std::panic::set_hook(Box::new(|panic| eprintln!("candidate: {panic}")));
    let done = take_over(arguments, |inheritance: Rc<Inheritance>| {
        let options = &inheritance.owner()["Developer"];
        let path = |name: &str| options[name].as_str().unwrap_or_default().into();
        let mut options = EngineOptions::new(path("root"), path("run"));
        options.confinement = runtime::Confinement::AsAvailable;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let _engine = Engine::inherit(options, &inheritance).map_err(|e| e.to_string())?;
            let _listener = inheritance.listener().map_err(|e| e.to_string())?;
            while is(HANGS) {
                std::thread::park();
            }
            panic!("this program cannot take over")
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err::<(), String>(error) => {
            eprintln!("candidate: {error}");
            ExitCode::FAILURE
        }
    }
}
