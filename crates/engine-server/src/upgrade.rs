//! Endpoints of our own, outside Docker's API: replacing the engine's program.

use engine_api::{Error, Result};
use http::StatusCode;

use super::call::Call;
use super::reply::{self, Reply};

/// `GET /engine`.
pub(super) fn status(call: &Call) -> Result<Reply> {
    reply::ok(&call.engine.engine_status())
}

/// `POST /engine/upgrade`: the body is the program to run, or empty for the present one again; `t` is how many seconds
/// work under way may take to end. Answers 202 with the status before the replacement.
pub(super) async fn upgrade(call: Call) -> Result<Reply> {
    let wait = match call.query.text("t") {
        "" => None,
        text => Some(text.parse().map_err(|_| {
            Error::bad_parameter(format!("invalid t: {text:?} is not a number of seconds"))
        })?),
    };
    let engine = call.engine.clone();
    let candidate = (!call.has_no_body()).then(|| call.upload());
    let status = engine.upgrade(candidate, wait).await?;
    reply::json(StatusCode::ACCEPTED, &status)
}
