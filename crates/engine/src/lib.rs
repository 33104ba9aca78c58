//! The container engine of System Docker: containers, images, networks, volumes, logs, events, health checks and
//! restart policies behind the Docker Engine API.
//!
//! It is made for PID 1: one thread, no shims, its containers are its own children; every wait has a deadline and
//! every queue a bound. State lives on disk (atomically replaced files) and in kernel objects, never in tasks alone.
//!
//! This crate does not parse cloud-config, decide what runs at boot, or talk to registries itself (a child process does).

mod atomic_file;
pub mod events;
pub mod ids;
pub mod image;
mod io;
mod logs;
pub mod network;
pub mod options;
pub mod runtime;
pub mod timestamp;
pub mod volume;
