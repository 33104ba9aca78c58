//! A rule: matches from left to right, then a verdict or a translation.
//!
//! Built like a sentence: `Rule::new().from_link("eth0").to_port(Transport::Tcp, 80).dnat(address, 8080)`.
//! Matches use register 1, translations registers 1 and 2.

use std::fmt;
use std::net::IpAddr;

use crate::netlink::cidr::Cidr;
use crate::netlink::message::Message;
use crate::netlink::route::octets;

const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
const REGISTER_2: u32 = 2;

const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;
const CT_STATE: u32 = 0;
const CT_STATUS: u32 = 2;
/// `IPS_DST_NAT`: the connection's destination was translated.
const CT_STATUS_DNAT: u32 = 1 << 5;
const FIB_ADDRTYPE: u32 = 3;
const FIB_DADDR: u32 = 2;
const RTN_LOCAL: u32 = 2;
const NAT_DESTINATION: u32 = 1;
/// Length of an interface name register (`IFNAMSIZ`).
const NAME_LEN: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Network = 1,
    Transport = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal = 0,
    NotEqual = 1,
}

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// SCTP.
    Sctp = 132,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// States of a connection, as bits that may be joined (`nf_conntrack_common.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConntrackState(u32);

impl ConntrackState {
    /// Part of, or an error about, a connection that was let through.
    pub const ESTABLISHED_OR_RELATED: Self = Self(2 | 4);
}

/// One step of a rule, as nf_tables executes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    Meta { key: u32 },
    Conntrack { key: u32 },
    Fib { result: u32, flags: u32 },
    Payload { base: Base, offset: u32, len: u32 },
    Bitwise { mask: Vec<u8> },
    Compare { op: Compare, value: Vec<u8> },
    Immediate { register: u32, value: Vec<u8> },
    Counter,
    Verdict(u32),
    Nat { family: u8 },
    Masquerade,
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta { .. } => "meta",
            Self::Conntrack { .. } => "ct",
            Self::Fib { .. } => "fib",
            Self::Payload { .. } => "payload",
            Self::Bitwise { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Immediate { .. } | Self::Verdict(_) => "immediate",
            Self::Counter => "counter",
            Self::Nat { .. } => "nat",
            Self::Masquerade => "masq",
        }
    }

    pub(crate) fn encode(&self, message: &mut Message) {
        message
            .attr_str(EXPRESSION_NAME, self.name())
            .nest(EXPRESSION_DATA, |m| self.encode_data(m));
    }

    fn encode_data(&self, m: &mut Message) {
        match self {
            // NFTA_META_DREG, NFTA_META_KEY; NFTA_CT_* have the same numbers.
            Self::Meta { key } | Self::Conntrack { key } => {
                m.attr_be32(1, REGISTER_1).attr_be32(2, *key);
            }
            Self::Fib { result, flags } => {
                m.attr_be32(1, REGISTER_1)
                    .attr_be32(2, *result)
                    .attr_be32(3, *flags);
            }
            Self::Payload { base, offset, len } => {
                m.attr_be32(1, REGISTER_1)
                    .attr_be32(2, *base as u32)
                    .attr_be32(3, *offset)
                    .attr_be32(4, *len);
            }
            Self::Bitwise { mask } => {
                let zero = vec![0; mask.len()];
                let len = u32::try_from(mask.len()).unwrap_or(u32::MAX);
                m.attr_be32(1, REGISTER_1)
                    .attr_be32(2, REGISTER_1)
                    .attr_be32(3, len);
                m.nest(4, |m| {
                    m.attr(DATA_VALUE, mask);
                });
                m.nest(5, |m| {
                    m.attr(DATA_VALUE, &zero);
                });
            }
            Self::Compare { op, value } => {
                m.attr_be32(1, REGISTER_1).attr_be32(2, *op as u32);
                m.nest(3, |m| {
                    m.attr(DATA_VALUE, value);
                });
            }
            Self::Immediate { register, value } => {
                m.attr_be32(1, *register).nest(2, |m| {
                    m.attr(DATA_VALUE, value);
                });
            }
            Self::Verdict(code) => {
                m.attr_be32(1, REGISTER_VERDICT).nest(2, |m| {
                    m.nest(DATA_VERDICT, |m| {
                        m.attr_be32(VERDICT_CODE, *code);
                    });
                });
            }
            Self::Nat { family } => {
                // NFTA_NAT_TYPE, _FAMILY, _REG_ADDR_MIN, _REG_PROTO_MIN.
                m.attr_be32(1, NAT_DESTINATION)
                    .attr_be32(2, u32::from(*family));
                m.attr_be32(3, REGISTER_1).attr_be32(5, REGISTER_2);
            }
            Self::Counter | Self::Masquerade => {}
        }
    }
}

/// A rule under construction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    expressions: Vec<Expression>,
    text: String,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

impl Rule {
    /// A rule that matches everything and does nothing.
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn expressions(&self) -> &[Expression] {
        &self.expressions
    }

    #[must_use]
    fn then(mut self, text: &str, expressions: impl IntoIterator<Item = Expression>) -> Self {
        self.text.push_str(text);
        self.text.push(' ');
        self.expressions.extend(expressions);
        self
    }

    fn link_name(self, text: &str, key: u32, op: Compare, name: &str) -> Self {
        let mut value = name.as_bytes().to_vec();
        value.resize(NAME_LEN, 0);
        self.then(
            &format!("{text} {name}"),
            [Expression::Meta { key }, Expression::Compare { op, value }],
        )
    }

    /// The packet came in by the link called `name`.
    #[must_use]
    pub fn from_link(self, name: &str) -> Self {
        self.link_name("iifname", META_IIFNAME, Compare::Equal, name)
    }

    /// The packet came in by any other link.
    #[must_use]
    pub fn not_from_link(self, name: &str) -> Self {
        self.link_name("iifname !=", META_IIFNAME, Compare::NotEqual, name)
    }

    /// The packet leaves by the link called `name`.
    #[must_use]
    pub fn to_link(self, name: &str) -> Self {
        self.link_name("oifname", META_OIFNAME, Compare::Equal, name)
    }

    /// The packet leaves by any other link.
    #[must_use]
    pub fn not_to_link(self, name: &str) -> Self {
        self.link_name("oifname !=", META_OIFNAME, Compare::NotEqual, name)
    }

    /// The packet is IPv4 (or IPv6).
    #[must_use]
    pub fn ipv6(self, ipv6: bool) -> Self {
        let value = vec![protocol_family(ipv6)];
        let text = if ipv6 { "nfproto ipv6" } else { "nfproto ipv4" };
        self.then(
            text,
            [
                Expression::Meta { key: META_NFPROTO },
                Expression::Compare {
                    op: Compare::Equal,
                    value,
                },
            ],
        )
    }

    fn address(self, text: &str, network: Cidr, op: Compare, offsets: (u32, u32)) -> Self {
        let ipv6 = network.is_ipv6();
        let (offset, len) = if ipv6 {
            (offsets.1, 16)
        } else {
            (offsets.0, 4)
        };
        let value = octets(network.first());
        let mut rule = self.ipv6(ipv6).then(
            &format!("{text} {}", network.network()),
            [Expression::Payload {
                base: Base::Network,
                offset,
                len,
            }],
        );
        if network != Cidr::host(network.address()) {
            rule.expressions.push(Expression::Bitwise {
                mask: network.mask(),
            });
        }
        rule.expressions.push(Expression::Compare { op, value });
        rule
    }

    /// The source address is in `network`.
    #[must_use]
    pub fn source(self, network: Cidr) -> Self {
        self.address("saddr", network, Compare::Equal, (12, 8))
    }

    /// The source address is not in `network`, but of its family.
    #[must_use]
    pub fn source_not(self, network: Cidr) -> Self {
        self.address("saddr !=", network, Compare::NotEqual, (12, 8))
    }

    /// The destination address is in `network`.
    #[must_use]
    pub fn destination(self, network: Cidr) -> Self {
        self.address("daddr", network, Compare::Equal, (16, 24))
    }

    /// The destination address is not in `network`, but of its family.
    #[must_use]
    pub fn destination_not(self, network: Cidr) -> Self {
        self.address("daddr !=", network, Compare::NotEqual, (16, 24))
    }

    /// The destination address is one of this machine's (`fib daddr type local`).
    #[must_use]
    pub fn destination_is_local(self) -> Self {
        let value = RTN_LOCAL.to_ne_bytes().to_vec();
        self.then(
            "fib daddr type local",
            [
                Expression::Fib {
                    result: FIB_ADDRTYPE,
                    flags: FIB_DADDR,
                },
                Expression::Compare {
                    op: Compare::Equal,
                    value,
                },
            ],
        )
    }

    /// The packet is of `transport`, to `port`.
    #[must_use]
    pub fn to_port(self, transport: Transport, port: u16) -> Self {
        let protocol = vec![transport as u8];
        self.then(
            &format!("{transport} dport {port}"),
            [
                Expression::Meta { key: META_L4PROTO },
                Expression::Compare {
                    op: Compare::Equal,
                    value: protocol,
                },
                Expression::Payload {
                    base: Base::Transport,
                    offset: 2,
                    len: 2,
                },
                Expression::Compare {
                    op: Compare::Equal,
                    value: port.to_be_bytes().to_vec(),
                },
            ],
        )
    }

    /// The packet is an ICMP (or ICMPv6) redirect: "there is a shorter way".
    #[must_use]
    pub fn icmp_redirect(self, ipv6: bool) -> Self {
        let (protocol, kind) = if ipv6 { (58, 137) } else { (1, 5) };
        self.ipv6(ipv6).then(
            "icmp type redirect",
            [
                Expression::Meta { key: META_L4PROTO },
                Expression::Compare {
                    op: Compare::Equal,
                    value: vec![protocol],
                },
                Expression::Payload {
                    base: Base::Transport,
                    offset: 0,
                    len: 1,
                },
                Expression::Compare {
                    op: Compare::Equal,
                    value: vec![kind],
                },
            ],
        )
    }

    fn conntrack(self, text: &str, key: u32, bits: u32) -> Self {
        self.then(
            text,
            [
                Expression::Conntrack { key },
                Expression::Bitwise {
                    mask: bits.to_ne_bytes().to_vec(),
                },
                Expression::Compare {
                    op: Compare::NotEqual,
                    value: vec![0; 4],
                },
            ],
        )
    }

    /// The connection is in one of `states`.
    #[must_use]
    pub fn state(self, states: ConntrackState) -> Self {
        self.conntrack("ct state established,related", CT_STATE, states.0)
    }

    /// The connection's destination was translated.
    #[must_use]
    pub fn is_dnat(self) -> Self {
        self.conntrack("ct status dnat", CT_STATUS, CT_STATUS_DNAT)
    }

    /// Counts packets and bytes.
    #[must_use]
    pub fn counter(self) -> Self {
        self.then("counter", [Expression::Counter])
    }

    /// Lets the packet pass this chain.
    #[must_use]
    pub fn accept(self) -> Self {
        self.then("accept", [Expression::Verdict(1)])
    }

    /// Drops the packet.
    #[must_use]
    pub fn drop_packet(self) -> Self {
        self.then("drop", [Expression::Verdict(0)])
    }

    /// Translates the destination to `address` and `port`.
    #[must_use]
    pub fn dnat(self, address: IpAddr, port: u16) -> Self {
        let family = protocol_family(address.is_ipv6());
        self.then(
            &format!("dnat to {address} port {port}"),
            [
                Expression::Immediate {
                    register: REGISTER_1,
                    value: octets(address),
                },
                Expression::Immediate {
                    register: REGISTER_2,
                    value: port.to_be_bytes().to_vec(),
                },
                Expression::Nat { family },
            ],
        )
    }

    /// Translates the source to the address of the link the packet leaves by.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.then("masquerade", [Expression::Masquerade])
    }
}

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
fn protocol_family(ipv6: bool) -> u8 {
    if ipv6 { 10 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_like_nft() {
        let rule = Rule::new()
            .not_from_link("docker-sys")
            .destination_is_local()
            .ipv6(false)
            .to_port(Transport::Tcp, 80)
            .dnat("172.18.0.2".parse().unwrap(), 8080);
        assert_eq!(
            rule.to_string(),
            "iifname != docker-sys fib daddr type local nfproto ipv4 tcp dport 80 dnat to 172.18.0.2 port 8080"
        );
    }

    #[test]
    fn whole_addresses_need_no_mask() {
        let host = Rule::new().source("10.0.0.1/32".parse().unwrap());
        let network = Rule::new().source("10.0.0.1/8".parse().unwrap());
        assert_eq!(host.expressions().len() + 1, network.expressions().len());
    }
}
