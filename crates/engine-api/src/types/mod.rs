//! Docker's API objects, named as in Docker's own definitions.

mod container;
mod event;
mod exec;
mod host_config;
mod image;
mod network;
mod stats;
mod system;
mod volume;

pub use container::*;
pub use event::*;
pub use exec::*;
pub use host_config::*;
pub use image::*;
pub use network::*;
pub use stats::*;
pub use system::*;
pub use volume::*;
