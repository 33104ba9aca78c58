//! Accepts clients and speaks HTTP/1.1 with each in its own task.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use engine::upgrade::{Phase, Quiet};
use http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::half_close::{Answering, Counted};
use super::reply::Reply;
use super::socket::Socket;

/// Clients at a time; more wait in the socket's backlog. Attached clients and event listeners each hold one.
const MAX_CONNECTIONS: usize = 2048;

/// Bytes of a request's head, and of answers that wait for a slow client.
const MAX_BUFFER_BYTES: usize = 64 << 10;

/// Header lines in a request.
pub(super) const MAX_HEADERS: usize = 128;

/// Time a client may take to send a request's head; longer than clients keep idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after a failed accept (no descriptors left): it does not help to ask again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers a request.
pub(super) type Handler = dyn Fn(Request<Incoming>) -> Pin<Box<dyn Future<Output = Reply>>>;

/// Accepts clients for as long as the future is polled.
pub(super) async fn accept(handler: Rc<Handler>, listener: Rc<UnixListener>, quiet: Rc<Quiet>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut phase = quiet.watch();
    loop {
        // The program is being replaced: clients wait in the backlog for the next one. The sender is in `quiet`.
        let _ = phase.wait_for(|phase| *phase != Phase::Leaving).await;
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            biased;
            _ = phase.wait_for(|phase| *phase == Phase::Leaving) => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (handler, quiet) = (Rc::clone(&handler), Rc::clone(&quiet));
                engine_api::tasks::spawn(async move {
                    talk(handler, stream, quiet).await;
                    drop(slot);
                });
            }
            Err(error) => {
                sys::kmsg::warn("engine", &format!("accept failed: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn talk(handler: Rc<Handler>, stream: UnixStream, quiet: Rc<Quiet>) {
    let answering = Arc::new(Answering::default());
    let socket = Socket::new(stream, Arc::clone(&answering));
    let service = service_fn(move |request: Request<Incoming>| {
        let guard = answering.begin();
        let chunked = request.headers().contains_key(TRANSFER_ENCODING);
        let (reply, quiet) = (handler(request), Rc::clone(&quiet));
        async move {
            let owed = quiet.owe();
            let mut reply = reply.await;
            // Close the connection after this answer: the program is being replaced, or the body was chunked, and `heads`
            // cannot tell where the next request begins.
            let last = chunked || quiet.phase() == Phase::Leaving;
            if last && reply.status() != StatusCode::SWITCHING_PROTOCOLS {
                let close = HeaderValue::from_static("close");
                reply.headers_mut().insert(CONNECTION, close);
            }
            drop(owed);
            Ok::<_, Infallible>(reply.map(|body| Counted {
                body,
                _guard: guard,
            }))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER_BYTES)
        // As Go's server writes them: scripts look for `X-Docker-Container-Path-Stat` with that case.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    // A client that fails or leaves is not an error of ours; parse errors have been answered with 400 or 431 by now.
    let _ = connection.await;
}
