//! Frames of IPv6 (RFC 8200), neighbour discovery (RFC 4861), names (RFC 1035, RFC 8106), as far as a test needs them.

use std::net::Ipv6Addr;

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// `ff02::1` and its hardware address: all that are on the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
/// Seconds that what is advertised counts.
const LIFETIME_S: u32 = 1800;
/// Type of a record with an IPv6 address.
const AAAA: [u8; 2] = [0, 28];

/// A frame that came.
pub(super) struct Frame<'a> {
    from: [u8; 6],
    to: [u8; 6],
    source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    /// Source port of a datagram.
    port: u16,
    pub(super) kind: Kind<'a>,
}

/// What it is.
pub(super) enum Kind<'a> {
    /// Whoever routes is asked to say so.
    Solicitation,
    /// The hardware address of this address is asked for.
    Neighbour(Ipv6Addr),
    /// `ping`: what follows the checksum.
    Echo(&'a [u8]),
    /// UDP to this port.
    Datagram { port: u16, body: &'a [u8] },
    /// Whatever the router does not care about.
    Other,
}

/// What is sent.
pub(super) enum Body {
    /// Type, code, two bytes for the checksum, and the rest.
    Icmp(Vec<u8>),
    /// The content of a datagram that answers one.
    Datagram(Vec<u8>),
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    Some(<[u8; 16]>::try_from(bytes).ok()?.into())
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

impl Frame<'_> {
    /// Reads a frame; none when it is not IPv6.
    pub(super) fn read(bytes: &[u8]) -> Option<Frame<'_>> {
        let packet = bytes.get(ETHERNET..)?;
        if bytes[12..14] != ETHERTYPE_IPV6 || packet.len() < IPV6 {
            return None;
        }
        let content = &packet[IPV6..];
        let kind = match (packet[6], content.first()) {
            (ICMPV6, Some(133)) => Some(Kind::Solicitation),
            (ICMPV6, Some(135)) => content.get(8..24).and_then(address).map(Kind::Neighbour),
            (ICMPV6, Some(128)) => content.get(4..).map(Kind::Echo),
            (UDP, _) => number(content, 2)
                .zip(content.get(8..))
                .map(|(port, body)| Kind::Datagram { port, body }),
            _ => None,
        };
        Some(Frame {
            to: bytes[..6].try_into().ok()?,
            from: bytes[6..12].try_into().ok()?,
            source: address(&packet[8..24])?,
            destination: address(&packet[24..40])?,
            port: number(content, 0).unwrap_or(0),
            kind: kind.unwrap_or(Kind::Other),
        })
    }

    /// A frame back to who sent this one, from `source`.
    pub(super) fn answer(&self, source: Ipv6Addr, body: &Body) -> Vec<u8> {
        // A question to a group is answered by its member.
        let own = if self.to[0] & 1 == 1 {
            super::MAC
        } else {
            self.to
        };
        match body {
            Body::Icmp(message) => {
                frame(own, self.from, source, self.source, ICMPV6, message.clone())
            }
            Body::Datagram(content) => {
                let Kind::Datagram { port, .. } = self.kind else {
                    return Vec::new();
                };
                let length = u16::try_from(8 + content.len()).unwrap_or(u16::MAX);
                let mut message = Vec::new();
                for number in [port, self.port, length, 0] {
                    message.extend(number.to_be_bytes());
                }
                message.extend(content);
                frame(own, self.from, source, self.source, UDP, message)
            }
        }
    }
}

/// A whole frame; the checksum of what it carries is filled in.
fn frame(
    from: [u8; 6],
    to: [u8; 6],
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    mut message: Vec<u8>,
) -> Vec<u8> {
    let at = if protocol == UDP { 6 } else { 2 };
    let sum = checksum(source, destination, protocol, &message).to_be_bytes();
    message[at..at + 2].copy_from_slice(&sum);
    let mut bytes = [&to[..], &from, &ETHERTYPE_IPV6, &[0x60, 0, 0, 0]].concat();
    bytes.extend(u16::try_from(message.len()).unwrap_or(0).to_be_bytes());
    bytes.extend([protocol, 255]);
    bytes.extend(source.octets());
    bytes.extend(destination.octets());
    bytes.extend(message);
    bytes
}

/// The Internet checksum over the pseudo-header and the message (RFC 8200, section 8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    let mut all = [
        &source.octets()[..],
        &destination.octets(),
        &length,
        &[0, 0, 0, protocol],
    ]
    .concat();
    all.extend(message);
    all.resize(all.len().next_multiple_of(2), 0);
    let sum: u32 = all
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).unwrap_or(0)
}

/// A neighbour advertisement: the router has this address.
pub(super) fn neighbour(target: Ipv6Addr, mac: [u8; 6]) -> Body {
    // Router, solicited, override; then the target's hardware address as an option.
    let mut message = vec![136, 0, 0, 0, 0xe0, 0, 0, 0];
    message.extend(target.octets());
    message.extend([2, 1]);
    message.extend(mac);
    Body::Icmp(message)
}

/// The answer to a `ping`.
pub(super) fn echo(body: &[u8]) -> Body {
    Body::Icmp([&[129, 0, 0, 0], body].concat())
}

/// A router advertisement: default route, the /64 of `server` for addresses, and `server` for names.
pub(super) fn advertisement(mac: [u8; 6], source: Ipv6Addr, server: Ipv6Addr) -> Vec<u8> {
    let lifetime = LIFETIME_S.to_be_bytes();
    let mut message = vec![134, 0, 0, 0, 64, 0xc0]; // addresses and the rest by DHCPv6, too
    message.extend(&lifetime[2..]);
    message.extend([0; 8]); // reachable and retransmission times: not said
    message.extend([1, 1]); // source link-layer address
    message.extend(mac);
    message.extend([3, 4, 64, 0xc0]); // prefix: on the link, for addresses
    message.extend(lifetime);
    message.extend(lifetime);
    message.extend([0; 4]);
    message.extend(&server.octets()[..8]);
    message.extend([0; 8]);
    message.extend([25, 3, 0, 0]); // name servers
    message.extend(lifetime);
    message.extend(server.octets());
    frame(mac, ALL_NODES_MAC, source, ALL_NODES, ICMPV6, message)
}

/// The name that a question is about, and where the question ends.
fn question(body: &[u8]) -> Option<(String, usize)> {
    let mut at = 12;
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*body.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(body.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    (body.len() >= at + 4).then(|| (labels.join("."), at))
}

/// Whether an address of this name is asked for.
pub(super) fn asks_for(body: &[u8], name: &str) -> bool {
    question(body).is_some_and(|(asked, at)| asked == name && body[at..at + 2] == AAAA)
}

/// What a name server says: `address` for `name`, no other record of it, and no other name.
pub(super) fn name(body: &[u8], name: &str, address: Ipv6Addr) -> Option<Body> {
    let (asked, at) = question(body)?;
    let has_address = asks_for(body, name);
    let code = if asked == name { 0 } else { 3 };
    let mut answer = body[..2].to_vec();
    answer.extend([
        0x81,
        0x80 | code,
        0,
        1,
        0,
        u8::from(has_address),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&body[12..at + 4]);
    if has_address {
        answer.extend([0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 60, 0, 16]);
        answer.extend(address.octets());
    }
    Some(Body::Datagram(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_read_and_its_checksum_is_right() {
        let (a, b) = (Ipv6Addr::LOCALHOST, ALL_NODES);
        let query = [
            &[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..],
            b"\x04Time\x04test\0",
            &[0, 28, 0, 1],
        ]
        .concat();
        let datagram = [&[0x30, 0x39, 0, 53, 0, 0, 0, 0][..], &query].concat();
        let bytes = frame([2; 6], [4; 6], a, b, UDP, datagram);
        assert_eq!(checksum(a, b, UDP, &bytes[ETHERNET + IPV6..]), 0);
        let read = Frame::read(&bytes).unwrap();
        let Kind::Datagram { port: 53, body } = read.kind else {
            panic!("not a question")
        };
        assert!(asks_for(body, "time.test") && !asks_for(body, "test"));
        let answer = read.answer(b, &name(body, "time.test", a).unwrap());
        assert_eq!(checksum(b, a, UDP, &answer[ETHERNET + IPV6..]), 0);
        assert!(answer.ends_with(&a.octets()));
        let Some(Body::Datagram(other)) = name(body, "other", a) else {
            panic!("no answer")
        };
        assert_eq!(other[3] & 0xf, 3, "a name that is not there");
        assert!(Frame::read(&[0; 60]).is_none());
    }
}
