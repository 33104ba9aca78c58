//! The container engine of System Docker: containers, images, networks, volumes, logs, events, health checks and
//! restart policies behind the Docker Engine API.
//!
//! It is made for PID 1: one thread, no shims, its containers are its own children; every wait has a deadline and
//! every queue a bound. State lives on disk (atomically replaced files) and in kernel objects, never in tasks alone.
//!
//! This crate does not parse cloud-config, decide what runs at boot, or talk to registries itself (a child process does).

pub mod api;
mod atomic_file;
mod cgroup;
mod characters;
mod container;
mod damage;
mod engine;
mod engine_options;
pub mod events;
mod exec;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ids;
pub mod image;
mod in_process;
mod io;
mod logs;
pub mod network;
mod open_files;
pub mod options;
mod pattern;
mod reaper;
mod room;
mod spec;
mod stats;
mod storage;
mod system;
pub mod timestamp;
pub mod upgrade;
pub mod volume;
mod worker;

pub use container::CommitRequest;
pub use container::signals::{TERM as STOP_SIGNAL, parse as parse_signal};
pub use engine::Engine;
pub use engine_options::EngineOptions;
pub use reaper::{Reaper, exit_code};

/// Says on the kernel's log what nobody else can be told.
pub(crate) fn report(message: &str) {
    sys::kmsg::warn("engine", message);
}

/// The words of a system call's error as Docker's users know them: `no space left on device`.
pub(crate) fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    if error.raw_os_error().is_none() {
        return text;
    }
    let words = text.split(" (os error ").next().unwrap_or(&text);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
