//! The end: reboot(2).

use std::convert::Infallible;

use rustix::system::{RebootCommand, reboot as raw_reboot};

use crate::error::{Context, Error, Result};

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start again through the firmware.
    Reboot,
    /// Power off.
    PowerOff,
    /// Stop the processors; the power stays.
    Halt,
    /// Start the kernel that kexec_load(2) has loaded.
    Kexec,
}

/// Does it, at once, without syncing. Returns only an error.
#[must_use]
pub fn reboot(action: Action) -> Error {
    let command = match action {
        Action::Reboot => RebootCommand::Restart,
        Action::PowerOff => RebootCommand::PowerOff,
        Action::Halt => RebootCommand::Halt,
        Action::Kexec => RebootCommand::Kexec,
    };
    let result: Result<Infallible> = match raw_reboot(command) {
        Ok(()) => Err(Error::other(
            format!("{action:?}").to_lowercase(),
            "reboot(2) came back",
        )),
        Err(errno) => Err(errno).what(|| format!("{action:?}").to_lowercase()),
    };
    match result {
        Err(error) => error,
    }
}

/// Ctrl-Alt-Del sends SIGINT to PID 1 from now on and does not reset the machine.
///
/// # Errors
/// When the caller has no CAP_SYS_BOOT.
pub fn disable_ctrl_alt_del() -> Result<()> {
    raw_reboot(RebootCommand::CadOff).what(|| "disable ctrl-alt-del".into())
}
