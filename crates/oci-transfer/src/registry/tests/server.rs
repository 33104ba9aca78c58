//! A registry for tests: the distribution API over HTTP/1.1 on loopback, one connection a request, with faults on demand.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::registry::auth::basic;
use oci_image::digest::Digest;

/// How a blob misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Fault {
    /// The connection ends halfway.
    CutOff,
    /// The same, and range requests are ignored.
    CutOffWithoutRanges,
    /// Nothing comes after the first half, and the connection stays.
    Stall,
    /// 503.
    Unavailable,
    /// Other bytes of the same length.
    WrongBytes,
    /// 404.
    Missing,
}

/// What the registry asks of its clients.
#[derive(Debug, Clone, Default)]
pub(in crate::registry) struct Settings {
    pub(in crate::registry) token: bool,
    pub(in crate::registry) user: Option<(&'static str, &'static str)>,
    pub(in crate::registry) redirect_blobs: Option<String>,
}

/// What it holds.
#[derive(Debug, Default)]
pub(in crate::registry) struct Content {
    pub(in crate::registry) manifests: BTreeMap<String, (String, Vec<u8>)>,
    pub(in crate::registry) blobs: BTreeMap<String, Vec<u8>>,
    pub(in crate::registry) faults: BTreeMap<String, (Fault, usize)>,
    /// Only this repository exists.
    pub(in crate::registry) prefix: Option<String>,
    requests: Vec<String>,
}

pub(in crate::registry) struct Registry {
    pub(in crate::registry) address: String,
    content: Arc<Mutex<Content>>,
}

struct Request {
    method: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Registry {
    pub(in crate::registry) fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let content: Arc<Mutex<Content>> = Arc::default();
        let (shared, own) = (Arc::clone(&content), address.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, own, settings) = (Arc::clone(&shared), own.clone(), settings.clone());
                // a client that goes away is part of the tests
                std::thread::spawn(move || handle(stream, &shared, &own, &settings));
            }
        });
        Self { address, content }
    }

    pub(in crate::registry) fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }

    /// All requests: line and headers.
    pub(in crate::registry) fn requests(&self) -> Vec<String> {
        self.content().requests.clone()
    }
}

fn handle(
    stream: TcpStream,
    content: &Mutex<Content>,
    address: &str,
    settings: &Settings,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let request = read_request(&mut reader)?;
    let mut line = format!("{} {}?{}", request.method, request.path, request.query);
    for (name, value) in &request.headers {
        write!(line, " {name}: {value}").ok()?;
    }
    content.lock().ok()?.requests.push(line);
    let mut stream = stream;
    if request.path == "/token" {
        return token(&mut stream, &request, settings);
    }
    if !is_authorized(&request, settings) {
        let challenge = if settings.token {
            format!(
                "Bearer realm=\"http://{address}/token\",service=\"test\",scope=\"from:the:challenge\""
            )
        } else {
            "Basic realm=\"test\"".to_owned()
        };
        return reply(&mut stream, 401, &[("WWW-Authenticate", &challenge)], b"{}");
    }
    route(&mut stream, &request, content, address, settings)
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|value| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
    })
}

fn is_authorized(request: &Request, settings: &Settings) -> bool {
    let sent = request.headers.get("authorization").map(String::as_str);
    match (settings.token, settings.user) {
        (true, _) => sent == Some("Bearer secret-token"),
        (false, Some((user, password))) => sent == Some(basic(user, password).as_str()),
        (false, None) => true,
    }
}

fn token(stream: &mut TcpStream, request: &Request, settings: &Settings) -> Option<()> {
    let sent = request.headers.get("authorization").map(String::as_str);
    let wanted = settings.user.map(|(user, password)| basic(user, password));
    if wanted.as_deref().is_some_and(|wanted| sent != Some(wanted)) {
        return reply(stream, 401, &[], b"{}");
    }
    reply(
        stream,
        200,
        &[],
        br#"{"token":"secret-token","expires_in":300}"#,
    )
}

fn route(
    stream: &mut TcpStream,
    request: &Request,
    content: &Mutex<Content>,
    address: &str,
    settings: &Settings,
) -> Option<()> {
    if request.path == "/v1/search" {
        let (star_count, asked) = (request.query.len(), &request.query);
        let body = format!(
            r#"{{"num_results":1,"results":[{{"name":"found","description":"{asked}","is_official":true,"star_count":{star_count}}}]}}"#
        );
        return reply(stream, 200, &[], body.as_bytes());
    }
    let path = request.path.strip_prefix("/v2/")?;
    if path.is_empty() {
        return reply(stream, 200, &[], b"{}");
    }
    if let Some(prefix) = &content.lock().ok()?.prefix
        && !path.starts_with(prefix.as_str())
    {
        return reply(
            stream,
            404,
            &[],
            br#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#,
        );
    }
    if let Some((_, name)) = path.rsplit_once("/manifests/") {
        return manifest(stream, request, content, name);
    }
    if path.ends_with("/blobs/uploads/") {
        let location = format!("/v2/{path}session?state=1");
        return reply(stream, 202, &[("Location", &location)], b"");
    }
    if path.ends_with("/blobs/uploads/session") {
        let digest = request.query.split("digest=").nth(1)?.replace("%3A", ":");
        if Digest::sha256(&request.body).to_string() != digest {
            return reply(
                stream,
                400,
                &[],
                br#"{"errors":[{"code":"DIGEST_INVALID","message":"wrong digest"}]}"#,
            );
        }
        content
            .lock()
            .ok()?
            .blobs
            .insert(digest, request.body.clone());
        return reply(stream, 201, &[], b"");
    }
    let (_, digest) = path.rsplit_once("/blobs/")?;
    if let Some(other) = &settings.redirect_blobs
        && other != address
    {
        let location = format!("http://{other}{}", request.path);
        return reply(stream, 307, &[("Location", &location)], b"");
    }
    blob(stream, request, content, digest)
}

fn manifest(
    stream: &mut TcpStream,
    request: &Request,
    content: &Mutex<Content>,
    name: &str,
) -> Option<()> {
    if request.method == "PUT" {
        let media_type = request.headers.get("content-type")?.clone();
        let digest = Digest::sha256(&request.body).to_string();
        let mut content = content.lock().ok()?;
        content
            .manifests
            .insert(digest, (media_type.clone(), request.body.clone()));
        content
            .manifests
            .insert(name.to_owned(), (media_type, request.body.clone()));
        return reply(stream, 201, &[], b"");
    }
    let found = content.lock().ok()?.manifests.get(name).cloned();
    match found {
        Some((media_type, bytes)) => {
            let digest = Digest::sha256(&bytes).to_string();
            let headers = [
                ("Content-Type", media_type.as_str()),
                ("Docker-Content-Digest", &digest),
            ];
            let is_head = request.method == "HEAD";
            reply(stream, 200, &headers, if is_head { b"" } else { &bytes })
        }
        None => reply(
            stream,
            404,
            &[],
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
        ),
    }
}

fn blob(
    stream: &mut TcpStream,
    request: &Request,
    content: &Mutex<Content>,
    digest: &str,
) -> Option<()> {
    let (found, fault) = {
        let mut content = content.lock().ok()?;
        let fault = match content.faults.get_mut(digest) {
            Some((fault, times)) if *times > 0 && request.method == "GET" => {
                *times -= 1;
                Some(*fault)
            }
            Some((Fault::CutOffWithoutRanges, _)) => Some(Fault::CutOffWithoutRanges),
            _ => None,
        };
        (
            content.blobs.get(digest).cloned(),
            fault.map(|fault| (fault, content.faults[digest].1)),
        )
    };
    let Some(mut bytes) = found else {
        return reply(stream, 404, &[], b"{}");
    };
    if request.method == "HEAD" {
        return reply(stream, 200, &[], b"");
    }
    let start = request.headers.get("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let start: usize = match fault {
        Some((Fault::CutOffWithoutRanges, _)) => 0,
        _ => start.unwrap_or(0),
    };
    let status = if start > 0 { 206 } else { 200 };
    match fault {
        Some((Fault::Missing, _)) => return reply(stream, 404, &[], b"{}"),
        Some((Fault::Unavailable, _)) => return reply(stream, 503, &[], b"{}"),
        Some((Fault::WrongBytes, _)) => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        Some((Fault::CutOff | Fault::Stall, _)) => {
            return half(stream, status, &bytes[start..], fault?.0);
        }
        // twice cut off, then whole
        Some((Fault::CutOffWithoutRanges, left)) if left > 0 => {
            return half(stream, status, &bytes, Fault::CutOff);
        }
        _ => {}
    }
    reply(stream, status, &[], &bytes[start..])
}

/// Promises all and sends half.
fn half(stream: &mut TcpStream, status: u16, bytes: &[u8], fault: Fault) -> Option<()> {
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    )
    .ok()?;
    stream.write_all(&bytes[..bytes.len() / 2]).ok()?;
    if fault == Fault::Stall {
        // until the client gives up
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).ok()?;
    }
    Some(())
}

fn reply(stream: &mut TcpStream, status: u16, headers: &[(&str, &str)], body: &[u8]) -> Option<()> {
    let mut head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").ok()?;
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}
