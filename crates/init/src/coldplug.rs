//! Phase "load boot modules": the drivers in the initrd that find the media, by modalias.
//!
//! What is not needed to find the media is loaded later by udevd, from the media's own modules.

use std::path::Path;

use sys::modules::ModuleIndex;

use crate::log;
use crate::machine::Machine;

/// Loads every module of the initrd that a device present now asks for.
///
/// A controller brings up devices behind it (a USB host its disks), which ask for more: it is
/// repeated until a round loads nothing new.
pub(crate) fn load(machine: Machine) -> anyhow::Result<Machine> {
    let directory = Path::new("/lib/modules").join(sys::kernel_release());
    if !directory.join("modules.dep").exists() {
        return Ok(machine);
    }
    let mut index = ModuleIndex::open(&directory)?;
    for _ in 0..MAX_ROUNDS {
        let round = index.coldplug(Path::new("/sys"));
        for error in &round.errors {
            log::warning(&format!("module: {error}"));
        }
        if round.loaded == 0 {
            break;
        }
    }
    Ok(machine)
}

/// Controller, hub, bridge, disk: no chain of devices that carries media is longer.
const MAX_ROUNDS: usize = 4;
