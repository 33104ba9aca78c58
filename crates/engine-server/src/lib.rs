//! The Engine API's server: HTTP/1.1 on a Unix socket, Docker's paths, status codes and error texts.
//!
//! A connection is one task, a request another one, so that a panic in a handler ends that request (500) and a client
//! that goes away does not stop a change half way. Bodies that go on are bounded channels: a slow client holds its
//! producer back and nobody else.
//!
//! **Belongs here:** what is about HTTP, about JSON as clients write it, and about the differences between versions of the
//! API.
//!
//! **Not here:** this crate does not run containers and decides nothing about them: it asks [`Engine`].
//!
//! **May import:** `engine`, `engine-api`, `images`, `json-reader`, `sys` of our crates.

mod archive;
mod attach;
mod call;
mod clean_path;
mod connection;
mod containers;

mod exec;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod half_close;
mod heads;
mod hijack;
mod images;
mod json_error;
mod networks;
mod older;
mod query;
mod refused;
mod reply;
mod router;
mod socket;
mod streams;
mod system;
mod upgrade;
mod version;
mod volumes;
mod websocket;

#[cfg(test)]
mod tests;

use std::rc::Rc;

use engine::Engine;
use tokio::net::UnixListener;

/// Answers clients of `listener` for as long as the future is polled. Runs inside a `LocalSet`.
pub async fn serve(engine: Engine, listener: UnixListener) {
    let listener = Rc::new(listener);
    engine.serves(&listener);
    let quiet = engine.quiet();
    connection::accept(
        Rc::new(move |request| router::answer(engine.clone(), request)),
        listener,
        quiet,
    )
    .await;
}
