//! The machine's watchdog: hardware, or else the kernel's own timer, that resets a machine whose PID 1 gives no sign of life.
//!
//! Who feeds it: the phase runner while the boot waits for a phase, the event loop from then on, the rescue shell, and the
//! shutdown until its last deadline. So whatever of these hangs ends in a reset; in a try of a new version that is a failed try.
//! It is open from the first phases on and over replacements of the program. There is one, whoever holds it: hence a static.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use sys::modules::ModuleIndex;
use sys::reboot::Action;
use sys::watchdog::Watchdog;

use crate::log;
use crate::machine::Machine;

/// Without `rancher.watchdog`. systemd's guide for its RuntimeWatchdogSec has 20 s for machines with little to do; ours has
/// to outlast a disk that answers late.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// The least that the configuration may set: a program that does not take over goes back after 30 s (`engine::upgrade`), and
/// nobody feeds meanwhile.
const LEAST_TIMEOUT: Duration = Duration::from_secs(45);
/// Signs of life in one timeout.
const SIGNS: u32 = 4;
/// The longest pause between two of them.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// The kernel's list of watchdogs.
const CLASS: &str = "/sys/class/watchdog";
/// The kernel's own timer, for machines without hardware. It does not help when the kernel itself hangs.
const SOFTWARE: &str = "softdog";

/// A watchdog that runs.
struct Armed {
    dog: Watchdog,
    timeout: Duration,
}

static ARMED: Mutex<Option<Armed>> = Mutex::new(None);

fn armed() -> MutexGuard<'static, Option<Armed>> {
    // A panic while it was held leaves it as it was
    ARMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Phase "arm watchdog".
pub(crate) fn arm(machine: Machine) -> anyhow::Result<Machine> {
    if wanted(machine.config.rancher.watchdog).is_none()
        && let Some(device) = first()
    {
        // Firmware may have started it (the driver of Intel's says so), and nobody is to feed it
        Watchdog::open(&device)?.stop()?;
    }
    configure(&machine.config)?;
    Ok(machine)
}

/// Arms, sets or stops the watchdog as `rancher.watchdog` says.
///
/// # Errors
/// When the device cannot be opened or stopped. That a machine has none is only logged.
pub(crate) fn configure(config: &config::Config) -> anyhow::Result<()> {
    let wanted = wanted(config.rancher.watchdog);
    // Not held meanwhile: a driver that hangs must not keep who feeds
    let current = armed().take();
    let next = match (current, wanted) {
        (None, None) => None,
        (Some(running), None) => {
            running.dog.stop()?;
            log::info("watchdog: off");
            None
        }
        (Some(running), Some(timeout)) if running.timeout == timeout => Some(running),
        (Some(running), Some(timeout)) => Some(set(running.dog, timeout)),
        (None, Some(timeout)) => open(timeout)?,
    };
    *armed() = next;
    Ok(())
}

fn open(timeout: Duration) -> anyhow::Result<Option<Armed>> {
    let Some(device) = device() else {
        log::info("watchdog: this machine has none");
        return Ok(None);
    };
    let running = set(Watchdog::open(&device)?, timeout);
    let name = running.dog.identity();
    log::info(&format!(
        "watchdog: {}, {} s",
        name.unwrap_or_else(|_| device.display().to_string()),
        running.timeout.as_secs()
    ));
    Ok(Some(running))
}

/// The timeout that `rancher.watchdog` asks for, in seconds; 0 is off.
fn wanted(seconds: Option<i64>) -> Option<Duration> {
    match seconds {
        None => Some(DEFAULT_TIMEOUT),
        Some(0) => None,
        Some(seconds) => {
            Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(LEAST_TIMEOUT))
        }
    }
}

/// Sets the timeout, or takes the device's own where it knows no other.
fn set(dog: Watchdog, timeout: Duration) -> Armed {
    let timeout = dog.set_timeout(timeout).or_else(|error| {
        log::warning(&format!("watchdog: {error}"));
        dog.timeout()
    });
    let timeout = timeout.unwrap_or_else(|error| {
        log::warning(&format!("watchdog: {error}"));
        LEAST_TIMEOUT
    });
    Armed { dog, timeout }
}

/// The device to use: the first, which is hardware whenever there is some, since the kernel's own is loaded only without it.
fn device() -> Option<PathBuf> {
    first().or_else(|| {
        let directory = Path::new("/lib/modules").join(sys::kernel_release());
        let loaded = ModuleIndex::open(&directory)
            .context("no modules")
            .and_then(|mut index| Ok(index.load(SOFTWARE, "")?));
        if let Err(error) = loaded {
            log::info(&format!("watchdog: {error:#}"));
        }
        first()
    })
}

fn first() -> Option<PathBuf> {
    let entries = fs::read_dir(CLASS).ok()?;
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names.first().map(|name| Path::new("/dev").join(name))
}

/// Shows a sign of life; nothing without a watchdog.
pub(crate) fn feed() {
    if let Some(running) = &*armed()
        && let Err(error) = running.dog.feed()
    {
        log::error(&format!("watchdog: {error}"));
    }
}

/// Pause between two signs of life.
pub(crate) fn pause() -> Duration {
    armed().as_ref().map_or(LONGEST_PAUSE, |running| {
        (running.timeout / SIGNS).min(LONGEST_PAUSE)
    })
}

/// Feeds from the event loop: a loop that hangs feeds no more.
pub(crate) async fn feed_from_loop() {
    loop {
        feed();
        tokio::time::sleep(pause()).await;
    }
}

/// Feeds from a separate thread, while a person has the machine.
pub(crate) fn feed_from_thread() {
    let spawned = std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(|| {
            loop {
                feed();
                std::thread::sleep(pause());
            }
        });
    if let Err(error) = spawned {
        log::error(&format!("watchdog: no thread feeds it: {error}"));
    }
}

/// The last sign of life. A machine that stays without power, or halted, must not be reset; one whose reboot hangs must.
pub(crate) fn before(action: Action) {
    feed();
    if matches!(action, Action::PowerOff | Action::Halt)
        && let Some(running) = armed().take()
        && let Err(error) = running.dog.stop()
    {
        log::warning(&format!("watchdog: {error}"));
    }
}

/// What the next program has to find open.
pub(crate) fn descriptors() -> Vec<OwnedFd> {
    let armed = armed();
    let copies = armed.iter().map(|running| {
        let copy = running.dog.as_fd().try_clone_to_owned();
        copy.inspect_err(|error| log::error(&format!("watchdog: cannot be handed over: {error}")))
    });
    copies.flatten().collect()
}

/// Takes over what [`descriptors`] of the program before gave.
pub(crate) fn take_over(descriptors: Vec<OwnedFd>) {
    let Some(descriptor) = descriptors.into_iter().next() else {
        return;
    };
    let dog = Watchdog::inherited(descriptor);
    let timeout = dog.timeout().unwrap_or(LEAST_TIMEOUT);
    *armed() = Some(Armed { dog, timeout });
    feed();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_makes_a_timeout_that_a_replaced_program_outlasts() {
        for (said, seconds) in [
            (None, Some(60)),
            (Some(0), None),
            (Some(-1), Some(45)),
            (Some(1), Some(45)),
            (Some(300), Some(300)),
        ] {
            assert_eq!(
                wanted(said).map(|timeout| timeout.as_secs()),
                seconds,
                "{said:?}"
            );
        }
    }
}
