//! The first steps of a program that takes over from an earlier one of the same process (`engine::upgrade`): PID 1's
//! boot and a developer's preparations are skipped, the engine goes on.

use std::ffi::OsString;
use std::process::ExitCode;

use engine::upgrade;

use crate::machine::Machine;
use crate::owner::Owner;
use crate::phase::Fatal;
use crate::{developer, log, rescue, system};

/// `init upgrade-check`.
pub(crate) fn check() -> ExitCode {
    upgrade::check_main(|owner| Owner::read(owner).map(drop))
}

/// `init take-over FD`.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let done = upgrade::take_over(arguments, |inheritance| {
        match Owner::read(&inheritance.owner())? {
            Owner::Machine(booted) => system::go_on(booted, inheritance),
            Owner::Developer(options) => developer::go_on(options, inheritance),
        }
        .map_err(|error| format!("{error:#}"))
    });
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    if std::process::id() != 1 {
        eprintln!("init take-over: {error}");
        return ExitCode::FAILURE;
    }
    // There is no program to go back to. What runs still runs; the operator saves what there is to save.
    if let Err(error) = sys::signal::unblock_all() {
        log::error(&format!("take-over: {error}"));
    }
    let fatal = Fatal {
        phase: "take-over",
        reason: error,
    };
    rescue::shell(&fatal, &Machine::default())
}
