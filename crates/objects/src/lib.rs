//! What containers, images, networks and volumes (Docker's "objects") have in common: ids and names, the filter by name, and
//! their records on disk, which survive a power cut and a damaged file.
//!
//! **Belongs here:** what at least two kinds of object need and what means the same for all of them.
//!
//! **Not here:** this crate knows no kind of object, starts nothing and answers no request.
//!
//! **May import:** `engine-api`, `json-reader`, `sys` of our crates.

pub mod atomic_file;
pub mod damage;
pub mod ids;
mod pattern;
pub mod tree;

pub use damage::Damage;
pub use pattern::Patterns;
