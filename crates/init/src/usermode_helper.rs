//! The kernel's calls to user space: every one of them ends here (CONFIG_STATIC_USERMODEHELPER), whatever program the kernel
//! has been told to run. Such a program runs as root outside of every container, and some of their paths can be written: the
//! pipe of `kernel.core_pattern`, `kernel.modprobe`. So this program looks at what is asked for and does it itself, or refuses.
//!
//! The kernel gives the program that it wanted as the first argument (kernel/umh.c, `call_usermodehelper_setup`).

use std::ffi::OsString;
use std::process::ExitCode;

use sys::process::Signal;

use crate::{log, modprobe};

/// Where the kernel finds it: CONFIG_STATIC_USERMODEHELPER_PATH in `kernel-config/hardening.config`.
pub(crate) const PATH: &str = "/sbin/usermode-helper";

/// What PID 1 is told (`power.rs`).
const POWER_OFF: i32 = 38;
const REBOOT: i32 = 39;

/// Longest part of a refused command that is logged, in bytes: it can be a stranger's.
const LONGEST_NAME: usize = 200;

/// What the kernel may ask for.
#[derive(Debug, PartialEq, Eq)]
enum Request<'a> {
    /// A module that something needs (kernel/module/kmod.c).
    Module(&'a str),
    /// An end of the machine that a hypervisor, a sensor or firmware wants (kernel/reboot.c).
    Power(i32),
}

/// Does what the kernel asks with these arguments, its own name first, or says in the kernel's log that it does not.
pub(crate) fn main(arguments: &[OsString]) -> ExitCode {
    let words: Vec<&str> = arguments
        .iter()
        .map(|word| word.to_str().unwrap_or_default())
        .collect();
    match request(&words) {
        Some(Request::Module(name)) => modprobe::load(name),
        Some(Request::Power(number)) => match Signal::from_raw(number) {
            Some(signal) if sys::process::kill(1, signal).is_ok() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        None => {
            let text = words.join(" ");
            log::warning(&format!(
                "the kernel was told to run {}, which is not allowed here",
                text.get(..LONGEST_NAME).unwrap_or(&text)
            ));
            ExitCode::FAILURE
        }
    }
}

/// Only the kernel's own calls, word for word.
fn request<'a>(words: &[&'a str]) -> Option<Request<'a>> {
    match words {
        ["/sbin/modprobe", "-q", "--", name] => Some(Request::Module(name)),
        ["/sbin/poweroff"] => Some(Request::Power(POWER_OFF)),
        ["/sbin/reboot"] => Some(Request::Power(REBOOT)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kernels_own_calls_are_done() {
        assert_eq!(
            request(&["/sbin/modprobe", "-q", "--", "net-pf-10"]),
            Some(Request::Module("net-pf-10"))
        );
        assert_eq!(request(&["/sbin/poweroff"]), Some(Request::Power(38)));
        for refused in [
            &[][..],
            &[""],
            &["/sbin/modprobe"],
            &["/sbin/modprobe", "-q", "--", "a", "b"],
            &["/sbin/modprobe", "-q", "-r", "overlay"],
            &["/tmp/modprobe", "-q", "--", "net-pf-10"],
            &["/sbin/poweroff", "-f"],
            &["/host/evil", "1234"],
            &["/sbin/request-key", "create", "1"],
            &["/sbin/bridge-stp", "br0", "start"],
        ] {
            assert_eq!(request(refused), None, "{refused:?}");
        }
    }
}
