//! Answers that are small: their bodies, and what a bad status means.

use std::io::Read;

use serde::Deserialize;
use ureq::Body;
use ureq::http::Response;

use oci_image::error::{Error, Result};

/// Largest answer that is not a blob or manifest, in bytes: tokens, errors.
pub(super) const ANSWER_MAX: u64 = 1024 * 1024;

#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Reads a small answer.
pub(in crate::registry) fn read_body(response: Response<Body>, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    response
        .into_body()
        .into_reader()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Error::Transport(format!("read the registry's answer: {error}")))?;
    if bytes.len() as u64 > limit {
        return Err(Error::Limit {
            what: "answer of the registry".to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// The error that an answer with a bad status means; `code: message` as the registry put it.
pub(in crate::registry) fn failure(response: Response<Body>, doing: &str) -> Error {
    let status = response.status().as_u16();
    let body = read_body(response, ANSWER_MAX).unwrap_or_default();
    let answer = serde_json::from_slice::<ErrorAnswer>(&body).ok();
    let item = answer.as_ref().and_then(|answer| answer.errors.first());
    let message = match item {
        Some(item) => format!(
            "{}: {}",
            item.code.to_lowercase().replace('_', " "),
            item.message
        ),
        None => format!("{doing}: unexpected status from the registry: {status}"),
    };
    match status {
        404 => Error::NotFound(message),
        401 | 403 => Error::Denied(message),
        _ => Error::Registry { status, message },
    }
}
