//! The Engine API's server: HTTP/1.1 on a Unix socket, Docker's paths, status codes and error texts.
//!
//! A connection is one task, a request another one, so that a panic in a handler ends that request (500) and a client
//! that goes away does not stop a change half way. Bodies that go on are bounded channels: a slow client holds its
//! producer back and nobody else.
//!
//! This module does not run containers: it asks [`Engine`](crate::Engine).

mod archive;
mod attach;
mod call;
mod clean_path;
mod connection;
mod containers;
mod engine;
mod exec;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod half_close;
mod heads;
mod hijack;
mod images;
mod json_error;
mod lenient;
mod networks;
mod older;
mod panics;
mod query;
mod refused;
mod reply;
mod router;
mod socket;
mod streams;
mod system;
mod version;
mod volumes;
mod websocket;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use tokio::net::UnixListener;

use crate::Engine;

/// Panics of handlers that were contained.
pub(crate) fn contained_panics() -> u64 {
    panics::contained()
}

/// Answers clients of `listener` for as long as the future is polled. Runs inside a `LocalSet`.
pub async fn serve(engine: Engine, listener: UnixListener) {
    let listener = Rc::new(listener);
    engine.0.upgrades.serves(&listener);
    let quiet = Rc::clone(&engine.0.quiet);
    connection::accept(
        Rc::new(move |request| router::answer(engine.clone(), request)),
        listener,
        quiet,
    )
    .await;
}
