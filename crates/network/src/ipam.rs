//! Address management: free subnets from the default pools, free addresses within a subnet.

use std::collections::HashSet;
use std::net::IpAddr;

use engine_api::{Error, Result};
use sys::netlink::Cidr;

use super::record::{NetworkRecord, Subnet};

/// How far a subnet is searched for a free address: a full /16, far more endpoints than the engine can hold.
const SEARCH_LIMIT: u128 = 1 << 16;

/// Subnets for networks that name none: 172.19.0.0/16 to 172.31.0.0/16, then 192.168.0.0/20 and so on.
/// Docker's pools, less 172.17 (User Docker's `docker0`) and 172.18 (`docker-sys`).
fn pool() -> impl Iterator<Item = Cidr> {
    let large = (19..=31).filter_map(|second| Cidr::new(IpAddr::from([172, second, 0, 0]), 16));
    let small = (0..16).filter_map(|nth| Cidr::new(IpAddr::from([192, 168, nth * 16, 0]), 20));
    large.chain(small)
}

/// The first subnet of the pools that overlaps nothing in `taken`.
pub(super) fn free_subnet(taken: &[Cidr]) -> Result<Cidr> {
    pool().find(|subnet| !taken.iter().any(|other| other.overlaps(*subnet))).ok_or_else(|| {
        Error::not_found(
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        )
    })
}

/// The address of the gateway when none was asked for: the first of the subnet.
pub(super) fn default_gateway(subnet: &Subnet) -> Option<IpAddr> {
    let start =
        u128::from(subnet.network.prefix() + 1 < if subnet.network.is_ipv6() { 128 } else { 32 });
    (start..start + 256)
        .filter_map(|offset| subnet.network.nth(offset))
        .find(|address| !subnet.auxiliary.contains(address))
}

/// Addresses that nobody may get: network, broadcast, gateway, auxiliary ones.
fn reserved(subnet: &Subnet) -> impl Iterator<Item = IpAddr> {
    let net = subnet.network;
    let point_to_point = if net.is_ipv6() {
        net.prefix() >= 127
    } else {
        net.prefix() >= 31
    };
    let ends = (!point_to_point).then_some(net.first()).into_iter();
    let broadcast = (!point_to_point && !net.is_ipv6()).then_some(net.last());
    ends.chain(broadcast)
        .chain(subnet.gateway)
        .chain(subnet.auxiliary.iter().copied())
}

/// Takes an address of the wanted family: `wish` when given, else the lowest free one. `None` when the network has
/// no subnet of that family.
pub(super) fn allocate(
    network: &NetworkRecord,
    ipv6: bool,
    wish: Option<IpAddr>,
    used: &HashSet<IpAddr>,
) -> Result<Option<(Cidr, Subnet)>> {
    let subnets: Vec<Subnet> = network
        .subnets()
        .into_iter()
        .filter(|s| s.network.is_ipv6() == ipv6)
        .collect();
    if let Some(address) = wish {
        let subnet = subnets
            .into_iter()
            .find(|subnet| subnet.network.contains(address))
            .ok_or_else(|| {
                Error::bad_parameter(format!(
                    "invalid endpoint settings:\nno configured subnet contains IP address {address}"
                ))
            })?;
        if used.contains(&address) || reserved(&subnet).any(|taken| taken == address) {
            return Err(Error::forbidden("Address already in use"));
        }
        return Ok(Cidr::new(address, subnet.network.prefix()).map(|cidr| (cidr, subnet)));
    }
    if subnets.is_empty() {
        return Ok(None);
    }
    for subnet in subnets {
        let taken: HashSet<IpAddr> = reserved(&subnet).collect();
        let free = (0..SEARCH_LIMIT)
            .map_while(|offset| subnet.range.nth(offset))
            .find(|address| !taken.contains(address) && !used.contains(address));
        if let Some(cidr) = free.and_then(|address| Cidr::new(address, subnet.network.prefix())) {
            return Ok(Some((cidr, subnet)));
        }
    }
    let family = if ipv6 { "IPv6" } else { "IPv4" };
    Err(Error::server(format!(
        "no available {family} addresses on this network's address pools: {} ({})",
        network.name, network.id
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam_config::one_subnet;

    fn network(subnet: &str, range: &str, gateway: &str) -> NetworkRecord {
        NetworkRecord {
            name: "n".into(),
            ipam: one_subnet(subnet, range, gateway),
            enable_ipv6: true,
            ..NetworkRecord::default()
        }
    }

    fn next(network: &NetworkRecord, used: &HashSet<IpAddr>) -> String {
        let ipv6 = network.ipam.config[0].subnet.contains(':');
        allocate(network, ipv6, None, used)
            .unwrap()
            .unwrap()
            .0
            .to_string()
    }

    #[test]
    fn the_lowest_free_address_is_taken() {
        let net = network("10.0.0.0/24", "", "10.0.0.1");
        assert_eq!(next(&net, &HashSet::new()), "10.0.0.2/24");
        let used = HashSet::from(["10.0.0.2".parse().unwrap()]);
        assert_eq!(next(&net, &used), "10.0.0.3/24");
        assert_eq!(
            next(&network("10.0.0.0/24", "10.0.0.128/25", "10.0.0.1"), &used),
            "10.0.0.128/24"
        );
        assert_eq!(
            next(&network("fd00::/64", "", "fd00::1"), &used),
            "fd00::2/64"
        );
    }

    #[test]
    fn a_full_subnet_and_taken_addresses_are_refused() {
        let net = network("10.0.0.0/30", "", "10.0.0.1");
        let used = HashSet::from(["10.0.0.2".parse().unwrap()]);
        assert!(
            allocate(&net, false, None, &used)
                .unwrap_err()
                .message
                .starts_with("no available IPv4 addresses")
        );
        for taken in ["10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3"] {
            let error = allocate(&net, false, Some(taken.parse().unwrap()), &used).unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.message.as_str()),
                (403, "Address already in use")
            );
        }
        assert_eq!(
            allocate(&net, false, Some("10.9.0.1".parse().unwrap()), &used)
                .unwrap_err()
                .status,
            400
        );
    }

    #[test]
    fn pools_avoid_what_the_host_uses() {
        let taken = [
            "172.16.0.0/13".parse().unwrap(),
            "172.24.0.0/16".parse().unwrap(),
        ];
        assert_eq!(free_subnet(&taken).unwrap().to_string(), "172.25.0.0/16");
        assert_eq!(
            free_subnet(&["0.0.0.0/0".parse().unwrap()])
                .unwrap_err()
                .status,
            404
        );
    }
}
