//! A server of DHCPv6 (RFC 8415) that has one address to give, as far as a test needs it.

use std::net::Ipv6Addr;

/// The address that it gives, outside of what a host makes for itself.
const LEASE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 0x77);
/// The port of servers.
pub(super) const PORT: u16 = 547;
/// Seconds that the address may be used.
const LIFETIME_S: u32 = 1800;
/// Who the server is: a DUID of type 3 (link-layer address) for Ethernet.
const SERVER: [u8; 10] = [0, 3, 0, 1, 0x52, 0x54, 0, 0x66, 0, 1];

const SOLICIT: u8 = 1;
const ADVERTISE: u8 = 2;
const REQUEST: u8 = 3;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const REPLY: u8 = 7;

const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const ADDRESSES: u16 = 3;
const ADDRESS: u16 = 5;
const WANTED: u16 = 6;
const NAME_SERVERS: u16 = 23;

/// The answer to a client's message; `names` is the server of names, for a client that asks for one.
pub(super) fn answer(body: &[u8], names: Ipv6Addr) -> Option<Vec<u8>> {
    let kind = match *body.first()? {
        SOLICIT => ADVERTISE,
        REQUEST | RENEW | REBIND => REPLY,
        _ => return None,
    };
    let options = options(body.get(4..)?);
    let find = |code: u16| {
        let mut found = options.iter().filter(|(known, _)| *known == code);
        found.next().map(|(_, value)| *value)
    };
    let mut answer = vec![kind];
    answer.extend(&body[1..4]); // the transaction
    add(&mut answer, CLIENT_ID, find(CLIENT_ID)?);
    add(&mut answer, SERVER_ID, &SERVER);
    let lifetime = LIFETIME_S.to_be_bytes();
    let address = [&LEASE.octets()[..], &lifetime, &lifetime].concat();
    // The client's name for this set of addresses, and no times of renewal of the server's
    let mut addresses = find(ADDRESSES)?.get(..4)?.to_vec();
    addresses.extend([0; 8]);
    add(&mut addresses, ADDRESS, &address);
    add(&mut answer, ADDRESSES, &addresses);
    let wanted = find(WANTED).unwrap_or_default();
    if wanted
        .chunks(2)
        .any(|code| code == NAME_SERVERS.to_be_bytes())
    {
        add(&mut answer, NAME_SERVERS, &names.octets());
    }
    Some(answer)
}

/// The options of a message: code and value.
fn options(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut options = Vec::new();
    while let [a, b, c, d, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*c, *d]));
        let Some((value, next)) = rest.split_at_checked(length) else {
            break;
        };
        options.push((u16::from_be_bytes([*a, *b]), value));
        bytes = next;
    }
    options
}

fn add(message: &mut Vec<u8>, code: u16, value: &[u8]) {
    message.extend(code.to_be_bytes());
    message.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
    message.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_the_address_and_what_it_asks_for() {
        let mut message = vec![SOLICIT, 7, 8, 9];
        add(&mut message, CLIENT_ID, b"client");
        add(
            &mut message,
            ADDRESSES,
            &[1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0],
        );
        let without = answer(&message, Ipv6Addr::LOCALHOST).unwrap();
        assert_eq!(without[..4], [ADVERTISE, 7, 8, 9]);
        let given = options(&without[4..]);
        assert_eq!(given[0], (CLIENT_ID, &b"client"[..]));
        let (code, addresses) = given[2];
        assert_eq!((code, &addresses[..4]), (ADDRESSES, &[1, 2, 3, 4][..]));
        assert_eq!(options(&addresses[12..])[0].1[..16], LEASE.octets());
        assert_eq!(given.len(), 3, "nobody asked for servers of names");
        add(&mut message, WANTED, &[0, 24, 0, 23]);
        message[0] = REQUEST;
        let with = answer(&message, Ipv6Addr::LOCALHOST).unwrap();
        assert_eq!(with[0], REPLY);
        let names = Ipv6Addr::LOCALHOST.octets();
        assert_eq!(options(&with[4..])[3], (NAME_SERVERS, &names[..]));
        assert!(answer(&[SOLICIT, 0, 0, 0], Ipv6Addr::LOCALHOST).is_none());
    }
}
