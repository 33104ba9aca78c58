//! `POST /containers/{id}/attach`.

use engine_api::options::AttachOptions;

use engine_api::{Body, Error, Result};

use super::call::Call;
use super::hijack;
use super::reply::{self, RAW_STREAM, Reply};

/// Attaches and takes the connection over.
pub(super) async fn attach(call: Call, id: &str) -> Result<Reply> {
    match call.engine.container_attach(id, options(&call)).await {
        Ok(session) => hijack::start(call, session),
        Err(error) => Ok(refusal(&error)),
    }
}

/// A refusal in the form that clients of a hijack read: the bare text, as it would come out of the stream.
fn refusal(error: &Error) -> Reply {
    let text = format!("{}\r\n", error.message);
    let mut reply = reply::stream(RAW_STREAM, Body::Full(text.into()));
    *reply.status_mut() = error.status;
    reply
}

/// The query's wishes.
pub(super) fn options(call: &Call) -> AttachOptions {
    let query = &call.query;
    AttachOptions {
        stream: query.flag("stream"),
        stdin: query.flag("stdin"),
        stdout: query.flag("stdout"),
        stderr: query.flag("stderr"),
        logs: query.flag("logs"),
        detach_keys: query.non_empty("detachKeys").map(str::to_owned),
    }
}
