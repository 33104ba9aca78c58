//! What whoever runs the engine keeps over a replacement of the program.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What whoever runs the engine keeps over an upgrade.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Owner {
    /// PID 1 of the machine, booted.
    Machine(Booted),
    /// `init engine`.
    Developer(Developer),
}

impl Owner {
    /// As the engine keeps it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        // Plain structs always have a form in JSON; an owner that cannot be read is refused by the check.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// From what [`Self::to_json`] made.
    ///
    /// # Errors
    /// When another program made it, in words.
    pub(crate) fn read(value: &serde_json::Value) -> Result<Self, String> {
        json_reader::from_value(value.clone())
            .map_err(|error| format!("the engine's owner: {error}"))
    }
}

/// What of the boot still matters after it; a program that takes over gets no more.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Booted {
    /// System images are on the media.
    pub(crate) media: bool,
    /// How long the whole shutdown may take.
    pub(crate) shutdown_deadline: Duration,
    /// When a version that this boot tries has to be judged, counted from the kernel's start; an earlier program does not say it.
    #[serde(default)]
    pub(crate) trial_end: Option<Duration>,
}

/// What the engine needs to know on a developer's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Developer {
    pub(crate) root: PathBuf,
    pub(crate) run: PathBuf,
    pub(crate) socket: PathBuf,
    /// The worker's program, which is built next to this one.
    pub(crate) worker: PathBuf,
    pub(crate) media: Option<PathBuf>,
    pub(crate) cgroup: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_of_a_try_goes_on_in_the_next_program() {
        let owner = Owner::Machine(Booted {
            media: true,
            shutdown_deadline: Duration::from_secs(60),
            trial_end: Some(Duration::from_secs(900)),
        });
        let Ok(Owner::Machine(booted)) = Owner::read(&owner.to_json()) else {
            panic!("not a machine");
        };
        assert_eq!(booted.trial_end, Some(Duration::from_secs(900)));
        let earlier = serde_json::json!({
            "Machine": {"media": true, "shutdown_deadline": {"secs": 60, "nanos": 0}}
        });
        let Ok(Owner::Machine(booted)) = Owner::read(&earlier) else {
            panic!("an earlier program's is not read");
        };
        assert_eq!(booted.trial_end, None);
    }
}
