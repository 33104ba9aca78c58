//! Services in compose form to an ordered plan of engine calls.
//!
//! [`plan`] takes the services of a checked configuration and answers with one [`Step`] per service, in an order that
//! respects the labels `io.rancher.os.after` and `.before`, the namespaces and volumes services share, and the scope.
//! A step carries the [`engine_api::CreateRequest`] its container is made from. What is wrong with one service is
//! reported and costs that service, or only the ordering edge, never the others.
//!
//! **Belongs here:** the order of services, the translation of a service to Docker's create request, whether a container is
//! still what its service asks for, and the account that its image is pulled with.
//!
//! **Not here:** this crate does not call an engine, wait for anything or read files.
//!
//! **May import:** `config`, `engine-api`, `oci-image` of our crates.

pub mod account;
pub mod convert;
pub mod environment;
pub mod keep;
pub mod ports;
pub mod quantity;

mod key;
mod order;
mod plan;

pub use account::Account;
pub use plan::{Plan, Rebuild, Scope, Step, plan};
