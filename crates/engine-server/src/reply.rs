//! Answers: JSON, nothing, a stream, or an error in Docker's shape.

use engine_api::{API_VERSION, Body, Error, ErrorBody, Result};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use serde::Serialize;

/// What a handler answers.
pub(super) type Reply = Response<Body>;

/// Media type of raw streams.
pub(super) const RAW_STREAM: &str = "application/vnd.docker.raw-stream";
/// Media type of streams with frames.
pub(super) const MULTIPLEXED_STREAM: &str = "application/vnd.docker.multiplexed-stream";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What Docker says of a path or method it does not know.
pub(super) fn page_not_found() -> Error {
    Error::not_found("page not found")
}

/// A body of JSON.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Reply> {
    let body = Body::json(value)
        .map_err(|error| Error::server(format!("answer cannot be written as JSON: {error}")))?;
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(reply)
}

/// 200 and JSON.
pub(super) fn ok<T: Serialize>(value: &T) -> Result<Reply> {
    json(StatusCode::OK, value)
}

/// 201 and JSON.
pub(super) fn created<T: Serialize>(value: &T) -> Result<Reply> {
    json(StatusCode::CREATED, value)
}

/// A status and nothing else.
pub(super) fn empty(status: StatusCode) -> Result<Reply> {
    let mut reply = Response::new(Body::Empty);
    *reply.status_mut() = status;
    Ok(reply)
}

/// 204.
pub(super) fn no_content() -> Result<Reply> {
    empty(StatusCode::NO_CONTENT)
}

/// 301 to another target on this server.
///
/// # Errors
/// 500 when the target cannot be a header.
pub(super) fn moved(target: &str) -> Result<Reply> {
    let mut reply = empty(StatusCode::MOVED_PERMANENTLY)?;
    reply.headers_mut().insert(LOCATION, header_value(target)?);
    Ok(reply)
}

/// A header value from text that has no control characters.
///
/// # Errors
/// 500 when it has.
pub(super) fn header_value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|_| Error::server(format!("{text:?} cannot be a header")))
}

/// 200 and a body of some media type.
pub(super) fn stream(content_type: &'static str, body: Body) -> Reply {
    let mut reply = Response::new(body);
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// An error in Docker's shape; 304 has no body.
pub(super) fn error(error: &Error) -> Reply {
    if error.status == StatusCode::NOT_MODIFIED {
        let mut reply = Response::new(Body::Empty);
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
        return reply;
    }
    json(
        error.status,
        &ErrorBody {
            message: error.message.clone(),
        },
    )
    .unwrap_or_else(|_| {
        let mut reply = Response::new(Body::Empty);
        *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        reply
    })
}

/// The headers every answer carries.
pub(super) fn sign(reply: &mut Reply, server: &str) {
    let headers = reply.headers_mut();
    let mut set = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    set("api-version", HeaderValue::from_static(API_VERSION));
    set("docker-experimental", HeaderValue::from_static("false"));
    set("ostype", HeaderValue::from_static("linux"));
    if let Ok(server) = HeaderValue::from_str(server) {
        set("server", server);
    }
}
