//! User data and metadata of a machine: where they come from, and what they mean.
//!
//! A datasource is media with a label ([`media`]: OpenStack's config drive, NoCloud), a seed ([`nocloud`]), a metadata
//! service ([`service`]), or a file or address ([`address`]). [`platform::choose`] says which ones this machine has: no
//! service is asked unless firmware, command line or configuration name its platform. [`user_data`], [`metadata`] and
//! [`network`] parse what they gave without touching anything; [`variables`] fills in addresses; [`store::save`] writes the
//! result where the configuration is read from. [`authorized_keys`] puts keys into a user's file.
//!
//! What is parsed here was written by strangers, so all of it runs in a short-lived process and every size is bounded.
//!
//! **Belongs here:** finding a datasource, understanding user data and metadata, and storing what they say.
//!
//! **Not here:** this crate does not configure links, apply a configuration or decide when a datasource is asked.
//!
//! **May import:** `config`, `machine-config`, `sys` of our crates.

pub mod address;
pub mod authorized_keys;
pub mod azure;
mod compose;
pub mod dmi;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod guestinfo;
pub mod http;
pub mod media;
pub mod metadata;
pub mod mime;
pub mod network;
pub mod nocloud;
pub mod ovf;
pub mod platform;
pub mod seed;
pub mod service;
pub mod store;
pub mod user_data;

mod error;

pub use error::{Error, Result};
pub use machine_config::variables;
pub use metadata::Metadata;
pub use user_data::UserData;
