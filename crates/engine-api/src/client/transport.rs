//! One request, one connection: send, check the status, read the answer.

use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use json_reader::lenient;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::query::Target;
use super::stream::{ByteStream, Hijacked};
use crate::body::Body;
use crate::{API_VERSION, Error, ErrorBody, Result};

/// Largest answer that is read as a whole, in bytes: an inspect or list of thousands of containers fits.
pub const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A client of the Engine API on a Unix socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    prefix: String,
}

impl Client {
    /// A client of the engine that listens on `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
            prefix: format!("/v{API_VERSION}"),
        }
    }

    /// The socket it talks to.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Sends a request and returns the answer if its status says success.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        let describe = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!(
                "cannot reach the engine at {}: {error}",
                self.socket.display()
            ))
        };
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| describe(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| describe(&error))?;
        // The task ends with the connection: when the answer's body has been read or dropped.
        tokio::spawn(connection.with_upgrades());
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| describe(&error))?;
        if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        Err(read_error(response).await)
    }

    /// A request for a target below the version prefix.
    pub(crate) fn request(&self, method: Method, target: &Target) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{}", self.prefix, target.as_str()))
            .header(header::HOST, "engine")
            .header(
                header::USER_AGENT,
                concat!("rancheros/", env!("CARGO_PKG_VERSION")),
            )
    }

    /// Sends without a body.
    pub(crate) async fn call(&self, method: Method, target: &Target) -> Result<Response<Incoming>> {
        self.send(finish(self.request(method, target), Body::Empty)?)
            .await
    }

    /// Sends without a body and reads nothing.
    pub(crate) async fn unit(&self, method: Method, target: &Target) -> Result<()> {
        self.call(method, target).await.map(drop)
    }

    /// Reads the JSON at a path, such as `/info`, as a type of the caller's own: one that needs two fields of an answer need not carry
    /// what reads them all.
    ///
    /// # Errors
    /// As every request; 500 when the answer has another shape.
    pub async fn get_part<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.get(&Target::new(path)).await
    }

    /// Sends without a body and reads JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<T> {
        read_json(self.call(Method::GET, target).await?).await
    }

    /// Sends JSON.
    pub(crate) async fn post<B: Serialize>(
        &self,
        target: &Target,
        body: &B,
    ) -> Result<Response<Incoming>> {
        let request = self
            .request(Method::POST, target)
            .header(header::CONTENT_TYPE, "application/json");
        self.send(finish(request, Body::json(body)?)?).await
    }

    /// Sends JSON and reads JSON.
    pub(crate) async fn post_json<B: Serialize, T: DeserializeOwned>(
        &self,
        target: &Target,
        body: &B,
    ) -> Result<T> {
        read_json(self.post(target, body).await?).await
    }

    /// Sends without a body and reads JSON.
    pub(crate) async fn post_empty<T: DeserializeOwned>(&self, target: &Target) -> Result<T> {
        read_json(self.call(Method::POST, target).await?).await
    }

    /// Sends without a body and reads the answer piece by piece.
    pub(crate) async fn stream(&self, method: Method, target: &Target) -> Result<ByteStream> {
        Ok(ByteStream::new(
            self.call(method, target).await?.into_body(),
        ))
    }

    /// Asks for the connection itself (attach, exec), after a JSON body when there is one.
    pub(crate) async fn hijack<B: Serialize>(
        &self,
        target: &Target,
        body: Option<&B>,
    ) -> Result<Hijacked> {
        let mut request = self
            .request(Method::POST, target)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "tcp");
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::json(body)?
            }
            None => Body::Empty,
        };
        let response = self.send(finish(request, body)?).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::server(format!(
                "engine did not hand over the connection: {}",
                response.status()
            )));
        }
        Hijacked::new(response).await
    }
}

/// Ends building a request.
pub(crate) fn finish(request: http::request::Builder, body: Body) -> Result<Request<Body>> {
    request
        .body(body)
        .map_err(|error| Error::bad_parameter(format!("invalid request: {error}")))
}

/// Reads a whole answer as JSON.
pub(crate) async fn read_json<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T> {
    let bytes = read_all(response.into_body()).await?;
    lenient::from_slice(&bytes)
        .map_err(|error| Error::server(format!("engine's answer is not understood: {error}")))
}

async fn read_all(mut body: Incoming) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| Error::server(format!("engine's answer broke off: {error}")))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > MAX_ANSWER_BYTES {
                return Err(Error::server(format!(
                    "engine's answer exceeds {MAX_ANSWER_BYTES} bytes"
                )));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

async fn read_error(response: Response<Incoming>) -> Error {
    let status = response.status();
    let bytes = read_all(response.into_body()).await.unwrap_or_default();
    let message = match json_reader::from_slice::<ErrorBody>(&bytes) {
        Ok(body) => body.message,
        Err(_) if bytes.is_empty() => status.to_string(),
        Err(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
    };
    Error::new(status, message)
}
