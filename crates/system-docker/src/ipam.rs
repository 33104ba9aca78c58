//! `network create`: which range, gateway and taken address belongs to which subnet. The flags come in any order, so
//! each is given to the subnet that contains it, as docker does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context as _, ensure};
use engine_api::IpamConfig;
use sys::netlink::Cidr;

/// The subnets with what belongs to each.
///
/// # Errors
/// With docker's words when something belongs to none, or subnets overlap.
pub(super) fn config(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    aux_addresses: &BTreeMap<String, String>,
) -> anyhow::Result<Vec<IpamConfig>> {
    ensure!(
        subnets.len() >= ranges.len() && subnets.len() >= gateways.len(),
        "every ip-range or gateway must have a corresponding subnet"
    );
    let mut found: Vec<(Cidr, IpamConfig)> = Vec::new();
    for text in subnets {
        let subnet: Cidr = text.parse()?;
        ensure!(
            !found.iter().any(|(other, _)| subnet.overlaps(*other)),
            "multiple overlapping subnet configuration is not supported"
        );
        let config = IpamConfig {
            subnet: text.clone(),
            ..IpamConfig::default()
        };
        found.push((subnet, config));
    }
    for text in ranges {
        let range: Cidr = text.parse()?;
        let config = containing(&mut found, range.address())
            .with_context(|| format!("no matching subnet for range {text}"))?;
        ensure!(
            config.ip_range.is_empty(),
            "cannot configure multiple ranges ({}, {text}) on the same subnet ({})",
            config.ip_range,
            config.subnet
        );
        config.ip_range.clone_from(text);
    }
    for text in gateways {
        let config = containing(&mut found, address(text)?)
            .with_context(|| format!("no matching subnet for gateway {text}"))?;
        ensure!(
            config.gateway.is_empty(),
            "cannot configure multiple gateways ({}, {text}) for the same subnet ({})",
            config.gateway,
            config.subnet
        );
        config.gateway.clone_from(text);
    }
    for (name, text) in aux_addresses {
        containing(&mut found, address(text)?)
            .with_context(|| format!("no matching subnet for aux-address {text}"))?
            .auxiliary_addresses
            .insert(name.clone(), text.clone());
    }
    Ok(found.into_iter().map(|(_, config)| config).collect())
}

fn address(text: &str) -> anyhow::Result<IpAddr> {
    text.parse()
        .with_context(|| format!("invalid IP address: {text}"))
}

fn containing(found: &mut [(Cidr, IpamConfig)], address: IpAddr) -> Option<&mut IpamConfig> {
    found
        .iter_mut()
        .find(|(subnet, _)| subnet.contains(address))
        .map(|(_, config)| config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_goes_to_its_subnet() {
        let taken = BTreeMap::from([("router".to_owned(), "10.2.0.9".to_owned())]);
        let configs = config(
            &strings(&["10.1.0.0/16", "10.2.0.0/16", "fd00:1::/64"]),
            &strings(&["10.2.3.0/24"]),
            &strings(&["fd00:1::1", "10.1.0.254"]),
            &taken,
        )
        .unwrap();
        assert_eq!(configs[0].gateway, "10.1.0.254");
        assert_eq!(configs[0].ip_range, "");
        assert_eq!(configs[1].ip_range, "10.2.3.0/24");
        assert_eq!(configs[1].auxiliary_addresses, taken);
        assert_eq!(configs[2].gateway, "fd00:1::1");
    }

    #[test]
    fn what_fits_nowhere_is_refused_in_docker_s_words() {
        let none = BTreeMap::new();
        let error = |subnets: &[&str], ranges: &[&str], gateways: &[&str]| {
            config(
                &strings(subnets),
                &strings(ranges),
                &strings(gateways),
                &none,
            )
            .unwrap_err()
            .to_string()
        };
        assert_eq!(
            error(&[], &[], &["10.0.0.1"]),
            "every ip-range or gateway must have a corresponding subnet"
        );
        assert_eq!(
            error(&["10.0.0.0/8", "10.1.0.0/16"], &[], &[]),
            "multiple overlapping subnet configuration is not supported"
        );
        assert_eq!(
            error(&["10.1.0.0/16"], &["10.2.0.0/24"], &[]),
            "no matching subnet for range 10.2.0.0/24"
        );
        assert_eq!(
            error(
                &["10.1.0.0/16", "10.2.0.0/16"],
                &[],
                &["10.1.0.1", "10.1.0.2"]
            ),
            "cannot configure multiple gateways (10.1.0.1, 10.1.0.2) for the same subnet (10.1.0.0/16)"
        );
    }
}
