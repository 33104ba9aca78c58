//! Requests to one registry: TLS by host, authentication, redirects, retries.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{Method, Request, Response, Uri};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, SendBody};

use super::auth::{Challenge, basic, parse_challenge, query_value};
use super::{Credentials, Endpoint, RegistryOptions};
use crate::error::{Context, Error, Result};

/// Most redirects that are followed.
const REDIRECTS_MAX: usize = 5;
/// Largest answer that is not a blob or manifest, in bytes: tokens, errors.
const ANSWER_MAX: u64 = 1024 * 1024;
/// Longest pause a registry can ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// Most certificate files of one registry.
const CERTIFICATES_MAX: usize = 64;

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
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

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
        let Some(authorization) = self.answer(&challenge)? else {
            return Ok(response);
        };
        self.set_authorization(Some(authorization.clone()));
        self.follow(method, &url, headers, body, Some(&authorization))
    }

    fn answer(&self, challenge: &Challenge) -> Result<Option<String>> {
        let credentials = &self.credentials;
        match challenge {
            Challenge::Basic if credentials.username.is_empty() => Ok(None),
            Challenge::Basic => Ok(Some(basic(&credentials.username, &credentials.password))),
            Challenge::Bearer {
                realm,
                service,
                scope,
            } => {
                if realm.starts_with("http://") && !self.insecure && !credentials.is_empty() {
                    return Err(Error::Denied(format!(
                        "registry asks to send credentials in the clear to {realm}"
                    )));
                }
                let scope = if self.scope.is_empty() {
                    scope
                } else {
                    &self.scope
                };
                self.token(realm, service, scope).map(Some)
            }
        }
    }

    fn token(&self, realm: &str, service: &str, scope: &str) -> Result<String> {
        let credentials = &self.credentials;
        let mut query = format!("service={}", query_value(service));
        if !scope.is_empty() {
            query.push_str(&format!("&scope={}", query_value(scope)));
        }
        let response = if credentials.identity_token.is_empty() {
            let separator = if realm.contains('?') { '&' } else { '?' };
            let url = format!("{realm}{separator}{query}");
            let login = (!credentials.username.is_empty())
                .then(|| basic(&credentials.username, &credentials.password));
            self.retry(|| self.follow(&Method::GET, &url, &[], None, login.as_deref()))?
        } else {
            let form = format!(
                "grant_type=refresh_token&client_id=rancheros&{query}&refresh_token={}",
                query_value(&credentials.identity_token)
            );
            let length = form.len().to_string();
            let headers = [
                ("content-type", "application/x-www-form-urlencoded"),
                ("content-length", length.as_str()),
            ];
            self.once(
                &Method::POST,
                realm,
                &headers,
                Some(Box::new(form.as_bytes())),
                None,
            )?
        };
        let status = response.status().as_u16();
        if status == 401 || status == 403 {
            return Err(Error::Denied(
                "unauthorized: incorrect username or password".to_owned(),
            ));
        }
        if status != 200 {
            return Err(failure(response, "get a token"));
        }
        let bytes = read_body(response, ANSWER_MAX)?;
        let answer: TokenAnswer = serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid(format!("malformed token answer: {error}")))?;
        let token = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if token.is_empty() {
            return Err(Error::invalid("token answer holds no token"));
        }
        Ok(format!("Bearer {token}"))
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
        result.map_err(|error| {
            let name = match method.as_str() {
                "GET" => "Get",
                "HEAD" => "Head",
                other => other,
            };
            if is_unknown_host(&error) {
                let host = authority(url);
                let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
                return Error::NoHost(format!(
                    "{name} \"{url}\": dial tcp: lookup {host}: no such host"
                ));
            }
            Error::Transport(format!("{name} \"{url}\": {error}"))
        })
    }

    fn agent(&self, authority: &str) -> Result<Agent> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(authority) {
            return Ok(agent.clone());
        }
        let mut tls = TlsConfig::builder();
        let private = self.private_authorities(authority)?;
        let own = authority == self::authority(&self.base);
        if own && self.insecure {
            tls = tls.disable_verification(true);
        } else if !private.is_empty() {
            tls = tls.root_certs(RootCerts::new_with_certs(&private));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("rancheros/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(self.options.connect_timeout))
            .timeout_connect(Some(self.options.connect_timeout))
            .timeout_recv_response(Some(self.options.idle_timeout))
            .timeout_per_read(Some(self.options.idle_timeout))
            .timeout_per_write(Some(self.options.idle_timeout))
            .tls_config(tls.build())
            .build();
        let agent = Agent::new_with_config(config);
        agents.insert(authority.to_owned(), agent.clone());
        Ok(agent)
    }

    fn private_authorities(&self, authority: &str) -> Result<Vec<Certificate<'static>>> {
        let directory = self.options.certificates.join(authority);
        let mut found = Vec::new();
        // no directory: no private authorities
        let Ok(entries) = std::fs::read_dir(&directory) else {
            return Ok(found);
        };
        for entry in entries.take(CERTIFICATES_MAX) {
            let path = entry
                .context(|| format!("list {}", directory.display()))?
                .path();
            if path.extension().is_none_or(|extension| extension != "crt") {
                continue;
            }
            let pem = std::fs::read(&path).context(|| format!("read {}", path.display()))?;
            for item in parse_pem(&pem) {
                let item =
                    item.map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
                if let PemItem::Certificate(certificate) = item {
                    found.push(certificate);
                }
            }
        }
        Ok(found)
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

/// Whether the name was looked up and is not there: asking again at once is of no use, and Docker does not.
fn is_unknown_host(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound => true,
        ureq::Error::Io(error) => error.to_string().contains("failed to lookup address"),
        _ => false,
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

fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}

fn resolve(base: &str, location: &str) -> Result<String> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Ok(location.to_owned());
    }
    let uri: Uri = base
        .parse()
        .map_err(|error| Error::invalid(format!("{base}: {error}")))?;
    let scheme = uri.scheme_str().unwrap_or("https");
    if let Some(rest) = location.strip_prefix("//") {
        return Ok(format!("{scheme}://{rest}"));
    }
    if location.starts_with('/') {
        return Ok(format!("{scheme}://{}{location}", authority(base)));
    }
    Err(Error::invalid(format!(
        "registry redirects to {location:.200?}"
    )))
}

/// Reads a small answer.
pub(super) fn read_body(response: Response<Body>, limit: u64) -> Result<Vec<u8>> {
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
pub(super) fn failure(response: Response<Body>, doing: &str) -> Error {
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
