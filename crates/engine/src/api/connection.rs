//! Accepts clients and speaks HTTP/1.1 with each in a task of its own.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::plain_hijack::Socket;
use super::reply::Reply;

/// Clients at a time; more wait in the socket's backlog. Attached clients and event listeners each hold one.
const MAX_CONNECTIONS: usize = 2048;

/// Bytes of a request's head, and of answers that wait for a slow client.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Header lines in a request.
const MAX_HEADERS: usize = 128;

/// Time a client may take to send a request's head; longer than clients keep idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after a failed accept (no descriptors left): it does not help to ask again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers a request.
pub(super) type Handler = dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Reply>>>;

/// Accepts clients for as long as the future is polled.
pub(super) async fn accept(handler: Rc<Handler>, listener: UnixListener) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = Rc::clone(&handler);
                tokio::task::spawn_local(async move {
                    talk(handler, stream).await;
                    drop(slot);
                });
            }
            Err(error) => {
                crate::report(&format!("accept failed: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(handler: Rc<Handler>, stream: UnixStream) {
    // A client that fails or leaves is nobody's error.
    let Ok(Ok(socket)) = tokio::time::timeout(HEAD_TIMEOUT, Socket::open(stream)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let reply = handler(request);
        async move { Ok::<_, Infallible>(reply.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    // Likewise: parse errors have been answered with 400 or 431 by now.
    let _ = connection.await;
}
