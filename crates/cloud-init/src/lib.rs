//! User data and metadata of a machine: where they come from, and what they mean.
//!
//! A datasource is media with the label `config-2` (OpenStack's config drive) or `cidata` (NoCloud). [`media::find`]
//! looks for one, [`media::read`] mounts it read-only and reads two bounded files; [`user_data::classify`] and
//! [`metadata`] parse them without touching anything; [`store::save`] writes the result where the configuration is
//! read from. [`authorized_keys`] puts keys into a user's file.
//!
//! What is parsed here was written by strangers, so all of it runs in a short-lived process and every size is bounded.
//!
//! **Belongs here:** finding a datasource, understanding user data and metadata, and storing what they say.
//!
//! This crate does not speak to the network, apply a configuration or decide when a datasource is asked.
//!
//! **May import:** `config`, `machine-config`, `sys` of our crates.

pub mod authorized_keys;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod media;
pub mod metadata;
pub mod mime;
pub mod store;
pub mod user_data;

mod error;

pub use error::{Error, Result};
pub use metadata::Metadata;
pub use user_data::UserData;
