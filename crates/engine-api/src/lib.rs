//! Docker's Engine API as data and as a client: the types both sides speak, the errors they answer with, the `Engine`
//! trait that `init` hands services through, stream framing, and a client for a Unix socket.
//!
//! **Belongs here:** what both an engine and its clients need: Docker's types and errors, its units and times, query parameters,
//! streams, the client, the tasks of an event loop, and how one container takes another one's place.
//!
//! **Not here:** this crate does not run containers and does not listen on any socket: that is `engine-server`.
//!
//! **May import:** `json-reader` of our crates.

pub mod aside;
pub mod base64;
pub mod body;
pub mod client;
pub mod detach;
pub mod engine;
pub mod error;
pub mod filters;
pub mod framing;
pub mod json;
pub mod options;
pub mod tasks;
pub mod timestamp;
pub mod types;
pub mod units;

pub use body::Body;
pub use client::Client;
pub use engine::Engine;
pub use error::{Error, ErrorBody, Result, cause};
pub use filters::Filters;
pub use framing::StreamKind;
pub use timestamp::Timestamp;
pub use types::*;

/// Newest API version spoken: Docker 26's.
pub const API_VERSION: &str = "1.45";

/// The version of Docker whose API this is, as `Version` of `GET /version` says it. Clients compare it with versions of
/// Docker: cAdvisor wants exactly one `N.N.N` in it and at least 1.0.0, minikube 18.09 with a number after each dot. So
/// nothing is added to it; our own version has fields that Docker's does not have.
pub const DOCKER_VERSION: &str = "26.1.5";

/// Oldest API version spoken.
pub const MIN_API_VERSION: &str = "1.24";
