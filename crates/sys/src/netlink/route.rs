//! Routes (rtnetlink(7), `struct rtmsg`).

use std::net::IpAddr;

use super::cidr::Cidr;
use super::error::Result;
use super::link::family_of;
use super::message::{Attributes, Message, Reply, u32_at};
use super::rtnetlink::Rtnetlink;
use super::socket::{ACK, CREATE, DUMP, REPLACE, REQUEST};

const HEADER_LEN: usize = 12;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_TABLE: u16 = 15;
/// The table that is asked where no rule names another.
pub const TABLE_MAIN: u32 = 254;
/// Set by an administrator (`ip route`, proto static): whoever reads the table sees that no DHCP client did it.
const PROTOCOL_STATIC: u8 = 4;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const TYPE_UNICAST: u8 = 1;

/// A unicast route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where to; `0.0.0.0/0` or `::/0` for the default route.
    pub destination: Cidr,
    /// Next hop; `None`: the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// Index of the outgoing link; 0 in a request lets the kernel find it by the gateway.
    pub link: u32,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Priority; lower wins. 0 is the kernel's default.
    pub metric: u32,
    /// The table that it stands in.
    pub table: u32,
}

impl Route {
    /// The default route through `gateway` on `link`.
    pub fn default_via(gateway: IpAddr, link: u32) -> Self {
        let any = if gateway.is_ipv6() {
            IpAddr::from([0u8; 16])
        } else {
            IpAddr::from([0u8; 4])
        };
        let destination = Cidr::host(any);
        let destination = Cidr::new(any, 0).unwrap_or(destination);
        Self {
            destination,
            gateway: Some(gateway),
            link,
            source: None,
            metric: 0,
            table: TABLE_MAIN,
        }
    }

    /// A route to what is directly on `link`.
    pub fn on_link(destination: Cidr, link: u32) -> Self {
        Self {
            destination,
            gateway: None,
            link,
            source: None,
            metric: 0,
            table: TABLE_MAIN,
        }
    }

    fn message(&self, kind: u16, flags: u16) -> Message {
        let destination = self.destination.network();
        let scope = if self.gateway.is_none() && !destination.is_ipv6() {
            SCOPE_LINK
        } else {
            SCOPE_UNIVERSE
        };
        let header = [
            family(destination.address()),
            destination.prefix(),
            0,
            0,
            0, // the table is an attribute: numbers above 255 do not fit here
            PROTOCOL_STATIC,
            scope,
            TYPE_UNICAST,
            0,
            0,
            0,
            0,
        ];
        let mut message = Message::new(kind, flags, &header);
        message.attr_u32(RTA_TABLE, self.table);
        if destination.prefix() > 0 {
            message.attr(RTA_DST, &octets(destination.address()));
        }
        if let Some(gateway) = self.gateway {
            message.attr(RTA_GATEWAY, &octets(gateway));
        }
        if self.link != 0 {
            message.attr_u32(RTA_OIF, self.link);
        }
        if let Some(source) = self.source {
            message.attr(RTA_PREFSRC, &octets(source));
        }
        if self.metric != 0 {
            message.attr_u32(RTA_PRIORITY, self.metric);
        }
        message
    }
}

/// The address family number of `address` as netlink's headers carry it.
pub(crate) fn family(address: IpAddr) -> u8 {
    if address.is_ipv6() {
        libc::AF_INET6 as u8
    } else {
        libc::AF_INET as u8
    }
}

/// The address in network order.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// Reads 4 or 16 bytes as an address.
pub(crate) fn to_address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

fn decode(reply: Reply<'_>) -> Option<Route> {
    let family = family_of(&reply)?;
    if reply.kind != libc::RTM_NEWROUTE || *reply.body.get(7)? != TYPE_UNICAST {
        return None;
    }
    let mut table = u32::from(*reply.body.get(4)?);
    let (mut destination, mut gateway, mut link, mut source, mut metric) = (None, None, 0, None, 0);
    for (kind, value) in Attributes::after(reply.body, HEADER_LEN) {
        match kind {
            RTA_DST => destination = to_address(value),
            RTA_GATEWAY => gateway = to_address(value),
            RTA_OIF => link = u32_at(value, 0)?,
            RTA_PREFSRC => source = to_address(value),
            RTA_PRIORITY => metric = u32_at(value, 0)?,
            RTA_TABLE => table = u32_at(value, 0)?,
            _ => {}
        }
    }
    let any = if i32::from(family) == libc::AF_INET6 {
        IpAddr::from([0u8; 16])
    } else {
        IpAddr::from([0u8; 4])
    };
    let destination = Cidr::new(destination.unwrap_or(any), *reply.body.get(1)?)?;
    Some(Route {
        destination,
        gateway,
        link,
        source,
        metric,
        table,
    })
}

impl Rtnetlink {
    /// The unicast routes of the main table, both families.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer in time.
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let mut message = Message::new(libc::RTM_GETROUTE, REQUEST | DUMP, &[0; HEADER_LEN]);
        let main = |reply: Reply<'_>| decode(reply).filter(|route| route.table == TABLE_MAIN);
        self.socket().dump("list routes", &mut message, main)
    }

    /// Those of all tables that this program, or another administrator's one, has set: `proto static`.
    ///
    /// # Errors
    /// As [`Self::routes`].
    pub fn own_routes(&mut self) -> Result<Vec<Route>> {
        let mut message = Message::new(libc::RTM_GETROUTE, REQUEST | DUMP, &[0; HEADER_LEN]);
        let own = |reply: Reply<'_>| {
            let is_own = reply.body.get(5) == Some(&PROTOCOL_STATIC);
            decode(reply).filter(|_| is_own)
        };
        self.socket().dump("list routes", &mut message, own)
    }

    /// Adds `route`, in place of one with the same destination and metric.
    ///
    /// # Errors
    /// `ENETUNREACH` when the gateway is not on a link, `ENETDOWN` when the link is down.
    pub fn add_route(&mut self, route: &Route) -> Result<()> {
        let mut message = route.message(libc::RTM_NEWROUTE, REQUEST | ACK | CREATE | REPLACE);
        self.socket()
            .request(&format!("add route {}", route.destination), &mut message)
    }

    /// Deletes `route`.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    pub fn delete_route(&mut self, route: &Route) -> Result<()> {
        let mut message = route.message(libc::RTM_DELROUTE, REQUEST | ACK);
        self.socket()
            .request(&format!("delete route {}", route.destination), &mut message)
    }
}
