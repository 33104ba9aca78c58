//! How many files the engine and its containers may have open (`RLIMIT_NOFILE` of getrlimit(2)).

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sys::capability::{self, CapSet};

/// Open files of the engine, and of a container that asks for no limit. The kernel gives PID 1 1,024 and at most
/// 4,096 (INR_OPEN_CUR and INR_OPEN_MAX of linux/fs.h): fewer than many clients and containers need.
const OPEN_FILES: u64 = 1_048_576;

/// What this process may have open and give on: never more than its hard limit if it must not raise that.
pub(crate) fn most() -> u64 {
    let may_raise = capability::get()
        .is_ok_and(|sets| sets.effective.and(CapSet::SYS_RESOURCE) == CapSet::SYS_RESOURCE);
    match getrlimit(Resource::Nofile).maximum {
        Some(hard) if !may_raise => hard.min(OPEN_FILES),
        _ => OPEN_FILES,
    }
}

/// Lets this process open as many files as it may.
pub(crate) fn raise() {
    let most = Some(most());
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        crate::report(&format!("cannot raise RLIMIT_NOFILE: {error}"));
    }
}
