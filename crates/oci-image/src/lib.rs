//! Container images: references, digests, manifests, the content store, and what the engine asks of its worker.
//!
//! Everything here is synchronous, small enough for PID 1, and free of I/O except for the store. The parsers take bytes,
//! have limits, and are what the fuzz targets call.
//!
//! **Belongs here:** what the OCI image and distribution specifications define and PID 1 needs: names, digests, JSON documents,
//! and reading the content store; and the requests and answers between engine and worker.
//!
//! **Not here:** this crate does not mount anything, does not know which images or containers exist, does not speak Docker's
//! API, and reads no archive and no registry: that is crate oci-transfer.
//!
//! **May import:** `sys` of our crates.

pub mod config;
pub mod digest;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod manifest;
pub mod media;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod store;
pub mod task;

pub use digest::Digest;
pub use error::{Error, Result};
pub use reference::Reference;
