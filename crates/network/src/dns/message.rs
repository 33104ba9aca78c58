//! DNS messages (RFC 1035), as far as a forwarder needs them: reading one question, writing an answer. Pure; input is
//! written by containers and must never panic, loop or allocate more than its own size.

use std::net::IpAddr;

/// Longest message over UDP that is answered here in full (RFC 6891's usual ceiling without fragments).
pub const UDP_MAX: usize = 1232;
/// Length of the header.
const HEADER_LEN: usize = 12;
/// Longest name in bytes (RFC 1035, 2.3.4).
const NAME_MAX: usize = 255;
/// Time a client may keep an answer, in seconds: containers come and go, Docker says 600.
const TTL: u32 = 600;

/// Type of an IPv4 address.
pub const TYPE_A: u16 = 1;
/// Type of a name for an address.
pub const TYPE_PTR: u16 = 12;
/// Type of an IPv6 address.
pub const TYPE_AAAA: u16 = 28;
const CLASS_IN: u16 = 1;

/// Response codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseCode {
    /// The answer is here, perhaps empty.
    NoError = 0,
    /// The request cannot be read.
    FormatError = 1,
    /// No server could be asked.
    ServerFailure = 2,
    /// No such name.
    NameError = 3,
    /// This kind of request is not served.
    NotImplemented = 4,
}

/// A request with exactly one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    id: [u8; 2],
    flags: u8,
    question: Vec<u8>,
    /// Name in lower case, without the final dot; empty for the root.
    pub name: String,
    /// Type that is asked for.
    pub kind: u16,
    class: u16,
}

/// Why a message is not a request that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than a header, or an answer: nothing is sent back.
    Ignore,
    /// Answered with this code and the request's id.
    Refuse([u8; 2], ResponseCode),
}

/// One resource record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An address: A or AAAA.
    Address(IpAddr),
    /// A name: PTR.
    Name(String),
}

impl Query {
    /// Reads a request.
    ///
    /// # Errors
    /// What to do with a message that is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(Malformed::Ignore)?;
        let id = [header[0], header[1]];
        if header[2] & 0x80 != 0 {
            return Err(Malformed::Ignore);
        }
        if header[2] & 0x78 != 0 {
            return Err(Malformed::Refuse(id, ResponseCode::NotImplemented));
        }
        let refuse = || Malformed::Refuse(id, ResponseCode::FormatError);
        if header[4..6] != [0, 1] || header[6..10] != [0; 4] {
            return Err(refuse());
        }
        let (name, end) = read_name(bytes).ok_or_else(refuse)?;
        let tail: [u8; 4] = bytes
            .get(end..end + 4)
            .and_then(|t| t.try_into().ok())
            .ok_or_else(refuse)?;
        Ok(Self {
            id,
            flags: header[2],
            question: bytes[HEADER_LEN..end + 4].to_vec(),
            name,
            kind: u16::from_be_bytes([tail[0], tail[1]]),
            class: u16::from_be_bytes([tail[2], tail[3]]),
        })
    }

    /// True for the Internet class, the only one that containers' names are in.
    pub fn is_internet(&self) -> bool {
        self.class == CLASS_IN
    }

    /// The address that a PTR question is about.
    pub fn reverse_address(&self) -> Option<IpAddr> {
        if let Some(digits) = self.name.strip_suffix(".in-addr.arpa") {
            let mut octets = [0u8; 4];
            let mut parts = digits.split('.');
            for octet in octets.iter_mut().rev() {
                *octet = parts.next()?.parse().ok()?;
            }
            return parts.next().is_none().then(|| octets.into());
        }
        let mut octets = [0u8; 16];
        let mut nibbles = self.name.strip_suffix(".ip6.arpa")?.split('.');
        for octet in octets.iter_mut().rev() {
            for shift in [0, 4] {
                let digit = nibbles.next().filter(|nibble| nibble.len() == 1)?;
                *octet |= u8::from_str_radix(digit, 16).ok()? << shift;
            }
        }
        nibbles.next().is_none().then(|| octets.into())
    }

    /// The answer with `records`; those that do not fit into `limit` bytes are left out and the message says so.
    pub fn answer(&self, code: ResponseCode, records: &[Record], limit: usize) -> Vec<u8> {
        let mut message = self.id.to_vec();
        // QR, the request's RD; RA, the code.
        message.extend_from_slice(&[
            0x80 | (self.flags & 1),
            0x80 | code as u8,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        message.extend_from_slice(&self.question);
        let mut count: u16 = 0;
        for record in records {
            let encoded = encode(record);
            if message.len() + encoded.len() > limit {
                message[2] |= 0x02;
                break;
            }
            message.extend_from_slice(&encoded);
            count += 1;
        }
        message[6..8].copy_from_slice(&count.to_be_bytes());
        message
    }

    /// Whether `reply` answers this request: same id and same question.
    pub fn is_answered_by(&self, reply: &[u8]) -> bool {
        let end = HEADER_LEN + self.question.len();
        reply.get(..2) == Some(&self.id) && reply.get(2).is_some_and(|flags| flags & 0x80 != 0) && {
            reply
                .get(HEADER_LEN..end)
                .is_some_and(|question| question.eq_ignore_ascii_case(&self.question))
        }
    }

    /// Whether `message` carries this question's number.
    pub fn has_id_of(&self, message: &[u8]) -> bool {
        message.get(..2) == Some(&self.id)
    }
}

/// The short answer to a request that could not be read.
pub fn refusal(id: [u8; 2], code: ResponseCode) -> Vec<u8> {
    let mut message = vec![0; HEADER_LEN];
    message[..2].copy_from_slice(&id);
    message[2..4].copy_from_slice(&[0x80, 0x80 | code as u8]);
    message
}

/// Reads the name behind the header: (lower-case text, offset behind it). Compression has nothing to point to there.
fn read_name(bytes: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut offset = HEADER_LEN;
    loop {
        let len = usize::from(*bytes.get(offset)?);
        offset += 1;
        if len == 0 {
            return Some((name, offset));
        }
        if len > 63 || offset + len - HEADER_LEN > NAME_MAX {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        // Bytes outside ASCII occur in no container's name; their text only has to differ from every name.
        name.extend(
            bytes
                .get(offset..offset + len)?
                .iter()
                .map(|byte| char::from(byte.to_ascii_lowercase())),
        );
        offset += len;
    }
}

fn encode(record: &Record) -> Vec<u8> {
    let (kind, data) = match record {
        Record::Address(IpAddr::V4(v4)) => (TYPE_A, v4.octets().to_vec()),
        Record::Address(IpAddr::V6(v6)) => (TYPE_AAAA, v6.octets().to_vec()),
        Record::Name(name) => (TYPE_PTR, encode_name(name)),
    };
    // 0xc00c: the owner is the question's name, right behind the header.
    let mut bytes = vec![0xc0, HEADER_LEN as u8];
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&CLASS_IN.to_be_bytes());
    bytes.extend_from_slice(&TTL.to_be_bytes());
    bytes.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(&data);
    bytes
}

fn encode_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        if bytes.len() + label.len() + 2 > NAME_MAX {
            break;
        }
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label);
    }
    bytes.push(0);
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn request(name: &str, kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        bytes.extend(encode_name(name));
        bytes.extend(kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let query = Query::parse(&request("Web.Example", TYPE_A)).unwrap();
        assert_eq!(
            (query.name.as_str(), query.kind, query.is_internet()),
            ("web.example", TYPE_A, true)
        );
        let answer = query.answer(
            ResponseCode::NoError,
            &[Record::Address([10, 0, 0, 2].into())],
            UDP_MAX,
        );
        assert_eq!(answer[..8], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(answer[answer.len() - 4..], [10, 0, 0, 2]);
        assert!(query.is_answered_by(&answer));
        assert!(!query.is_answered_by(&request("web.example", TYPE_A)));
    }

    #[test]
    fn reverse_questions_name_an_address() {
        let address = |name: &str| {
            Query::parse(&request(name, TYPE_PTR))
                .unwrap()
                .reverse_address()
        };
        assert_eq!(
            address("2.0.18.172.in-addr.arpa"),
            Some([172, 18, 0, 2].into())
        );
        let v6 = format!("2.{}d.f.ip6.arpa", "0.".repeat(29));
        assert_eq!(address(&v6), Some("fd00::2".parse().unwrap()));
        for bad in [
            "in-addr.arpa",
            "1.2.3.in-addr.arpa",
            "1.2.3.4.5.in-addr.arpa",
            "999.2.3.4.in-addr.arpa",
            "web",
        ] {
            assert_eq!(address(bad), None, "{bad}");
        }
    }

    #[test]
    fn answers_that_do_not_fit_are_marked() {
        let query = Query::parse(&request("web", TYPE_A)).unwrap();
        let many = vec![Record::Address([10, 0, 0, 2].into()); 500];
        let answer = query.answer(ResponseCode::NoError, &many, UDP_MAX);
        assert!(answer.len() <= UDP_MAX && answer[2] & 0x02 != 0);
    }

    #[test]
    fn garbage_never_panics() {
        assert_eq!(Query::parse(&[]), Err(Malformed::Ignore));
        let good = request("a.b", TYPE_A);
        for cut in 0..good.len() {
            assert!(Query::parse(&good[..cut]).is_err(), "{cut}");
        }
        let mut pointer = good.clone();
        pointer[12] = 0xc0;
        assert_eq!(
            Query::parse(&pointer),
            Err(Malformed::Refuse([0xab, 0xcd], ResponseCode::FormatError))
        );
        let mut endless = good[..12].to_vec();
        endless.extend([1, b'a'].repeat(400));
        assert!(Query::parse(&endless).is_err());
        let mut state = 1u64;
        for len in 0..2000 {
            let bytes: Vec<u8> = (0..len % 80)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let _ = Query::parse(&bytes);
        }
    }
}
