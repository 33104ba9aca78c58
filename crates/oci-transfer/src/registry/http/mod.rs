//! Requests to one registry: TLS by host, authentication, redirects, retries.

mod agent;
mod answer;
mod failed;
mod token;
mod url;

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, SendBody};

use super::auth::parse_challenge;
use super::{Credentials, Endpoint, RegistryOptions};
pub(super) use answer::{failure, read_body};
pub(crate) use failed::failed_call;
use oci_image::error::{Error, Result};
use url::{authority, resolve};

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// Longest pause a registry can ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Makes a request's body; called again when the request has to be repeated.
pub(super) type Open<'b> = &'b dyn Fn() -> Result<Box<dyn Read + 'b>>;

/// A client of one endpoint for one repository scope.
pub(super) struct Http<'a> {
    base: String,
    options: &'a RegistryOptions,
    insecure: bool,
    credentials: Credentials,
    scope: String,
    agents: Mutex<BTreeMap<String, Agent>>,
    authorization: Mutex<Option<String>>,
    /// Whether it has answered anything.
    answered: AtomicBool,
}

impl<'a> Http<'a> {
    /// Finds out how the endpoint is spoken to. `scope` is `repository:NAME:pull`, or empty.
    pub(super) fn connect(
        endpoint: &Endpoint,
        options: &'a RegistryOptions,
        credentials: Credentials,
        scope: String,
    ) -> Result<Self> {
        let mut http = Self {
            base: endpoint.base.clone(),
            options,
            insecure: endpoint.insecure,
            credentials,
            scope,
            agents: Mutex::default(),
            authorization: Mutex::default(),
            answered: AtomicBool::default(),
        };
        if endpoint.insecure && endpoint.base.starts_with("https://") && !http.speaks_tls() {
            http.base = endpoint.base.replacen("https://", "http://", 1);
        }
        if !http.credentials.registry_token.is_empty() {
            let token = format!("Bearer {}", http.credentials.registry_token);
            http.set_authorization(Some(token));
        }
        Ok(http)
    }

    fn speaks_tls(&self) -> bool {
        let url = format!("{}/v2/", self.base);
        self.once(&Method::GET, &url, &[], None, None).is_ok()
    }

    /// GET with authentication and retries; `path` starts with a slash or is a whole URL.
    pub(super) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Body>> {
        self.request(&Method::GET, path, headers)
    }

    /// HEAD with authentication and retries.
    pub(super) fn head(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response<Body>> {
        self.request(&Method::HEAD, path, headers)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>> {
        self.retry(|| self.authenticated(method, path, headers, None))
    }

    /// A request with a body that can be produced again; not repeated after transport failures.
    pub(super) fn send(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Open<'_>>,
    ) -> Result<Response<Body>> {
        self.authenticated(method, path, headers, body)
    }

    /// Repeats what fails for a reason that passes: the transport, 5xx, 429.
    fn retry(&self, mut attempt: impl FnMut() -> Result<Response<Body>>) -> Result<Response<Body>> {
        let mut pause = self.options.retry_pause;
        for left in (0..=self.options.retries).rev() {
            let result = attempt();
            let wait = match &result {
                Err(Error::Transport(_)) => pause,
                Ok(response) if is_transient(response.status().as_u16()) => {
                    retry_after(response).unwrap_or(pause)
                }
                _ => return result,
            };
            if left == 0 {
                return result;
            }
            std::thread::sleep(wait.min(RETRY_AFTER_MAX));
            pause *= 2;
        }
        Err(Error::Transport("no attempt was made".to_owned()))
    }

    fn authenticated(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Open<'_>>,
    ) -> Result<Response<Body>> {
        let url = self.url(path);
        let sent = self.authorization();
        let response = self.follow(method, &url, headers, body, sent.as_deref())?;
        if response.status().as_u16() != 401 {
            return Ok(response);
        }
        let challenge = response
            .headers()
            .get_all("www-authenticate")
            .iter()
            .find_map(|value| parse_challenge(value.to_str().ok()?));
        let Some(challenge) = challenge else {
            return Ok(response);
        };
        let authorization = self.answer(&challenge, || format!("{} \"{url}\"", verb(method)))?;
        self.set_authorization(Some(authorization.clone()));
        self.follow(method, &url, headers, body, Some(&authorization))
    }

    /// Follows redirects of GET and HEAD; another host never sees the credentials.
    fn follow(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<Open<'_>>,
        authorization: Option<&str>,
    ) -> Result<Response<Body>> {
        let mut url = url.to_owned();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS_MAX {
            let response = self.once(
                method,
                &url,
                headers,
                body.map(|open| open()).transpose()?,
                authorization,
            )?;
            let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            if !is_redirect || (method != Method::GET && method != Method::HEAD) {
                return Ok(response);
            }
            let location = response
                .headers()
                .get("location")
                .and_then(|value| value.to_str().ok());
            let target = resolve(&url, location.unwrap_or_default())?;
            if target.starts_with("http://") && !self.insecure {
                return Err(Error::Transport(format!(
                    "{url} redirects to plain HTTP: {target}"
                )));
            }
            if authority(&target) != authority(&url) {
                authorization = None;
            }
            url = target;
        }
        Err(Error::Transport(format!(
            "{url}: more than {REDIRECTS_MAX} redirects"
        )))
    }

    fn once(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<Box<dyn Read + '_>>,
        authorization: Option<&str>,
    ) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let malformed = |error| Error::invalid(format!("request to {url}: {error}"));
        let agent = self.agent(authority(url))?;
        let result = match body {
            Some(mut reader) => {
                let request = request
                    .body(SendBody::from_reader(&mut reader))
                    .map_err(malformed)?;
                agent.run(request)
            }
            None => agent.run(request.body(()).map_err(malformed)?),
        };
        if result.is_ok() {
            self.answered.store(true, Ordering::Relaxed);
        }
        result.map_err(|error| self.failed(method, url, &error))
    }

    /// The error of a call without an answer. Docker asks `/v2/` first, so that is what it names when a registry is not there.
    fn failed(&self, method: &Method, url: &str, error: &ureq::Error) -> Error {
        let first = format!("{}/v2/", self.base);
        if url.starts_with(&first) && !self.answered.load(Ordering::Relaxed) {
            return failed_call("Get", &first, error);
        }
        failed_call(verb(method), url, error)
    }

    /// The whole URL of a path of this registry.
    pub(super) fn url(&self, path: &str) -> String {
        if path.starts_with('/') {
            return format!("{}{path}", self.base);
        }
        path.to_owned()
    }

    /// An upload location as an absolute URL.
    pub(super) fn location(&self, path: &str, response: &Response<Body>) -> Result<String> {
        let location = response
            .headers()
            .get("location")
            .and_then(|value| value.to_str().ok());
        let location =
            location.ok_or_else(|| Error::invalid("registry names no upload location"))?;
        resolve(&self.url(path), location)
    }

    fn authorization(&self) -> Option<String> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_authorization(&self, value: Option<String>) {
        *self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// The retry settings.
    pub(super) fn options(&self) -> &RegistryOptions {
        self.options
    }
}

/// How Go's client writes a method.
fn verb(method: &Method) -> &str {
    match method.as_str() {
        "GET" => "Get",
        "HEAD" => "Head",
        "POST" => "Post",
        "PUT" => "Put",
        other => other,
    }
}

fn is_transient(status: u16) -> bool {
    matches!(status, 429 | 500 | 502 | 503 | 504)
}

fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response
        .headers()
        .get("retry-after")?
        .to_str()
        .ok()?
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}
