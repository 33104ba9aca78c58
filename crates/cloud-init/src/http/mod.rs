//! One fetcher for every service and address: small answers, in a given time, from one host, and never through a proxy.

mod dial;
#[cfg(test)]
pub(crate) mod server;

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{Method, Request};

pub use dial::Dial;

/// Longest wait for a connection: the services are on the link or one hop away.
const CONNECT: Duration = Duration::from_millis(1500);
/// What the services see; Vultr wants one.
const USER_AGENT: &str = concat!("rancheros/", env!("CARGO_PKG_VERSION"));
/// Most redirections that an address of the owner's may have.
const MOST_REDIRECTS: u32 = 5;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The service says that it does not have it: 404 or 410.
    Absent(String),
    /// The token is missing, wrong or too old: 401.
    Unauthorized(String),
    /// Nobody answers, or only part of the answer came; it may be there later. Also 429 and 5xx.
    Unreachable(String),
    /// The answer is something else than what was asked for.
    Wrong(String),
}

impl Failure {
    /// Whether asking again may help.
    pub fn is_passing(&self) -> bool {
        matches!(self, Failure::Unreachable(_))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Absent(text)
        | Failure::Unauthorized(text)
        | Failure::Unreachable(text)
        | Failure::Wrong(text)) = self;
        f.write_str(text)
    }
}

/// An answer of status 200.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The body.
    pub bytes: Vec<u8>,
    /// Headers, names in lower case.
    headers: Vec<(String, String)>,
}

impl Answer {
    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self
            .headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&str, Failure> {
        std::str::from_utf8(&self.bytes)
            .map_err(|_| Failure::Wrong("the answer is not text".to_owned()))
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// `GET`, `PUT` or `POST`.
    pub method: &'static str,
    /// Address.
    pub url: &'a str,
    /// Headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body of a POST.
    pub body: &'a str,
    /// Most bytes of the answer.
    pub limit: u64,
    /// Whether the answer may send the fetcher elsewhere: never a metadata service's.
    pub redirects: bool,
    /// Whether a page of HTML is an answer, as in a file of the owner's.
    pub html: bool,
}

impl<'a> Ask<'a> {
    /// A GET of a metadata service.
    pub fn get(url: &'a str, headers: &'a [(&'a str, &'a str)], limit: u64) -> Ask<'a> {
        Ask {
            method: "GET",
            url,
            headers,
            body: "",
            limit,
            redirects: false,
            html: false,
        }
    }
}

/// Sends a request and waits for the whole answer, at the latest until `deadline`.
///
/// # Errors
/// Everything but status 200 with a complete body of at most `limit` bytes that is not HTML.
pub fn fetch(dial: &Dial, ask: &Ask<'_>, deadline: Instant) -> Result<Answer, Failure> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(Failure::Unreachable(format!(
            "{}: no time is left",
            ask.url
        )));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(if ask.redirects { MOST_REDIRECTS } else { 0 })
        .max_redirects_will_error(false)
        // The services see where a question comes from, and a proxy's place is not this machine's.
        .proxy(None)
        .user_agent(USER_AGENT)
        .timeout_connect(Some(CONNECT.min(left)))
        .timeout_global(Some(left))
        .build();
    let agent = dial.agent(config);
    let mut request = Request::builder().method(method(ask.method)).uri(ask.url);
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let failed = |error: &ureq::Error| Failure::Unreachable(format!("{}: {error}", ask.url));
    let request = request
        .body(ask.body.to_owned())
        .map_err(|error| Failure::Wrong(format!("{}: {error}", ask.url)))?;
    let mut response = agent.run(request).map_err(|error| failed(&error))?;
    let status = response.status().as_u16();
    let says = format!("{}: the answer is {}", ask.url, response.status());
    match status {
        200 => {}
        404 | 410 => return Err(Failure::Absent(says)),
        401 => return Err(Failure::Unauthorized(says)),
        429 | 500..=599 => return Err(Failure::Unreachable(says)),
        300..=399 => {
            let to = response
                .headers()
                .get("location")
                .and_then(|to| to.to_str().ok())
                .unwrap_or("elsewhere");
            return Err(Failure::Wrong(format!(
                "{}: it is redirected to {to}",
                ask.url
            )));
        }
        _ => return Err(Failure::Wrong(says)),
    }
    let headers = response
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let bytes = response
        .body_mut()
        .with_config()
        .limit(ask.limit)
        .read_to_vec()
        .map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(limit) => Failure::Wrong(format!(
                "{}: the answer is larger than {limit} bytes",
                ask.url
            )),
            error => failed(&error),
        })?;
    if !ask.html && is_html(&bytes) {
        return Err(Failure::Wrong(format!(
            "{}: the answer is a web page",
            ask.url
        )));
    }
    Ok(Answer { bytes, headers })
}

fn method(name: &str) -> Method {
    match name {
        "PUT" => Method::PUT,
        "POST" => Method::POST,
        _ => Method::GET,
    }
}

/// What captive portals and routers answer to every question.
fn is_html(bytes: &[u8]) -> bool {
    let start: Vec<u8> = bytes
        .iter()
        .copied()
        .skip_while(u8::is_ascii_whitespace)
        .take(64)
        .map(|byte| byte.to_ascii_lowercase())
        .collect();
    [&b"<!doctype html"[..], b"<html", b"<head"]
        .iter()
        .any(|tag| start.starts_with(tag))
}

/// Whether a text is an IPv4 or IPv6 address, as services give them.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests;
