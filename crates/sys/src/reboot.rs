//! The end: reboot(2).

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd};

use rustix::system::{RebootCommand, reboot as raw_reboot};

use crate::error::{Context, Error, Result, check};

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

/// Loads a kernel for [`Action::Kexec`], with its initrd and parameters (kexec_file_load(2)).
///
/// # Errors
/// When the kernel takes no other one: without CAP_SYS_BOOT, under lockdown, or because the file is not one that it knows.
pub fn load_kernel(kernel: impl AsFd, initrd: impl AsFd, parameters: &str) -> Result<()> {
    let what = || "load a kernel by kexec".to_owned();
    let parameters = CString::new(parameters)
        .map_err(std::io::Error::from)
        .what(what)?;
    // SAFETY: the text and its length, with the zero at its end, are of one allocation that lives across the call; the
    // descriptors are open.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kexec_file_load,
            kernel.as_fd().as_raw_fd(),
            initrd.as_fd().as_raw_fd(),
            parameters.as_bytes_with_nul().len(),
            parameters.as_ptr(),
            0_usize,
        )
    };
    check(result).what(what)?;
    Ok(())
}

/// Ctrl-Alt-Del sends SIGINT to PID 1 from now on and does not reset the machine.
///
/// # Errors
/// When the caller has no CAP_SYS_BOOT.
pub fn disable_ctrl_alt_del() -> Result<()> {
    raw_reboot(RebootCommand::CadOff).what(|| "disable ctrl-alt-del".into())
}
