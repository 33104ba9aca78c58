//! Images that come and go: registries, archives, and layers packed, unpacked and compressed.
//!
//! Everything here is synchronous and reads what strangers wrote, with limits: it runs in short-lived processes of the
//! program `worker`, and no part of it is in PID 1's program (`cargo xtask tidy` checks that).
//!
//! **Belongs here:** whatever reads or writes an archive, a compressed stream or a registry's answers, and the writing side of
//! the content store.
//!
//! **Not here:** this crate does not know Docker's API, containers, or who may do what.
//!
//! **May import:** `oci-image` of our crates.

mod ahead;
pub mod archive;
pub mod compression;
pub mod download;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod layer;
pub mod layers;
pub mod registry;
mod reporting;
