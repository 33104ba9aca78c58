//! Connections taken over by attach and exec: standard input one way, output the other way, half-closed each on its own.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine_api::options::{AttachSession, OutputChunk};
use engine_api::{Body, Error, Result};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, UPGRADE};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::call::Call;
use super::half_close::{GONE_INTERVAL, is_gone};
use super::heads::MARKER;
use super::reply::{RAW_STREAM, Reply};
use super::socket::Socket;
use super::streams;

/// Bytes of standard input read at a time.
const INPUT_BYTES: usize = 16 << 10;

/// How long output waits for a client to read the head before it.
const HEAD_READ_MOST: Duration = Duration::from_millis(50);
/// How often that is looked at.
const HEAD_READ_POLL: Duration = Duration::from_millis(1);

/// Time that output may take to reach a client after the process has ended.
const LAST_OUTPUT: Duration = Duration::from_secs(30);

/// Time that a client gets to close its side after it has seen the end of output.
const LAST_INPUT: Duration = Duration::from_secs(30);

/// Answers a hijack and connects the session to the client.
///
/// # Errors
/// 500 when the answer cannot be written.
pub(super) fn start(call: Call, session: AttachSession) -> Result<Reply> {
    let tty = session.tty;
    start_with(call, tty, std::future::ready(session))
}

/// Like [`start`], with a session that begins only when the head is on its way: some clients lose output that comes in
/// one piece with the head.
///
/// # Errors
/// 500 when the answer cannot be written.
pub(super) fn start_with(
    call: Call,
    tty: bool,
    session: impl Future<Output = AttachSession> + 'static,
) -> Result<Reply> {
    let plain = call.headers.contains_key(MARKER);
    let content_type = if plain {
        RAW_STREAM
    } else {
        streams::media_type(call.version, tty)
    };
    let reply = switch(content_type, "tcp")?;
    let upgrade = call.upgrade;
    engine_api::tasks::spawn(async move {
        // A client that leaves before the answer ends the session: its channels are dropped.
        if let Ok((stream, early)) = take_over(upgrade).await {
            head_is_read(&stream).await;
            pump(stream, early, session.await).await;
        }
    });
    Ok(reply)
}

/// The 101 that hands the connection over.
pub(super) fn switch(content_type: &'static str, protocol: &'static str) -> Result<Reply> {
    let mut reply = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(CONNECTION, HeaderValue::from_static("Upgrade"))
        .header(UPGRADE, HeaderValue::from_static(protocol))
        .body(Body::Empty)
        .map_err(|error| Error::server(error.to_string()))?;
    if !content_type.is_empty() {
        reply
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        reply
            .extensions_mut()
            .insert(ReasonPhrase::from_static(b"UPGRADED"));
    }
    Ok(reply)
}

/// The client's socket after the answer, and what it has sent already.
///
/// # Errors
/// When the connection ended first.
pub(super) async fn take_over(upgrade: OnUpgrade) -> io::Result<(UnixStream, Bytes)> {
    let upgraded: Upgraded = upgrade.await.map_err(io::Error::other)?;
    let parts = upgraded
        .downcast::<TokioIo<Socket>>()
        .map_err(|_| io::Error::other("connection is not one of ours"))?;
    let (stream, unread) = parts.io.into_inner().into_parts();
    let mut early = BytesMut::from(parts.read_buf);
    early.extend_from_slice(&unread);
    Ok((stream, early.freeze()))
}

/// Waits until the client has read the answer's head: clients that read it with a buffer (docker-py) lose output that
/// comes together with it. A client that does not read in time gets its output all the same.
async fn head_is_read(stream: &UnixStream) {
    let end = tokio::time::Instant::now() + HEAD_READ_MOST;
    while tokio::time::Instant::now() < end {
        match sys::tty::unread_output(stream) {
            Ok(0) | Err(_) => return,
            Ok(_) => tokio::time::sleep(HEAD_READ_POLL).await,
        }
    }
}

/// Connects a session to the client until one of them ends.
pub(super) async fn pump(stream: UnixStream, early: Bytes, session: AttachSession) {
    let (reader, writer) = stream.into_split();
    let AttachSession { input, output, tty } = session;
    let input = read_input(reader, early, input);
    let output = write_output(writer, output, tty);
    tokio::pin!(input, output);
    tokio::select! {
        // All output has been written: the client sees the end, whether it still types or not.
        () = &mut output => take_the_rest(input).await,
        // The client has left altogether.
        () = &mut input => {}
    }
}

/// Reads on, after all output was written, until `input` says that the client has left, but not for ever. A Unix socket
/// that is closed with unread bytes is reset (unix(7)): the client would lose the last output, and with it the exit code.
pub(super) async fn take_the_rest<T>(input: impl Future<Output = T>) {
    let _ = tokio::time::timeout(LAST_INPUT, input).await;
}

/// Passes on what the client types; returns when the client is gone, not when it has only stopped typing.
async fn read_input(
    mut reader: OwnedReadHalf,
    early: Bytes,
    mut input: Option<mpsc::Sender<Bytes>>,
) {
    if !early.is_empty() {
        forward(&mut input, early).await;
    }
    loop {
        let mut buffer = BytesMut::with_capacity(INPUT_BYTES);
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(_) => forward(&mut input, buffer.freeze()).await,
        }
    }
    // End of file for the process.
    drop(input);
    let mut interval = tokio::time::interval(GONE_INTERVAL);
    while !is_gone(reader.as_ref()) {
        interval.tick().await;
    }
}

async fn forward(input: &mut Option<mpsc::Sender<Bytes>>, bytes: Bytes) {
    if let Some(sender) = input
        && sender.send(bytes).await.is_err()
    {
        // The process has closed its end; what comes further is thrown away.
        *input = None;
    }
}

async fn write_output(
    mut writer: OwnedWriteHalf,
    mut output: mpsc::Receiver<OutputChunk>,
    tty: bool,
) {
    while let Some(chunk) = output.recv().await {
        if writer
            .write_all(&streams::encode(chunk, tty))
            .await
            .is_err()
        {
            return;
        }
    }
    // The peer's reader has everything up to here; a client that does not read must not keep us.
    let _ = tokio::time::timeout(LAST_OUTPUT, writer.shutdown()).await;
}
