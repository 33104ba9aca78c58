//! Rules that choose a table of routes (rtnetlink(7), ip-rule(8), `struct fib_rule_hdr` of `linux/fib_rules.h`).

use super::cidr::Cidr;
use super::error::Result;
use super::link::family_of;
use super::message::{Attributes, Message, Reply, u32_at};
use super::route::{family, octets, to_address};
use super::rtnetlink::Rtnetlink;
use super::socket::{ACK, CREATE, DUMP, EXCLUSIVE, REQUEST};

const HEADER_LEN: usize = 12;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_FWMASK: u16 = 16;
const FRA_PROTOCOL: u16 = 21;
const ACTION_TO_TABLE: u8 = 1;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
/// Whose a rule is: a number that no routing daemon uses (`/etc/iproute2/rt_protos`), so that others' rules are told apart.
const PROTOCOL_OWN: u8 = 82;

/// Packets of one family that are routed by a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether it is for IPv6 or for IPv4.
    pub ipv6: bool,
    /// Only from these addresses.
    pub from: Option<Cidr>,
    /// Only to these addresses.
    pub to: Option<Cidr>,
    /// Only with this mark of the firewall.
    pub mark: Option<u32>,
    /// The table.
    pub table: u32,
    /// Lower ones are asked first; the main table's rule has 32766.
    pub priority: u32,
}

impl Rule {
    fn message(&self, kind: u16, flags: u16) -> Message {
        let prefix = |cidr: Option<Cidr>| cidr.map_or(0, Cidr::prefix);
        let any: std::net::IpAddr = if self.ipv6 {
            [0_u8; 16].into()
        } else {
            [0_u8; 4].into()
        };
        let header = [
            family(any),
            prefix(self.to),
            prefix(self.from),
            0,
            0, // the table is an attribute: numbers above 255 do not fit here
            0,
            0,
            ACTION_TO_TABLE,
            0,
            0,
            0,
            0,
        ];
        let mut message = Message::new(kind, flags, &header);
        for (attribute, cidr) in [(FRA_DST, self.to), (FRA_SRC, self.from)] {
            if let Some(cidr) = cidr.filter(|cidr| cidr.prefix() > 0) {
                message.attr(attribute, &octets(cidr.network().address()));
            }
        }
        if let Some(mark) = self.mark {
            message.attr_u32(FRA_FWMARK, mark);
            message.attr_u32(FRA_FWMASK, u32::MAX);
        }
        message.attr_u32(FRA_TABLE, self.table);
        message.attr_u32(FRA_PRIORITY, self.priority);
        message.attr_u8(FRA_PROTOCOL, PROTOCOL_OWN);
        message
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.priority)?;
        for (word, cidr) in [("from", self.from), ("to", self.to)] {
            if let Some(cidr) = cidr {
                write!(f, " {word} {cidr}")?;
            }
        }
        if let Some(mark) = self.mark {
            write!(f, " mark {mark}")?;
        }
        write!(f, " table {}", self.table)
    }
}

/// A rule that [`Rtnetlink::add_rule`] has set.
fn decode_own(reply: Reply<'_>) -> Option<Rule> {
    let ipv6 = i32::from(family_of(&reply)?) == libc::AF_INET6;
    if reply.kind != RTM_NEWRULE || *reply.body.get(7)? != ACTION_TO_TABLE {
        return None;
    }
    let (to_prefix, from_prefix) = (*reply.body.get(1)?, *reply.body.get(2)?);
    let (mut from, mut to, mut mark, mut priority) = (None, None, None, 0);
    let mut table = u32::from(*reply.body.get(4)?);
    let mut is_own = false;
    for (kind, value) in Attributes::after(reply.body, HEADER_LEN) {
        match kind {
            FRA_DST => to = Cidr::new(to_address(value)?, to_prefix),
            FRA_SRC => from = Cidr::new(to_address(value)?, from_prefix),
            FRA_FWMARK => mark = Some(u32_at(value, 0)?),
            FRA_PRIORITY => priority = u32_at(value, 0)?,
            FRA_TABLE => table = u32_at(value, 0)?,
            FRA_PROTOCOL => is_own = value == [PROTOCOL_OWN],
            _ => {}
        }
    }
    is_own.then_some(Rule {
        ipv6,
        from,
        to,
        mark,
        table,
        priority,
    })
}

impl Rtnetlink {
    /// The rules that [`Self::add_rule`] has set, of both families.
    ///
    /// # Errors
    /// When the kernel refuses or does not answer in time.
    pub fn own_rules(&mut self) -> Result<Vec<Rule>> {
        let mut message = Message::new(RTM_GETRULE, REQUEST | DUMP, &[0; HEADER_LEN]);
        self.socket().dump("list rules", &mut message, decode_own)
    }

    /// Adds a rule.
    ///
    /// # Errors
    /// `EEXIST` when there is the same one.
    pub fn add_rule(&mut self, rule: &Rule) -> Result<()> {
        let mut message = rule.message(RTM_NEWRULE, REQUEST | ACK | CREATE | EXCLUSIVE);
        self.socket()
            .request(&format!("add rule {rule}"), &mut message)
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// `ENOENT` when there is none.
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<()> {
        let mut message = rule.message(RTM_DELRULE, REQUEST | ACK);
        self.socket()
            .request(&format!("delete rule {rule}"), &mut message)
    }
}
