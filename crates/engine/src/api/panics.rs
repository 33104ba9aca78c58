//! Contains panics of handlers: counted for `GET /info`, written to the kernel log, answered with 500.

use std::sync::atomic::{AtomicU64, Ordering};

use engine_api::{Error, Result};
use tokio::task::{JoinError, JoinHandle};

static CONTAINED: AtomicU64 = AtomicU64::new(0);

/// How many panics have been contained since the start.
pub(super) fn contained() -> u64 {
    CONTAINED.load(Ordering::Relaxed)
}

/// The result of a handler's task; its panic becomes a 500.
pub(super) async fn contain<T>(task: JoinHandle<Result<T>>, what: &str) -> Result<T> {
    match task.await {
        Ok(result) => result,
        Err(error) => Err(note(error, what)),
    }
}

/// Logs and counts the end of a task that did not return.
pub(super) fn note(error: JoinError, what: &str) -> Error {
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
