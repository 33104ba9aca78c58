//! Endpoints whose answer goes on: logs, stats, events, wait. Their heads are sent before the first piece is there.

use bytes::Bytes;
use engine_api::options::{EventsQuery, LogsOptions, OutputChunk, WaitCondition};
use engine_api::{Body, Error, Result, WaitError, WaitResponse, framing};
use serde::Serialize;
use tokio::sync::mpsc;

use super::call::Call;
use super::reply::{self, MULTIPLEXED_STREAM, RAW_STREAM, Reply};
use super::version::ApiVersion;

/// Pieces of an answer that wait for a slow client. What is before them in the engine has its own bounds.
const REPLY_DEPTH: usize = 4;

/// Most bytes of small pieces that are sent as one.
const BATCH_BYTES: usize = 32 << 10;

/// First version whose raw and framed streams have their own media types.
const MEDIA_TYPES: ApiVersion = ApiVersion(1, 42);

/// The media type of a container's output.
pub(super) fn media_type(version: ApiVersion, tty: bool) -> &'static str {
    if !tty && version >= MEDIA_TYPES {
        MULTIPLEXED_STREAM
    } else {
        RAW_STREAM
    }
}

/// A piece of output as it goes to the client: framed, or raw with a terminal.
pub(super) fn encode((kind, bytes): OutputChunk, tty: bool) -> Bytes {
    if tty {
        bytes
    } else {
        framing::encode(kind, &bytes)
    }
}

/// `GET /containers/{id}/logs`.
pub(super) async fn logs(call: &Call, id: &str) -> Result<Reply> {
    let query = &call.query;
    let options = LogsOptions {
        follow: query.flag("follow"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        since: query.time("since")?,
        // Docker's client sends 0 for "not asked for".
        until: query.time("until")?.filter(|until| until.unix_nanos() != 0),
        timestamps: query.flag("timestamps"),
        details: query.flag("details"),
        // "all", nothing, negative numbers and, as in Docker, nonsense mean everything.
        tail: query.text("tail").parse().ok(),
    };
    if !options.stdout && !options.stderr {
        return Err(Error::bad_parameter(
            "Bad parameters: you must choose at least one stream",
        ));
    }
    let mut session = call.engine.container_logs(id, options).await?;
    let (sender, body) = channel();
    let tty = session.tty;
    engine_api::tasks::spawn(async move {
        while let Some(chunk) = next_or_gone(&sender, session.output.recv()).await {
            let mut batch = encode(chunk, tty);
            // Lines that are there already go out together: one write instead of hundreds.
            if let Ok(more) = session.output.try_recv() {
                let mut joined = bytes::BytesMut::from(batch);
                joined.extend_from_slice(&encode(more, tty));
                while joined.len() < BATCH_BYTES {
                    let Ok(more) = session.output.try_recv() else {
                        break;
                    };
                    joined.extend_from_slice(&encode(more, tty));
                }
                batch = joined.freeze();
            }
            if sender.send(Ok(batch)).await.is_err() {
                return;
            }
        }
    });
    Ok(reply::stream(media_type(call.version, tty), body))
}

/// `GET /containers/{id}/stats`.
pub(super) async fn stats(call: &Call, id: &str) -> Result<Reply> {
    let stream = call.query.flag_or("stream", true);
    let one_shot = call.version >= ApiVersion(1, 41) && call.query.flag("one-shot");
    if stream && one_shot {
        return Err(Error::bad_parameter(
            "cannot have stream=true and one-shot=true",
        ));
    }
    let samples = call.engine.container_stats(id, stream, one_shot).await?;
    Ok(reply::stream("application/json", json_lines(samples)))
}

/// `GET /events`.
pub(super) fn events(call: &Call) -> Result<Reply> {
    let query = EventsQuery {
        since: call.query.time("since")?,
        until: call.query.time("until")?,
        filters: call.query.filters()?,
    };
    if let (Some(since), Some(until)) = (query.since, query.until)
        && since.unix_nanos() > until.unix_nanos()
    {
        return Err(Error::bad_parameter(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            call.query.text("since"),
            call.query.text("until")
        )));
    }
    Ok(reply::stream(
        "application/json",
        json_lines(call.engine.events(query)),
    ))
}

/// `POST /containers/{id}/wait`. The engine watches when the head is sent: clients start the container after it.
pub(super) fn wait(call: &Call, id: &str) -> Result<Reply> {
    let condition = if call.version < ApiVersion(1, 30) {
        ""
    } else {
        call.query.text("condition")
    };
    let condition = match condition {
        "" | "not-running" => WaitCondition::NotRunning,
        "next-exit" => WaitCondition::NextExit,
        "removed" => WaitCondition::Removed,
        other => {
            return Err(Error::bad_parameter(format!(
                "invalid condition: {other:?}"
            )));
        }
    };
    let end = call.engine.container_wait(id, condition)?;
    let (sender, body) = channel();
    engine_api::tasks::spawn(async move {
        let result = tokio::select! {
            result = end => result,
            () = sender.closed() => return,
        };
        let answer = result.unwrap_or_else(|error| WaitResponse {
            status_code: -1,
            error: Some(WaitError {
                message: error.message,
            }),
        });
        // The client may have left meanwhile.
        let _ = sender.send(line(&answer)).await;
    });
    Ok(reply::stream("application/json", body))
}

/// A body that is filled through a channel.
pub(super) fn channel() -> (mpsc::Sender<std::io::Result<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(REPLY_DEPTH);
    (sender, Body::Stream(receiver))
}

/// The next value, or none when there are no more or the client has left.
async fn next_or_gone<T, U>(
    client: &mpsc::Sender<U>,
    next: impl Future<Output = Option<T>>,
) -> Option<T> {
    tokio::select! {
        biased;
        value = next => value,
        () = client.closed() => None,
    }
}

/// A body of one JSON value per line.
pub(super) fn json_lines<T: Serialize + 'static>(mut values: mpsc::Receiver<T>) -> Body {
    let (sender, body) = channel();
    engine_api::tasks::spawn(async move {
        while let Some(value) = next_or_gone(&sender, values.recv()).await {
            if sender.send(line(&value)).await.is_err() {
                return;
            }
        }
    });
    body
}

/// A JSON value and a newline.
pub(super) fn line<T: Serialize>(value: &T) -> std::io::Result<Bytes> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    Ok(text.into())
}
