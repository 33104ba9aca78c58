//! Interface addresses (rtnetlink(7), `struct ifaddrmsg`).

use std::net::IpAddr;

use super::cidr::Cidr;
use super::error::Result;
use super::message::{Attributes, Message, Reply, u32_at};
use super::route::{family, octets, to_address};
use super::rtnetlink::Rtnetlink;
use super::socket::{ACK, CREATE, DUMP, REPLACE, REQUEST};

const HEADER_LEN: usize = 8;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
/// No duplicate address detection: the address is usable at once.
const IFA_F_NODAD: u32 = 2;
/// In the eight bits of the header.
const IFA_F_PERMANENT: u8 = 0x80;
const SCOPE_LINK: u8 = 253;

/// An address of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    /// The address and its prefix.
    pub cidr: Cidr,
    /// True for link-local scope (`fe80::/10`, `169.254.0.0/16`).
    pub link_local: bool,
    /// It has no end (`IFA_F_PERMANENT`), as those of a DHCP client and of router advertisements have.
    pub permanent: bool,
}

fn message(kind: u16, flags: u16, link: u32, cidr: Cidr) -> Message {
    let mut header = [family(cidr.address()), cidr.prefix(), 0, 0, 0, 0, 0, 0];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    let mut message = Message::new(kind, flags, &header);
    message
        .attr(IFA_LOCAL, &octets(cidr.address()))
        .attr(IFA_ADDRESS, &octets(cidr.address()));
    message
}

fn decode(reply: Reply<'_>) -> Option<Address> {
    if reply.kind != libc::RTM_NEWADDR {
        return None;
    }
    let (prefix, scope) = (*reply.body.get(1)?, *reply.body.get(3)?);
    let mut found = None;
    for (kind, value) in Attributes::after(reply.body, HEADER_LEN) {
        // IFA_LOCAL is the own address of a point-to-point link and wins over IFA_ADDRESS, the peer's.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && found.is_none()) {
            found = to_address(value);
        }
    }
    let cidr = Cidr::new(found?, prefix)?;
    Some(Address {
        link: u32_at(reply.body, 4)?,
        cidr,
        link_local: scope == SCOPE_LINK,
        permanent: reply.body.get(2)? & IFA_F_PERMANENT != 0,
    })
}

impl Rtnetlink {
    /// All addresses of the namespace.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer in time.
    pub fn addresses(&mut self) -> Result<Vec<Address>> {
        let mut message = Message::new(libc::RTM_GETADDR, REQUEST | DUMP, &[0; HEADER_LEN]);
        self.socket().dump("list addresses", &mut message, decode)
    }

    /// Adds `cidr` to the link with index `link` (`name` is for the error text); the same address again is fine.
    ///
    /// # Errors
    /// When the kernel refuses (IPv6 is off on the link: `EACCES` or `EPERM`).
    pub fn add_address(&mut self, link: u32, name: &str, cidr: Cidr) -> Result<()> {
        let mut message = message(
            libc::RTM_NEWADDR,
            REQUEST | ACK | CREATE | REPLACE,
            link,
            cidr,
        );
        if cidr.is_ipv6() {
            message.attr_u32(IFA_FLAGS, IFA_F_NODAD);
        } else if cidr.prefix() < 31 {
            message.attr(IFA_BROADCAST, &octets(cidr.last()));
        }
        self.socket()
            .request(&format!("add address {cidr} to {name}"), &mut message)
    }

    /// Removes `cidr` from the link.
    ///
    /// # Errors
    /// `EADDRNOTAVAIL` when it has no such address.
    pub fn delete_address(&mut self, link: u32, name: &str, cidr: Cidr) -> Result<()> {
        let mut message = message(libc::RTM_DELADDR, REQUEST | ACK, link, cidr);
        self.socket()
            .request(&format!("delete address {cidr} of {name}"), &mut message)
    }

    /// Removes every address of the link except `keep` and IPv6 link-local ones; goes on after an error and
    /// returns the first.
    ///
    /// # Errors
    /// The first address that could not be removed.
    pub fn flush_addresses(&mut self, link: u32, name: &str, keep: &[Cidr]) -> Result<()> {
        let mut first = Ok(());
        for address in self.addresses()? {
            let link_local =
                matches!(address.cidr.address(), IpAddr::V6(v6) if v6.is_unicast_link_local());
            if address.link == link && !link_local && !keep.contains(&address.cidr) {
                first = first.and(self.delete_address(link, name, address.cidr));
            }
        }
        first
    }
}
