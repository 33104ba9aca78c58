//! The event loop of a command that asks an engine and waits for its answers.

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// An event loop in this thread. A command has nothing to do meanwhile, and more threads would only cost their start.
///
/// # Errors
/// When the kernel has no descriptors left for it.
pub fn event_loop() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no event loop")
}
