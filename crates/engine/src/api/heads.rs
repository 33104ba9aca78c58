//! Where the requests of one connection begin, and what is changed in their heads: old hijacks get an `Upgrade`, and bytes
//! that a target should have had encoded (`filters={"label":["a"]}`, as people write it for curl) are encoded, since
//! Docker takes them and the HTTP parser does not.
//!
//! A client that keeps its connection (Node's agent, aiohttp, Go's transport) may send an old hijack as any of its
//! requests, so each head has to be found: lengths of bodies are counted. A chunked body is not followed; the answer to
//! it ends the connection instead. A client that sends a hijack before the last answer has ended is not understood;
//! none is known.

use bytes::{Bytes, BytesMut};

/// Marks a request that got its `Upgrade` here.
pub(super) const MARKER: &str = "x-engine-plain-hijack";

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
            Next::Head => match head_end(&self.received) {
                Some(end) => self.pass_head(end),
                None if ended || self.received.len() >= MAX_HEAD_BYTES => {
                    self.next = Next::Anything;
                    self.received.split().freeze()
                }
                None => Bytes::new(),
            },
            Next::Anything => self.received.split().freeze(),
        }
    }

    fn pass_head(&mut self, end: usize) -> Bytes {
        let head = with_encoded_target(self.received.split_to(end));
        let (hijack, body) = match std::str::from_utf8(&head) {
            Ok(text) => (hijack(text), body_length(text)),
            Err(_) => (Hijack::No, None),
        };
        self.hijack = hijack;
        self.awaits_answer = hijack != Hijack::No;
        self.counted = body.is_some();
        self.next = body.map_or(Next::Anything, |length| self.after(length));
        if hijack == Hijack::Plain {
            return with_upgrade(&head);
        }
        head.freeze()
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

/// Where the head ends (after its empty line).
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn hijack(head: &str) -> Hijack {
    if header(head, "upgrade").is_some() {
        return Hijack::Upgrade;
    }
    let mut words = head.split("\r\n").next().unwrap_or("").split(' ');
    let (Some("POST"), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next())
    else {
        return Hijack::No;
    };
    let path = target.split('?').next().unwrap_or("");
    let hijacks = (path.contains("/containers/") && path.ends_with("/attach"))
        || (path.contains("/exec/") && path.ends_with("/start"));
    if hijacks { Hijack::Plain } else { Hijack::No }
}

/// Bytes of the body; `None` when nobody here can say where it ends.
fn body_length(head: &str) -> Option<u64> {
    if header(head, "transfer-encoding").is_some() {
        return None;
    }
    header(head, "content-length").map_or(Some(0), |length| length.parse().ok())
}

/// The head with its target's bytes encoded that the HTTP parser refuses: those that the URL standard wants encoded in a
/// path or a query, but for control characters, which Go refuses too.
fn with_encoded_target(head: BytesMut) -> BytesMut {
    let end = head.iter().position(|byte| *byte == b'\r').unwrap_or(0);
    let is_refused = |byte: &u8| b"\"#<>\\^`{|}".contains(byte) || !byte.is_ascii();
    if !head[..end].iter().any(is_refused) {
        return head;
    }
    let mut encoded = BytesMut::with_capacity(head.len() + 3 * end);
    for byte in &head[..end] {
        if is_refused(byte) {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            encoded.extend_from_slice(&[*byte]);
        }
    }
    encoded.extend_from_slice(&head[end..]);
    encoded
}

fn with_upgrade(head: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(&head[..head.len() - 2]);
    bytes.extend_from_slice(
        format!("Connection: Upgrade\r\nUpgrade: tcp\r\n{MARKER}: 1\r\n\r\n").as_bytes(),
    );
    bytes.freeze()
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
        assert_eq!(
            hijack("POST /v1.24/containers/a/attach?stream=1 HTTP/1.1\r\nHost: x\r\n\r\n"),
            Hijack::Plain
        );
        assert_eq!(
            hijack("POST /exec/0a/start HTTP/1.1\r\n\r\n"),
            Hijack::Plain
        );
        assert_eq!(
            hijack("POST /exec/0a/start HTTP/1.1\r\nUPGRADE: tcp\r\n\r\n"),
            Hijack::Upgrade
        );
        for other in [
            "POST /containers/a/start HTTP/1.1\r\n\r\n",
            "GET /containers/a/attach HTTP/1.1\r\n\r\n",
            "\u{0}\r\n\r\n",
        ] {
            assert_eq!(hijack(other), Hijack::No, "{other}");
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
