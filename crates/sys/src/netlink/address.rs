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
/// The kernel makes no route to the address's network: a DHCP client makes its own, with a metric.
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
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
    /// The kernel has made the route to its network with it (no `IFA_F_NOPREFIXROUTE`).
    pub routed: bool,
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
    let (mut found, mut flags) = (None, 0);
    for (kind, value) in Attributes::after(reply.body, HEADER_LEN) {
        // IFA_LOCAL is the own address of a point-to-point link and wins over IFA_ADDRESS, the peer's.
        if kind == IFA_LOCAL || (kind == IFA_ADDRESS && found.is_none()) {
            found = to_address(value);
        }
        if kind == IFA_FLAGS {
            flags = u32_at(value, 0)?;
        }
    }
    let cidr = Cidr::new(found?, prefix)?;
    Some(Address {
        link: u32_at(reply.body, 4)?,
        cidr,
        link_local: scope == SCOPE_LINK,
        permanent: reply.body.get(2)? & IFA_F_PERMANENT != 0,
        routed: flags & IFA_F_NOPREFIXROUTE == 0,
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
        let flags = if cidr.is_ipv6() { IFA_F_NODAD } else { 0 };
        self.add_with(link, name, cidr, flags)
    }

    fn add_with(&mut self, link: u32, name: &str, cidr: Cidr, flags: u32) -> Result<()> {
        let mut message = message(
            libc::RTM_NEWADDR,
            REQUEST | ACK | CREATE | REPLACE,
            link,
            cidr,
        );
        if flags != 0 {
            message.attr_u32(IFA_FLAGS, flags);
        }
        if !cidr.is_ipv6() && cidr.prefix() < 31 {
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
    /// returns the first. One of `keep` goes, too, when a DHCP client gave it: its routes go with it, and it is to be added
    /// again with the kernel's own.
    ///
    /// # Errors
    /// The first address that could not be removed.
    pub fn flush_addresses(&mut self, link: u32, name: &str, keep: &[Cidr]) -> Result<()> {
        let mut first = Ok(());
        for address in self.addresses()? {
            let link_local =
                matches!(address.cidr.address(), IpAddr::V6(v6) if v6.is_unicast_link_local());
            let is_kept = keep.contains(&address.cidr) && address.routed;
            if address.link == link && !link_local && !is_kept {
                first = first.and(self.delete_address(link, name, address.cidr));
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::super::{LinkKind, NewLink, Peer, in_netns, new_netns};
    use super::*;

    fn keeps_and_removes() {
        let mut netlink = Rtnetlink::open().unwrap();
        let peer = Peer {
            name: "p0",
            mac: None,
            mtu: None,
            netns: None,
        };
        let link = NewLink::new("eth0", LinkKind::Veth(peer));
        netlink.create_link(&link).unwrap();
        let index = netlink.link("eth0").unwrap().unwrap().index;
        let [own, leased, other] =
            ["10.9.0.2/24", "10.9.1.2/24", "10.9.2.2/24"].map(|text| text.parse::<Cidr>().unwrap());
        netlink.add_address(index, "eth0", own).unwrap();
        netlink
            .add_with(index, "eth0", leased, IFA_F_NOPREFIXROUTE)
            .unwrap();
        netlink.add_address(index, "eth0", other).unwrap();
        netlink
            .flush_addresses(index, "eth0", &[own, leased])
            .unwrap();
        let left = netlink.addresses().unwrap().into_iter();
        let left: Vec<Cidr> = left
            .filter(|address| address.link == index && !address.link_local)
            .map(|address| address.cidr)
            .collect();
        assert_eq!(left, [own]);
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn an_address_of_a_lease_is_not_kept_with_its_routes() {
        let namespace = new_netns().unwrap();
        in_netns(namespace.as_fd(), keeps_and_removes).unwrap();
    }
}
