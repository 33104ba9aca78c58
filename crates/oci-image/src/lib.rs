//! Container images: references, digests, manifests, the content store, registries, archives, and layers on disk.
//!
//! Everything here is synchronous. The parsers take bytes or a `Read`, have limits, and are what the fuzz targets call;
//! transfers and unpacking run in short-lived worker processes, never inside PID 1.
//!
//! This crate does not mount anything, does not know which images or containers exist, and does not speak Docker's API.

mod ahead;
pub mod archive;
pub mod compression;
pub mod config;
pub mod digest;
pub mod download;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod layer;
pub mod manifest;
pub mod media;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod store;

pub use digest::Digest;
pub use error::{Error, Result};
pub use reference::Reference;
