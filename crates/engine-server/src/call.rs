//! One request on its way through a handler.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::Engine;
use engine_api::options::ByteStream;
use engine_api::{Error, Result, base64};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;

use super::query::{Query, decode};
use super::version::{self, ApiVersion};
use json_reader::lenient;

use super::json_error;

/// Largest JSON body, in bytes: a create request with hundreds of mounts fits many times.
pub(super) const MAX_JSON_BYTES: usize = 4 << 20;

/// Time a JSON body may take: a client that sends it byte by byte would hold a connection for ever.
const BODY_TIMEOUT: Duration = Duration::from_secs(300);

/// Pieces of an upload that wait for the engine.
const UPLOAD_DEPTH: usize = 8;

/// A request, taken apart.
pub(super) struct Call {
    pub(super) engine: Engine,
    pub(super) method: Method,
    pub(super) version: ApiVersion,
    /// Decoded segments of the path below the version.
    pub(super) path: Vec<String>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    pub(super) upgrade: OnUpgrade,
    body: Incoming,
}

impl Call {
    /// Takes a request apart.
    ///
    /// # Errors
    /// 400 when version, path or query are not understood.
    pub(super) fn new(engine: Engine, mut request: Request<Incoming>) -> Result<Self> {
        let (version, path) = version::split(request.uri().path())?;
        let path = path
            .trim_start_matches('/')
            .split('/')
            .map(|part| decode(part, false))
            .collect::<Result<_>>()?;
        let query = Query::parse(request.uri().query().unwrap_or(""))?;
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        Ok(Self {
            engine,
            method: parts.method,
            version,
            path,
            query,
            headers: parts.headers,
            upgrade,
            body,
        })
    }

    /// A header's text; empty when absent.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
    }

    /// True when the request has no body at all.
    pub(super) fn has_no_body(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The length the client announced.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.headers
            .get(CONTENT_LENGTH)?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }

    /// The body as JSON; the default when there is none.
    ///
    /// # Errors
    /// 400 with Docker's texts, 413 when it is too long.
    pub(super) async fn json<T: DeserializeOwned + Default>(&mut self) -> Result<T> {
        match self.json_bytes().await? {
            Some(bytes) => parse(&bytes),
            None => Ok(T::default()),
        }
    }

    /// The bytes of a JSON body; none when there is no body.
    ///
    /// # Errors
    /// As [`Call::json`].
    pub(super) async fn json_bytes(&mut self) -> Result<Option<Bytes>> {
        check_json(self.header(CONTENT_TYPE.as_str()), self.has_no_body())?;
        if self.has_no_body() {
            return Ok(None);
        }
        let announced = self.content_length();
        let bytes = read_limited(&mut self.body, announced).await?;
        if bytes.is_empty() {
            return Err(Error::bad_parameter(
                "invalid JSON: got EOF while reading request body",
            ));
        }
        Ok(Some(bytes))
    }

    /// The body as a stream (archives). Reading goes on only as fast as the engine takes it.
    pub(super) fn upload(self) -> ByteStream {
        let (sender, receiver) = mpsc::channel(UPLOAD_DEPTH);
        let mut body = self.body;
        engine_api::tasks::spawn(async move {
            while let Some(frame) = body.frame().await {
                let piece = match frame.map(hyper::body::Frame::into_data) {
                    Ok(Ok(data)) => Ok(data),
                    Ok(Err(_trailers)) => continue,
                    Err(error) => Err(std::io::Error::other(format!("upload broke off: {error}"))),
                };
                let broken = piece.is_err();
                if sender.send(piece).await.is_err() || broken {
                    return;
                }
            }
        });
        receiver
    }

    /// Credentials of `X-Registry-Auth`; none when absent or, as in Docker, not understood.
    pub(super) fn registry_auth(&self) -> Option<engine_api::AuthConfig> {
        let text = self.header("x-registry-auth");
        let bytes = base64::decode(text)
            .ok()
            .filter(|bytes| !bytes.is_empty())?;
        parse(&bytes).ok()
    }
}

/// Reads a whole body that may not be long.
///
/// # Errors
/// 413 when it is too long, 400 when it breaks off.
pub(super) async fn read_limited(body: &mut Incoming, announced: Option<u64>) -> Result<Bytes> {
    let too_long = || {
        Error::new(
            http::StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body exceeds {MAX_JSON_BYTES} bytes"),
        )
    };
    if announced.is_some_and(|length| length > MAX_JSON_BYTES as u64) {
        return Err(too_long());
    }
    let deadline = tokio::time::Instant::now() + BODY_TIMEOUT;
    let mut bytes = BytesMut::new();
    while let Some(frame) = tokio::time::timeout_at(deadline, body.frame())
        .await
        .map_err(|_| {
            Error::new(
                http::StatusCode::REQUEST_TIMEOUT,
                format!("request body did not come within {BODY_TIMEOUT:?}"),
            )
        })?
    {
        let frame = frame
            .map_err(|error| Error::bad_parameter(format!("request body broke off: {error}")))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > MAX_JSON_BYTES {
                return Err(too_long());
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

/// Reads one JSON value, and nothing after it.
///
/// # Errors
/// 400 with Docker's texts.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    convert(value(bytes)?)
}

/// The one JSON value that is there, whatever it is.
///
/// # Errors
/// 400 with Docker's texts.
pub(super) fn value(bytes: &[u8]) -> Result<Value> {
    let invalid = |text: String| Error::bad_parameter(format!("invalid JSON: {text}"));
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    let value = match values.next() {
        Some(value) => value.map_err(|error| {
            invalid(json_error::complaint(bytes).unwrap_or_else(|| error.to_string()))
        })?,
        None => return Err(invalid("got EOF while reading request body".to_owned())),
    };
    let rest = bytes.get(values.byte_offset()..).unwrap_or_default();
    if rest.iter().all(u8::is_ascii_whitespace) {
        return Ok(value);
    }
    Err(Error::bad_parameter("unexpected content after JSON"))
}

/// A JSON value as what it should be; names of fields count in any case.
///
/// # Errors
/// 400 naming what does not fit.
pub(super) fn convert<T: DeserializeOwned>(value: Value) -> Result<T> {
    lenient::from_value(value)
        .map_err(|error| Error::bad_parameter(format!("invalid JSON: {error}")))
}

/// Docker's rule: no body needs no type, everything else must say `application/json`.
fn check_json(content_type: &str, no_body: bool) -> Result<()> {
    if content_type.is_empty() && no_body {
        return Ok(());
    }
    let media = content_type.split(';').next().unwrap_or("").trim();
    if media.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    if media.is_empty() {
        return Err(Error::bad_parameter(
            "malformed Content-Type header (): mime: no media type",
        ));
    }
    Err(Error::bad_parameter(format!(
        "unsupported Content-Type header ({content_type}): must be 'application/json'"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_checked_as_docker_does() {
        assert!(check_json("", true).is_ok());
        assert!(check_json("application/json", false).is_ok());
        assert!(check_json("Application/JSON; charset=utf-8", false).is_ok());
        assert_eq!(
            check_json("", false).unwrap_err().message,
            "malformed Content-Type header (): mime: no media type"
        );
        assert_eq!(
            check_json("text/plain", true).unwrap_err().message,
            "unsupported Content-Type header (text/plain): must be 'application/json'"
        );
    }

    #[test]
    fn one_json_value_is_read() {
        assert_eq!(parse::<u8>(b" 7 \n").unwrap(), 7);
        assert_eq!(
            parse::<u8>(b"7 8").unwrap_err().message,
            "unexpected content after JSON"
        );
        assert!(
            parse::<u8>(b" ")
                .unwrap_err()
                .message
                .starts_with("invalid JSON: got EOF")
        );
        assert!(
            parse::<u8>(b"{")
                .unwrap_err()
                .message
                .starts_with("invalid JSON: ")
        );
    }
}
