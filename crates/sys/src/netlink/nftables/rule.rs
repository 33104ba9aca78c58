//! A rule: matches from left to right, then a verdict or a translation.
//!
//! Built like a sentence: `Rule::new().from_link("eth0").to_port(Transport::Tcp, 80).dnat(address, 8080)`.
//! Matches use register 1, translations registers 1 and 2.

use std::fmt;
use std::net::IpAddr;

use super::expression::{Base, Compare, Expression, REGISTER_1, REGISTER_2};
use super::transport::Transport;
use crate::netlink::cidr::Cidr;
use crate::netlink::route::octets;

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
/// Length of an interface name register (`IFNAMSIZ`).
const NAME_LEN: usize = 16;

/// States of a connection, as bits that may be joined (`nf_conntrack_common.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConntrackState(u32);

impl ConntrackState {
    /// Part of, or an error about, a connection that was let through.
    pub const ESTABLISHED_OR_RELATED: Self = Self(2 | 4);
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
