//! The one event loop of the engine, the same in PID 1 and on a developer's machine: what tests see is what users run.

use anyhow::Context;
use tokio::task::LocalSet;

use crate::log;

/// Threads for file work that would hold up the event loop; each costs a stack when it is used. Nothing that a client,
/// a container or a server can hold up may run in one: that is a worker's, or a helper's of the runtime.
const BLOCKING_THREADS: usize = 4;

/// Runs the engine's work in this thread. Panics of tasks are contained, and told.
///
/// # Errors
/// The work's own, or when the kernel gives no event loop.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log::error(&format!("contained {panic}"));
        if std::process::id() != 1 {
            tell(panic); // a developer looks at the terminal
        }
    }));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("no event loop")?;
    LocalSet::new().block_on(&runtime, work)
}
