//! Tasks of an event loop that has one thread.

use std::pin::Pin;

use tokio::task::JoinHandle;

/// Starts a task on this thread (`tokio::task::spawn_local`); a panic in it ends the task only.
///
/// The future is boxed: tokio compiles the life of a task once for each type of future that it is given, which in PID 1's program
/// was 200 kB. Boxed, it is compiled once for each type of result.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> JoinHandle<T> {
    let future: Pin<Box<dyn Future<Output = T>>> = Box::pin(future);
    tokio::task::spawn_local(future)
}
