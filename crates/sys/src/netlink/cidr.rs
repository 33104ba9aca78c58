//! An IP address with its prefix length, as `172.18.42.1/16`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address and a prefix length; the host bits are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// The text is not `ADDRESS/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct CidrParseError(String);

impl Cidr {
    /// `address/prefix`; `None` when the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= width(address)).then_some(Self { address, prefix })
    }

    /// The whole address as a network of one.
    pub fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix: width(address),
        }
    }

    /// The address, host bits included.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// True for IPv6.
    pub fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// The same network with the host bits cleared.
    #[must_use]
    pub fn network(self) -> Self {
        Self {
            address: self.first(),
            prefix: self.prefix,
        }
    }

    /// The lowest address: the network's own.
    pub fn first(self) -> IpAddr {
        from_bits(to_bits(self.address) & !self.host_mask(), self.is_ipv6())
    }

    /// The highest address (IPv4: the broadcast address).
    pub fn last(self) -> IpAddr {
        from_bits(to_bits(self.address) | self.host_mask(), self.is_ipv6())
    }

    /// True when `address` is inside.
    pub fn contains(self, address: IpAddr) -> bool {
        self.is_ipv6() == address.is_ipv6() && self.first() <= address && address <= self.last()
    }

    /// True when the two share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first()) || other.contains(self.first())
    }

    /// The address `offset` behind the first one; `None` when that is outside.
    pub fn nth(self, offset: u128) -> Option<IpAddr> {
        let bits = to_bits(self.first()).checked_add(offset)?;
        (bits <= to_bits(self.last())).then(|| from_bits(bits, self.is_ipv6()))
    }

    /// The distance of `address` from the first one; `None` when it is outside.
    pub fn offset_of(self, address: IpAddr) -> Option<u128> {
        self.contains(address)
            .then(|| to_bits(address) - to_bits(self.first()))
    }

    /// The netmask as bytes: 4 or 16 of them.
    pub fn mask(self) -> Vec<u8> {
        match from_bits(!self.host_mask(), self.is_ipv6()) {
            IpAddr::V4(mask) => mask.octets().to_vec(),
            IpAddr::V6(mask) => mask.octets().to_vec(),
        }
    }

    fn host_mask(self) -> u128 {
        let bits = u32::from(width(self.address) - self.prefix);
        1u128.checked_shl(bits).map_or(u128::MAX, |value| value - 1)
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv6() { 128 } else { 32 }
}

fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(bits: u128, ipv6: bool) -> IpAddr {
    if ipv6 {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    } else {
        IpAddr::V4(Ipv4Addr::from_bits((bits & u128::from(u32::MAX)) as u32))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = CidrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, prefix) = text.split_once('/')?;
            Self::new(address.parse().ok()?, prefix.parse().ok()?)
        };
        parse().ok_or_else(|| CidrParseError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn masks_and_bounds() {
        let net = cidr("172.18.42.1/16");
        assert_eq!(net.network(), cidr("172.18.0.0/16"));
        assert_eq!(net.last().to_string(), "172.18.255.255");
        assert_eq!(net.mask(), [255, 255, 0, 0]);
        assert_eq!(net.nth(258).unwrap().to_string(), "172.18.1.2");
        assert_eq!(net.nth(65536), None);
        assert_eq!(net.offset_of("172.18.1.2".parse().unwrap()), Some(258));
        assert!(cidr("fd00::/64").contains("fd00::ffff".parse().unwrap()));
        assert!(cidr("::/0").contains("ff02::1".parse().unwrap()));
        assert!(!cidr("0.0.0.0/0").contains("::1".parse().unwrap()));
    }

    #[test]
    fn overlap_is_symmetric() {
        assert!(cidr("10.0.0.0/8").overlaps(cidr("10.1.2.0/24")));
        assert!(cidr("10.1.2.0/24").overlaps(cidr("10.0.0.0/8")));
        assert!(!cidr("10.1.2.0/24").overlaps(cidr("10.1.3.0/24")));
    }

    #[test]
    fn bad_text_is_refused() {
        for text in [
            "",
            "1.2.3.4",
            "1.2.3.4/33",
            "::/129",
            "1.2.3/8",
            "1.2.3.4/x",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
