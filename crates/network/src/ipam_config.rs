//! Checks of a network's address configuration as a client gave it (`IPAM.Config`), all complaints at once.

use std::net::IpAddr;

use engine_api::{Error, Ipam, IpamConfig, Result};
use sys::netlink::Cidr;

/// Subnets of one network.
const SUBNET_LIMIT: usize = 64;

/// Refuses what cannot work, in Docker's form: one line per complaint under `invalid network config:`.
pub(super) fn validate(ipam: &Ipam, enable_ipv6: bool) -> Result<()> {
    let mut complaints = Vec::new();
    if ipam.config.len() > SUBNET_LIMIT {
        complaints.push(format!("more than {SUBNET_LIMIT} subnets"));
    }
    for config in ipam.config.iter().take(SUBNET_LIMIT) {
        validate_one(config, enable_ipv6, &mut complaints);
    }
    if complaints.is_empty() {
        return Ok(());
    }
    Err(Error::bad_parameter(format!(
        "invalid network config:\n{}",
        complaints.join("\n")
    )))
}

fn validate_one(config: &IpamConfig, enable_ipv6: bool, complaints: &mut Vec<String>) {
    if config.subnet.is_empty() {
        // Docker chooses a subnet then; a range or gateway without one has nothing to be in.
        if !config.ip_range.is_empty()
            || !config.gateway.is_empty()
            || !config.auxiliary_addresses.is_empty()
        {
            complaints.push("invalid subnet : invalid CIDR block notation".into());
        }
        return;
    }
    let Ok(subnet) = config.subnet.parse::<Cidr>() else {
        complaints.push(format!(
            "invalid subnet {}: invalid CIDR block notation",
            config.subnet
        ));
        return;
    };
    if subnet.is_ipv6() && !enable_ipv6 {
        return;
    }
    if subnet != subnet.network() {
        complaints.push(format!(
            "invalid subnet {subnet}: it should be {}",
            subnet.network()
        ));
    }
    if !config.ip_range.is_empty() {
        complaints.extend(range_complaint(&config.ip_range, subnet));
    }
    if !config.gateway.is_empty() {
        complaints.extend(address_complaint("gateway", &config.gateway, subnet));
    }
    for (name, address) in &config.auxiliary_addresses {
        complaints.extend(address_complaint(
            &format!("auxiliary address {name}"),
            address,
            subnet,
        ));
    }
}

fn range_complaint(text: &str, subnet: Cidr) -> Option<String> {
    let Ok(range) = text.parse::<Cidr>() else {
        return Some(format!(
            "invalid ip-range {text}: invalid CIDR block notation"
        ));
    };
    if range.is_ipv6() != subnet.is_ipv6() {
        let family = if subnet.is_ipv6() { "IPv6" } else { "IPv4" };
        return Some(format!(
            "invalid ip-range {range}: parent subnet is an {family} block"
        ));
    }
    if range.prefix() < subnet.prefix() {
        return Some(format!(
            "invalid ip-range {range}: CIDR block is bigger than its parent subnet {subnet}"
        ));
    }
    if range != range.network() {
        return Some(format!(
            "invalid ip-range {range}: it should be {}",
            range.network()
        ));
    }
    let inside = subnet.contains(range.first());
    (!inside).then(|| {
        format!("invalid ip-range {range}: parent subnet {subnet} doesn't contain ip-range")
    })
}

fn address_complaint(what: &str, text: &str, subnet: Cidr) -> Option<String> {
    match text.parse::<IpAddr>() {
        Err(_) => Some(format!("invalid {what} {text}: invalid address")),
        Ok(address) if address.is_ipv6() != subnet.is_ipv6() => {
            let family = if subnet.is_ipv6() { "IPv6" } else { "IPv4" };
            Some(format!(
                "invalid {what} {address}: parent subnet is an {family} block"
            ))
        }
        Ok(address) if !subnet.contains(address) => Some(format!(
            "invalid {what} {address}: parent subnet {subnet} doesn't contain this address"
        )),
        Ok(_) => None,
    }
}

/// The addresses of a test's network with one subnet.
#[cfg(test)]
pub(super) fn one_subnet(subnet: &str, range: &str, gateway: &str) -> Ipam {
    let config = IpamConfig {
        subnet: subnet.into(),
        ip_range: range.into(),
        gateway: gateway.into(),
        ..IpamConfig::default()
    };
    Ipam {
        config: vec![config],
        ..Ipam::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(subnet: &str, range: &str, gateway: &str) -> String {
        validate(&one_subnet(subnet, range, gateway), false)
            .err()
            .map(|error| error.message)
            .unwrap_or_default()
    }

    #[test]
    fn mistakes_are_named_with_their_value() {
        assert_eq!(check("10.1.0.0/24", "10.1.0.128/25", "10.1.0.1"), "");
        assert_eq!(
            check("10.1.0.1/24", "10.1.0.0/23", "10.2.0.1"),
            "invalid network config:\ninvalid subnet 10.1.0.1/24: it should be 10.1.0.0/24\n\
             invalid ip-range 10.1.0.0/23: CIDR block is bigger than its parent subnet 10.1.0.1/24\n\
             invalid gateway 10.2.0.1: parent subnet 10.1.0.1/24 doesn't contain this address"
        );
        assert!(check("nonsense", "", "").contains("invalid CIDR block notation"));
        assert!(check("10.1.0.0/24", "", "fd00::1").contains("parent subnet is an IPv4 block"));
    }
}
