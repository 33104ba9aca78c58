//! Contains panics of work that others must survive: counted for `GET /info`, written to the kernel log, answered with 500.

use std::sync::atomic::{AtomicU64, Ordering};

use engine_api::{Error, Result};
use tokio::task::{JoinError, JoinHandle};

static CONTAINED: AtomicU64 = AtomicU64::new(0);

/// How many panics have been contained since the start.
pub fn contained() -> u64 {
    CONTAINED.load(Ordering::Relaxed)
}

/// The result of a task; its panic becomes a 500. `what` names the work, such as `GET /info`.
///
/// # Errors
/// Those of the task; 500 when it panicked, 503 when it was cancelled.
pub async fn contain<T>(task: JoinHandle<Result<T>>, what: &str) -> Result<T> {
    match task.await {
        Ok(result) => result,
        Err(error) => Err(note(error, what)),
    }
}

/// Says on the kernel's log and counts the end of a task that did not return.
pub fn note(error: JoinError, what: &str) -> Error {
    if !error.is_panic() {
        return Error::unavailable(format!("{what} was cancelled: the engine is shutting down"));
    }
    CONTAINED.fetch_add(1, Ordering::Relaxed);
    let payload = error.into_panic();
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    crate::report(&format!("panic in {what} contained: {text}"));
    Error::server(format!("internal error in {what}; the engine goes on"))
}
