//! The rescue shell: what an operator gets on the console when a phase that must succeed failed, or
//! when the kernel command line says `rancher.recovery`.
//!
//! It runs in a root from the media when that is there, else with the busybox of the initrd. When
//! the operator leaves it, the machine reboots: nothing half-started is ever continued.

use std::path::Path;

use sys::process::Command;
use sys::reboot::Action;

use crate::log;
use crate::machine::Machine;
use crate::phase::Fatal;
use crate::shutdown;
use crate::toolbox::Toolbox;
use crate::{trial, watchdog};

/// The initrd's own shell; gone once the root is switched.
const BUSYBOX: &str = "/bin/busybox";

/// Phase "recovery": fails when the operator asks for the shell, before anything of the state disk is mounted.
pub(crate) fn if_asked(machine: Machine) -> anyhow::Result<Machine> {
    anyhow::ensure!(
        machine.config.rancher.recovery != Some(true),
        "rancher.recovery is set"
    );
    Ok(machine)
}

/// Tells the console what failed and gives it a shell, again and again until a reboot.
pub(crate) fn shell(fatal: &Fatal, machine: &Machine) -> ! {
    log::error(&format!("rescue: {fatal}"));
    if trial::is_one(&machine.command_line) {
        // Nobody may be there, and the version before still works. The watchdog is not fed: should the reboot hang, it helps
        log::error("rescue: this boot tries a new version: no shell, but a reboot in 30 s");
        if if_asked(machine.clone()).is_ok() {
            trial::give_up(&machine.command_line);
        }
        std::thread::sleep(trial::RESCUE_PAUSE);
        shutdown::from_rescue(Action::Reboot)
    }
    watchdog::feed_from_thread();
    let toolbox = Toolbox::open(machine);
    let (root, program) = match &toolbox {
        Ok(toolbox) => (toolbox.root(), "/bin/sh"),
        Err(error) => {
            log::warning(&format!("rescue: no tools from the media: {error:#}"));
            (Path::new("/"), BUSYBOX)
        }
    };
    log::error("rescue: a root shell follows on the console; leaving it reboots the machine");
    let arguments: &[&str] = if program == BUSYBOX { &["sh"] } else { &["-l"] };
    let ended = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PS1", "rescue# ")
        .env("TERM", "linux")
        .root(root)
        .terminal(Path::new("/dev/console"))
        .run();
    if let Err(error) = ended {
        log::error(&format!("rescue: no shell: {error}"));
        std::thread::sleep(REREAD_TIME);
    }
    // The toolbox stays: what its operator mounted in it is unmounted with all the rest, and not merely detached.
    shutdown::from_rescue(Action::Reboot)
}

/// Without a shell the operator can only read: time for that before the reboot, which may find the
/// disk again.
const REREAD_TIME: std::time::Duration = std::time::Duration::from_secs(30);
