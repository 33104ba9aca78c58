//! The first steps of a program that takes over from an earlier one of the same process (`engine::upgrade`): PID 1's
//! boot and a developer's preparations are skipped, the engine goes on.

use std::ffi::OsString;
use std::process::ExitCode;

use engine::upgrade;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::phase::Fatal;
use crate::{developer, log, rescue, system};

/// What whoever runs the engine keeps over an upgrade.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// PID 1 of the machine, booted.
    Machine(system::Booted),
    /// `init engine`.
    Developer(developer::Options),
}

impl Owner {
    /// As the engine keeps it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        // Plain structs always have a form in JSON; an owner that cannot be read is refused by the check.
        serde_json::to_value(self).unwrap_or_default()
    }

    fn read(value: &serde_json::Value) -> Result<Self, String> {
        serde_json::from_value(value.clone())
            .map_err(|error| format!("the engine's owner: {error}"))
    }
}

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
