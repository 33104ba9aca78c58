//! Endpoints that move files into and out of containers as tar archives.

use engine_api::options::ArchivePutOptions;
use engine_api::{Body, Error, PathStat, Result, base64};
use http::StatusCode;

use super::call::Call;
use super::reply::header_value;
use super::reply::{self, Reply};

const TAR: &str = "application/x-tar";
const PATH_STAT: &str = "x-docker-container-path-stat";

fn path(call: &Call) -> Result<&str> {
    call.query
        .non_empty("path")
        .ok_or_else(|| Error::bad_parameter("bad parameter: path cannot be empty"))
}

fn with_stat(mut reply: Reply, stat: &PathStat) -> Result<Reply> {
    let text = serde_json::to_vec(stat).map_err(|error| Error::server(error.to_string()))?;
    reply
        .headers_mut()
        .insert(PATH_STAT, header_value(&base64::encode(&text))?);
    Ok(reply)
}

/// `GET /containers/{id}/export`.
pub(super) async fn export(call: &Call, id: &str) -> Result<Reply> {
    let archive = call.engine.container_export(id).await?;
    Ok(reply::stream(
        "application/octet-stream",
        Body::Stream(archive),
    ))
}

/// `HEAD /containers/{id}/archive`.
pub(super) async fn head(call: &Call, id: &str) -> Result<Reply> {
    let stat = call.engine.archive_stat(id, path(call)?).await?;
    with_stat(reply::empty(StatusCode::OK)?, &stat)
}

/// `GET /containers/{id}/archive`.
pub(super) async fn get(call: &Call, id: &str) -> Result<Reply> {
    let (stat, archive) = call.engine.archive_get(id, path(call)?).await?;
    with_stat(reply::stream(TAR, Body::Stream(archive)), &stat)
}

/// `PUT /containers/{id}/archive`.
pub(super) async fn put(call: Call, id: &str) -> Result<Reply> {
    let options = ArchivePutOptions {
        path: path(&call)?.into(),
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid: call.query.flag("copyUIDGID"),
    };
    let engine = call.engine.clone();
    engine.archive_put(id, options, call.upload()).await?;
    reply::empty(StatusCode::OK)
}
