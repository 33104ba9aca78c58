//! The configuration of a machine: cloud-config, `rancher.*` keys, services in compose form and the kernel command line.
//!
//! A document is text plus the name it is reported under. [`parse`] turns it into a tree whose every node knows its
//! file, line and column; [`check`] compares the tree with the [`schema`], converts scalars to the types the schema
//! names and drops what does not fit, one [`Problem`] for each; [`merge`] lays trees over each other (maps merge
//! deeply, lists and scalars replace); [`load`] does all of it in the order of precedence and gives a typed
//! [`Config`]. A bad part is reported and left out; the good parts around it stay, even of a document that is not YAML
//! as a whole ([`read`]).
//!
//! YAML is read from the events of granit-parser rather than through serde, because the text of a scalar must
//! survive until the schema says what it is: `0644` is a string in `permissions` and `yes` is a boolean in `dhcp`.
//!
//! **Belongs here:** what a document means: the schema, parsing, checking, merging, and the typed result.
//!
//! **Not here:** this crate does not read files, talk to the kernel or know how a value is applied.
//!
//! **May import:** `json-reader` of our crates.

pub mod cloud_config;
pub mod command_line;
pub mod emit;
pub mod include;
pub mod interpolate;
pub mod schedule;
pub mod schema;
pub mod service;
pub mod words;

mod check;
mod early;
mod load;
mod location;
mod merge;
mod node;
mod parse;
mod salvage;
mod scalar;

pub use check::check;
pub use cloud_config::{Config, Docker, Rancher, Ssh, State};
pub use command_line::CommandLine;
pub use load::{Loaded, Source, load};
pub use location::{Location, Problem, Severity};
pub use merge::merge;
pub use node::{Entry, Node, Value};
pub use parse::{MAX_DEPTH, MAX_DOCUMENT_BYTES, MAX_NODES, parse};
pub use salvage::read;
pub use service::Service;

/// The configuration that the system brings: with the kernel command line, all that there is before the disk is found.
pub const BUILT_IN: &str = "/usr/share/ros/os-config.yml";

/// Version of the system this crate was built with; the default of `${VERSION}` in `rancher.environment`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
