//! The boot, in order. This file is the whole story; each phase's function is in the module that
//! its path names.

use std::time::Duration;

use crate::phase::{OnFailure, Phase};
use crate::{
    coldplug, configuration, file_systems, media, persistence, rescue, reset, root, state, watchdog,
};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

use OnFailure::{Continue, Rescue, RescueIf};

/// From the kernel's hand-over to the moment the engine can start.
///
/// The deadlines are about ten times what the phase takes on a slow disk under an emulated CPU;
/// `mount state` has room for the file system check of a large disk, and for passphrases that nobody types.
#[rustfmt::skip] // one line a phase, so that the boot can be read as a table
pub(crate) const PHASES: &[Phase] = &[
    Phase { name: "mount API file systems", deadline: seconds(10), on_failure: Rescue,   work: file_systems::mount },
    Phase { name: "read command line",      deadline: seconds(5),  on_failure: Continue, work: configuration::read_command_line },
    Phase { name: "load boot modules",      deadline: seconds(60), on_failure: Continue, work: coldplug::load },
    Phase { name: "arm watchdog",           deadline: seconds(10), on_failure: Continue, work: watchdog::arm },
    Phase { name: "find media",             deadline: seconds(60), on_failure: Rescue,   work: media::find },
    Phase { name: "check media",            deadline: seconds(120), on_failure: Rescue,  work: media::check },
    Phase { name: "mount modules",          deadline: seconds(20), on_failure: Continue, work: media::mount_modules },
    Phase { name: "recovery",               deadline: seconds(5),  on_failure: Rescue,   work: rescue::if_asked },
    Phase { name: "mount state",            deadline: seconds(960), on_failure: RescueIf(state::is_required), work: state::mount },
    Phase { name: "reset if ordered",       deadline: seconds(60), on_failure: Continue, work: reset::if_ordered },
    Phase { name: "switch root",            deadline: seconds(20), on_failure: Rescue,   work: root::switch },
    Phase { name: "keep directories",       deadline: seconds(20), on_failure: Continue, work: persistence::bind },
    Phase { name: "read configuration",     deadline: seconds(20), on_failure: Continue, work: configuration::read_first },
    Phase { name: "apply configuration",    deadline: seconds(20), on_failure: Continue, work: configuration::apply },
];

/// What follows once the engine exists; these run in its event loop (`services.rs`).
pub(crate) const ENGINE_PHASES: [&str; 3] = ["start engine", "start services", "ready"];

/// Number of phases that a log line counts to.
pub(crate) const TOTAL: usize = PHASES.len() + ENGINE_PHASES.len();
