//! The container engine of System Docker: containers, images, networks, volumes, logs, events, health checks and
//! restart policies behind the Docker Engine API.
//!
//! It is made for PID 1: one thread, no shims, its containers are its own children; every wait has a deadline and
//! every queue a bound. State lives on disk (atomically replaced files) and in kernel objects, never in tasks alone.
//!
//! **Belongs here:** the life of containers and what surrounds it: their records, root file systems, volumes, streams, logs,
//! events and statistics, and the replacement of the program.
//!
//! **Not here:** this crate does not parse cloud-config, decide what runs at boot, or talk to registries itself (a child
//! process does).
//!
//! **May import:** `engine-api`, `images`, `json-reader`, `network`, `objects`, `oci-image`, `runtime`, `sys` of our crates.

mod cgroup;
mod characters;
mod container;
mod engine;
mod engine_options;
pub mod events;
mod exec;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod hooks;
mod in_process;
mod io;
mod logs;
mod open_files;
pub mod panics;
mod reaper;
mod room;
mod spec;
mod stats;
mod storage;
mod system;
pub mod upgrade;
pub mod volume;

pub use container::stop::signals::{TERM as STOP_SIGNAL, parse as parse_signal};
pub use container::{CommitRequest, apply_changes};
pub use engine::Engine;
pub use engine_options::EngineOptions;
pub use reaper::{Reaper, exit_code};

/// Says on the kernel's log what nobody else can be told.
pub(crate) fn report(message: &str) {
    sys::kmsg::warn("engine", message);
}
