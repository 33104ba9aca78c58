//! `POST /containers/{id}/attach`.

use engine_api::Result;

use super::call::Call;
use super::hijack;
use super::reply::Reply;
use crate::options::AttachOptions;

/// Attaches and takes the connection over.
pub(super) async fn attach(call: Call, id: &str) -> Result<Reply> {
    let session = call.engine.container_attach(id, options(&call)).await?;
    hijack::start(call, session)
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
