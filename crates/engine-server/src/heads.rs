//! Where the requests of one connection begin, and what is changed in their heads: old hijacks get an `Upgrade`, and bytes
//! that a target should have had encoded (`filters={"label":["a"]}`, as people write it for curl) are encoded, since
//! Docker takes them and the HTTP parser does not.
//!
//! A client that keeps its connection (Node's agent, aiohttp, Go's transport) may send an old hijack as any of its
//! requests, so each head has to be found: lengths of bodies are counted. A chunked body is not followed; the answer to
//! it ends the connection instead. A client that sends a hijack before the last answer has ended is not understood;
//! none is known.

use bytes::{Bytes, BytesMut};
use httparse::{Request, Status};

use super::connection::MAX_HEADERS;

/// Marks a request that got its `Upgrade` here.
pub(super) const MARKER: &str = "x-engine-plain-hijack";

/// What is added to the head of an old hijack, before the marker.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

/// Longest head that is looked at, in bytes; a longer one is the HTTP parser's affair.
const MAX_HEAD_BYTES: usize = 64 << 10;

/// What a head asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hijack {
    /// No hijack.
    No,
    /// With `Upgrade`.
    Upgrade,
    /// Docker's old way.
    Plain,
}

/// What comes after the bytes that were passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// A head.
    Head,
    /// This many bytes of a body, then a head.
    Body(u64),
    /// Nothing that is looked at.
    Anything,
}

/// What a client sends, cut into heads and bodies.
#[derive(Debug)]
pub(super) struct Requests {
    /// Received and not yet passed on.
    pub(super) received: BytesMut,
    next: Next,
    hijack: Hijack,
    awaits_answer: bool,
    /// Whether the last head told the length of its body.
    counted: bool,
}

impl Requests {
    /// At the beginning of a connection.
    pub(super) fn new() -> Self {
        Self {
            received: BytesMut::new(),
            next: Next::Head,
            hijack: Hijack::No,
            awaits_answer: false,
            counted: true,
        }
    }

    /// Whether bytes may be passed on as they come.
    pub(super) fn is_opaque(&self) -> bool {
        self.received.is_empty() && self.next == Next::Anything
    }

    /// Whether all that was received are whole requests: what their client wanted is known, whether more comes or not.
    pub(super) fn are_whole(&self) -> bool {
        let hijacked = self.next == Next::Anything && self.hijack != Hijack::No;
        self.received.is_empty() && (self.next == Next::Head || hijacked)
    }

    /// Whether the next answer may hand the connection over, and has to come to [`Self::answer`] first.
    pub(super) fn awaits_answer(&self) -> bool {
        self.awaits_answer
    }

    /// The bytes that can be passed on now; empty when more have to be received. `ended`: there will be no more.
    pub(super) fn pass(&mut self, ended: bool) -> Bytes {
        match self.next {
            Next::Body(left) => {
                let length = usize::try_from(left).unwrap_or(usize::MAX);
                let piece = self.received.split_to(length.min(self.received.len()));
                self.next = self.after(left - piece.len() as u64);
                piece.freeze()
            }
            Next::Head => match request_length(&self.received) {
                Ok(Status::Complete(length)) => self.pass_head(length),
                Ok(Status::Partial) if !ended && self.received.len() < MAX_HEAD_BYTES => {
                    Bytes::new()
                }
                Ok(Status::Partial) | Err(_) => {
                    self.next = Next::Anything;
                    self.received.split().freeze()
                }
            },
            Next::Anything => self.received.split().freeze(),
        }
    }

    /// Passes a whole head on, as the HTTP parser is to see it.
    fn pass_head(&mut self, length: usize) -> Bytes {
        let bytes = self.received.split_to(length);
        let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = Request::new(&mut lines);
        if !matches!(head.parse(&bytes), Ok(Status::Complete(_))) {
            // The HTTP parser, which is the same, says what is wrong.
            self.next = Next::Anything;
            return bytes.freeze();
        }
        let (hijack, body) = (hijack(&head), body_length(&head));
        let changed = changed(&bytes, head.path.unwrap_or_default(), hijack);
        self.hijack = hijack;
        self.awaits_answer = hijack != Hijack::No;
        self.counted = body.is_some();
        self.next = body.map_or(Next::Anything, |length| self.after(length));
        changed.unwrap_or_else(|| bytes.freeze())
    }

    fn after(&self, left: u64) -> Next {
        match left {
            0 if self.hijack != Hijack::No => Next::Anything,
            0 => Next::Head,
            left => Next::Body(left),
        }
    }

    /// The head of an answer that was awaited, as the client has to see it.
    pub(super) fn answer(&mut self, head: &[u8]) -> Vec<u8> {
        if head.starts_with(b"HTTP/1.1 100") {
            return head.to_vec();
        }
        self.awaits_answer = false;
        if !head.starts_with(b"HTTP/1.1 101") {
            self.hijack = Hijack::No;
            // Refused: the connection goes on with a further request, unless its beginning cannot be known.
            if self.next == Next::Anything && self.counted {
                self.next = Next::Head;
            }
            return head.to_vec();
        }
        match self.hijack {
            Hijack::Plain => without_upgrade(head),
            _ => head.to_vec(),
        }
    }
}

/// Bytes of the request's head, its empty line included, as soon as all of it is there. Lines may end with a bare line feed
/// (RFC 9112, section 2.2), which Go's server takes too.
fn request_length(bytes: &[u8]) -> httparse::Result<usize> {
    // Without the end of a line there is no head: one that comes byte by byte is not parsed each time.
    if !bytes.contains(&b'\n') {
        return Ok(Status::Partial);
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    Request::new(&mut lines).parse(bytes)
}

/// Where the head of an answer ends (after its empty line). The HTTP server wrote it, so its lines end as they should.
pub(super) fn answer_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn header<'h>(head: &'h Request<'_, '_>, name: &str) -> Option<&'h [u8]> {
    let mut lines = head.headers.iter();
    let line = lines.find(|line| line.name.eq_ignore_ascii_case(name))?;
    Some(line.value.trim_ascii())
}

fn hijack(head: &Request<'_, '_>) -> Hijack {
    if header(head, "upgrade").is_some() {
        return Hijack::Upgrade;
    }
    if head.method != Some("POST") || head.version != Some(1) {
        return Hijack::No;
    }
    let path = head.path.unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let hijacks = (path.contains("/containers/") && path.ends_with("/attach"))
        || (path.contains("/exec/") && path.ends_with("/start"));
    if hijacks { Hijack::Plain } else { Hijack::No }
}

/// Bytes of the body; `None` when nobody here can say where it ends.
fn body_length(head: &Request<'_, '_>) -> Option<u64> {
    if header(head, "transfer-encoding").is_some() {
        return None;
    }
    header(head, "content-length").map_or(Some(0), |length| {
        std::str::from_utf8(length).ok()?.parse().ok()
    })
}

/// The head as the HTTP parser is to see it: an old hijack with an `Upgrade`, and its target's bytes encoded that the
/// parser of targets refuses: those that the URL standard wants encoded in a path or a query. `None` when it is right as
/// it is.
fn changed(head: &[u8], target: &str, hijack: Hijack) -> Option<Bytes> {
    let is_refused = |byte: &u8| b"\"#<>\\^`{|}".contains(byte) || !byte.is_ascii();
    let encode = target.as_bytes().iter().any(is_refused);
    if !encode && hijack != Hijack::Plain {
        return None;
    }
    // The target is a part of the head.
    let start = target.as_ptr().addr() - head.as_ptr().addr();
    let (before, after) = (&head[..start], &head[start + target.len()..]);
    let mut bytes = BytesMut::with_capacity(head.len() + 3 * target.len() + UPGRADE.len());
    bytes.extend_from_slice(before);
    for byte in target.as_bytes() {
        if is_refused(byte) {
            bytes.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            bytes.extend_from_slice(&[*byte]);
        }
    }
    let lines = after.strip_suffix(b"\n").unwrap_or(after);
    let lines = lines.strip_suffix(b"\r").unwrap_or(lines);
    if hijack == Hijack::Plain {
        bytes.extend_from_slice(lines);
        bytes.extend_from_slice(UPGRADE.as_bytes());
        bytes.extend_from_slice(MARKER.as_bytes());
        bytes.extend_from_slice(b": 1\r\n\r\n");
    } else {
        bytes.extend_from_slice(after);
    }
    Some(bytes.freeze())
}

/// Turns `101` into `200 OK` without the upgrade headers.
fn without_upgrade(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    let mut answer = String::from("HTTP/1.1 200 OK\r\n");
    for line in text.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or("");
        if !name.eq_ignore_ascii_case("connection") && !name.eq_ignore_ascii_case("upgrade") {
            answer.push_str(line);
            answer.push_str("\r\n");
        }
    }
    answer.push_str("\r\n");
    answer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_hijacks_are_touched() {
        let kind = |text: &str| {
            let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
            let mut head = Request::new(&mut lines);
            assert!(head.parse(text.as_bytes()).unwrap().is_complete());
            hijack(&head)
        };
        for (old, expected) in [
            (
                "POST /v1.24/containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n",
                Hijack::Plain,
            ),
            ("POST /exec/0a/start HTTP/1.1\r\n\r\n", Hijack::Plain),
            (
                "POST /exec/0a/start HTTP/1.1\r\nUPGRADE: tcp\r\n\r\n",
                Hijack::Upgrade,
            ),
            ("POST /containers/a/start HTTP/1.1\r\n\r\n", Hijack::No),
            ("GET /containers/a/attach HTTP/1.1\r\n\r\n", Hijack::No),
            ("POST /exec/0a/start HTTP/1.0\r\n\r\n", Hijack::No),
        ] {
            assert_eq!(kind(old), expected, "{old}");
        }
    }

    #[test]
    fn lines_may_end_with_a_bare_line_feed() {
        let bare = "POST /exec/a/start HTTP/1.1\nHost: x\nContent-Length: 2\n\n";
        for size in [1, 7, 4096] {
            let mut requests = Requests::new();
            let sent = format!("GET /a?b={{ HTTP/1.1\nHost: x\r\n\n{bare}{{}}rest");
            let all = passed(&mut requests, &sent, size).concat();
            assert_eq!(
                all,
                format!(
                    "GET /a?b=%7B HTTP/1.1\nHost: x\r\n\n{}{UPGRADE}{MARKER}: 1\r\n\r\n{{}}rest",
                    bare.trim_end_matches('\n').to_owned() + "\n"
                )
            );
        }
    }

    /// Everything that is passed on, by pieces, of what comes in pieces of `size` bytes.
    fn passed(requests: &mut Requests, sent: &str, size: usize) -> Vec<String> {
        let mut pieces = Vec::new();
        for bytes in sent.as_bytes().chunks(size) {
            requests.received.extend_from_slice(bytes);
            loop {
                let piece = requests.pass(false);
                if piece.is_empty() {
                    break;
                }
                pieces.push(String::from_utf8(piece.to_vec()).unwrap());
            }
        }
        pieces
    }

    const HEAD: &str = "POST /exec/a/start HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n";
    const CHANGED: &str = "POST /exec/a/start HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nx-engine-plain-hijack: 1\r\n\r\n";

    #[test]
    fn a_hijack_is_found_after_other_requests() {
        let first = format!(
            "POST /a HTTP/1.1\r\ncontent-length: {}\r\n\r\n{HEAD}",
            HEAD.len()
        );
        for size in [1, 7, 4096] {
            let mut requests = Requests::new();
            let sent = format!("{first}GET /b HTTP/1.1\r\n\r\n{HEAD}{{}}{HEAD}");
            let all = passed(&mut requests, &sent, size).concat();
            let expected = format!("{first}GET /b HTTP/1.1\r\n\r\n{CHANGED}{{}}{HEAD}");
            assert_eq!(
                all, expected,
                "a body or the process's input is taken for a head"
            );
        }
    }

    #[test]
    fn targets_are_encoded_and_bodies_are_not() {
        let mut requests = Requests::new();
        let body = r#"{"a":"<é>"}"#;
        let rest = format!(
            "HTTP/1.1\r\nX: \"{{\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = format!("POST /a?filters={{\"label\":[\"é#\"]}} {rest}");
        assert_eq!(
            passed(&mut requests, &sent, 4096).concat(),
            format!("POST /a?filters=%7B%22label%22:[%22%C3%A9%23%22]%7D {rest}")
        );
    }

    #[test]
    fn a_refused_hijack_is_no_hijack() {
        let mut requests = Requests::new();
        passed(&mut requests, &format!("{HEAD}{{}}"), 4096);
        assert!(requests.awaits_answer() && requests.is_opaque());
        let refusal = b"HTTP/1.1 404 Not Found\r\nupgrade: x\r\n\r\n";
        assert_eq!(requests.answer(refusal), refusal);
        assert_eq!(passed(&mut requests, HEAD, 4096), [CHANGED]);
    }

    #[test]
    fn the_answer_to_an_old_hijack_has_no_upgrade() {
        let answer = b"HTTP/1.1 101 UPGRADED\r\ncontent-type: a\r\nconnection: Upgrade\r\nupgrade: tcp\r\n\r\n";
        let mut requests = Requests::new();
        passed(&mut requests, HEAD, 4096);
        requests.answer(b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(requests.awaits_answer());
        assert_eq!(
            requests.answer(answer),
            b"HTTP/1.1 200 OK\r\ncontent-type: a\r\n\r\n"
        );
    }

    #[test]
    fn what_has_no_known_end_is_passed_on_as_it_is() {
        let mut requests = Requests::new();
        let chunked = "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let sent = format!("{chunked}{HEAD}");
        assert_eq!(passed(&mut requests, &sent, 4096).concat(), sent);
        let mut requests = Requests::new();
        requests.received.extend_from_slice(b"GET / HT");
        assert!(requests.pass(false).is_empty());
        assert_eq!(requests.pass(true), "GET / HT");
    }
}
