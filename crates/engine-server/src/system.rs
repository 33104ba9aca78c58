//! Endpoints about the engine itself.

use engine_api::Result;
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderValue, PRAGMA};

use engine_api::Body;

use super::call::Call;
use super::older;
use super::reply::{self, Reply};
use super::version::ApiVersion;

/// `GET` and `HEAD /_ping`.
pub(super) fn ping(call: &Call) -> Result<Reply> {
    let head = call.method == Method::HEAD;
    let mut reply = reply::stream(
        "text/plain; charset=utf-8",
        if head {
            Body::Empty
        } else {
            Body::Full("OK".into())
        },
    );
    let headers = reply.headers_mut();
    // "1" is the classic builder, whose one call is refused with a clear text; "2" would make clients speak BuildKit.
    headers.insert("builder-version", HeaderValue::from_static("1"));
    headers.insert("swarm", HeaderValue::from_static("inactive"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-store, must-revalidate"),
    );
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if head {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok(reply)
}

/// `GET /version`.
pub(super) fn version(call: &Call) -> Result<Reply> {
    reply::ok(&call.engine.version())
}

/// `GET /info`.
pub(super) async fn info(call: &Call) -> Result<Reply> {
    let mut info = call.engine.info().await?;
    older::info(call.version, &mut info);
    let panics = call.engine.contained_panics();
    if panics > 0 {
        let warnings = info.warnings.get_or_insert_default();
        warnings.push(format!(
            "WARNING: {panics} panics of API handlers were contained; see the kernel log"
        ));
    }
    reply::ok(&info)
}

/// `GET /system/df`.
pub(super) async fn disk_usage(call: &Call) -> Result<Reply> {
    let mut usage = call.engine.disk_usage().await?;
    older::image_list(call.version.max(ApiVersion(1, 43)), &mut usage.images);
    let wanted = call.query.all("type");
    if call.version >= ApiVersion(1, 42) && !wanted.is_empty() {
        if let Some(unknown) = wanted
            .iter()
            .find(|kind| !["container", "image", "volume", "build-cache"].contains(&kind.as_str()))
        {
            return Err(engine_api::Error::bad_parameter(format!(
                "unknown object type: {unknown}"
            )));
        }
        let has = |kind: &str| wanted.iter().any(|w| w == kind);
        if !has("image") {
            usage.images.clear();
            usage.layers_size = 0;
        }
        if !has("container") {
            usage.containers.clear();
        }
        if !has("volume") {
            usage.volumes.clear();
        }
    }
    reply::ok(&usage)
}
