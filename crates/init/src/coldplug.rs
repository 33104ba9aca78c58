//! Phase "load boot modules": the drivers in the initrd that find the media, by modalias.
//!
//! What is not needed to find the media is loaded later by udevd, from the media's own modules.

use std::path::Path;
use std::time::Duration;

use sys::modules::ModuleIndex;

use crate::log;
use crate::machine::Machine;

/// Loads every module of the initrd that a device present now asks for.
///
/// A controller brings up devices behind it (a USB host its disks), which ask for more: it is
/// repeated until a round loads nothing new.
pub(crate) fn load(machine: Machine) -> anyhow::Result<Machine> {
    if let Some(mut index) = index()? {
        for _ in 0..MAX_ROUNDS {
            if round(&mut index) == 0 {
                break;
            }
        }
    }
    Ok(machine)
}

/// Controller, hub, bridge, disk: no chain of devices that carries media is longer.
const MAX_ROUNDS: usize = 4;

/// Drivers of devices that appear while one is waited for: a controller may tell of a card after its own driver was loaded.
#[derive(Default)]
pub(crate) struct Late {
    index: Option<ModuleIndex>,
    /// When it was looked last, on the clock of the boot.
    looked: Duration,
}

impl Late {
    /// Loads what devices present now ask for; a call soon after another one does nothing.
    pub(crate) fn load(&mut self) {
        let now = sys::clock::boottime();
        if now < self.looked + LOOK_AGAIN {
            return;
        }
        self.looked = now;
        if self.index.is_none() {
            self.index = index().unwrap_or_default();
        }
        if let Some(index) = &mut self.index {
            round(index);
        }
    }
}

/// Pause between two looks at all devices, which takes milliseconds.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The modules of the initrd, if it has any.
fn index() -> anyhow::Result<Option<ModuleIndex>> {
    let directory = Path::new("/lib/modules").join(sys::kernel_release());
    if !directory.join("modules.dep").exists() {
        return Ok(None);
    }
    Ok(Some(ModuleIndex::open(&directory)?))
}

/// How many modules a look at all devices has loaded.
fn round(index: &mut ModuleIndex) -> usize {
    let round = index.coldplug(Path::new("/sys"));
    for error in &round.errors {
        log::warning(&format!("module: {error}"));
    }
    round.loaded
}
