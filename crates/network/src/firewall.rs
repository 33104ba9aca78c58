//! The host's nf_tables table `system-docker`: translation, masquerading and isolation of all bridges.
//!
//! The rules are a pure function of networks and endpoints; whenever they differ from what the kernel has, the whole
//! table is replaced in one transaction, so that there is never a half-made state and nothing stale survives a
//! restart. No other table is touched: User Docker's iptables-nft tables exist next to it, and a packet must pass both.
//!
//! Published ports are translated by the kernel (no process in the data path), for local clients too: `route_localnet`
//! on our bridges lets packets from 127.0.0.1 leave by them. What the kernel cannot translate (`::1`, IPv6 clients of a
//! container that has IPv4 only) is carried by [`super::proxy`].
//!
//! Loopback addresses are this machine's alone: a raw rule drops what comes from any other link with one of them, before
//! anybody translates it. Translation would otherwise happen ahead of the kernel's own check of addresses, and a port that
//! is published on 127.0.0.1 would answer a neighbour on the link, User Docker's ports too; a container would reach what
//! listens on the host's loopback, or pass for a local client. (The kernel itself drops `::1` from other links earlier.)

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sys::netlink::Cidr;
use sys::netlink::nftables::{
    Batch, Chain, ChainType, ConntrackState, Family, Hook, PRIORITY_DSTNAT, PRIORITY_FILTER,
    PRIORITY_RAW, PRIORITY_SRCNAT, Rule,
};

use super::Driver;
use super::record::{NetworkRecord, PublishedPort};
use super::sandbox::Sandbox;

/// The link of loopback addresses.
const LOOPBACK_LINK: &str = "lo";

/// The table's name.
pub(super) const TABLE: &str = "system-docker";

const RAW: Chain = filter("raw-prerouting", Hook::Prerouting, PRIORITY_RAW);
const PREROUTING: Chain = nat("prerouting", Hook::Prerouting, PRIORITY_DSTNAT);
const OUTPUT: Chain = nat("output", Hook::Output, PRIORITY_DSTNAT);
const LOCAL: Chain = filter("local-output", Hook::Output, PRIORITY_FILTER);
const FORWARD: Chain = filter("forward", Hook::Forward, PRIORITY_FILTER);
const POSTROUTING: Chain = nat("postrouting", Hook::Postrouting, PRIORITY_SRCNAT);
const CHAINS: [Chain; 6] = [RAW, PREROUTING, OUTPUT, LOCAL, FORWARD, POSTROUTING];

/// A chain of rules that let packets pass or drop them.
const fn filter(name: &'static str, hook: Hook, priority: i32) -> Chain {
    Chain {
        name,
        kind: ChainType::Filter,
        hook,
        priority,
    }
}

/// A chain of rules that translate addresses.
const fn nat(name: &'static str, hook: Hook, priority: i32) -> Chain {
    Chain {
        name,
        kind: ChainType::Nat,
        hook,
        priority,
    }
}

type Rules = Vec<(&'static str, Rule)>;

/// What the kernel was given last.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    applied: Option<Rules>,
}

impl Firewall {
    /// Brings the kernel's table to what `networks` and `sandboxes` need; no system call when nothing changed.
    pub(super) fn apply(
        &mut self,
        networks: &BTreeMap<String, NetworkRecord>,
        sandboxes: &BTreeMap<String, Sandbox>,
    ) -> sys::netlink::Result<()> {
        let rules = rules(
            networks,
            sandboxes.values().flat_map(|sandbox| &sandbox.record.ports),
        );
        if self.applied.as_ref() == Some(&rules) {
            return Ok(());
        }
        let mut batch = Batch::new();
        batch.add_table(Family::Inet, TABLE);
        for chain in &CHAINS {
            batch.add_chain(Family::Inet, TABLE, chain);
        }
        batch.flush_table(Family::Inet, TABLE);
        for (chain, rule) in &rules {
            batch.add_rule(Family::Inet, TABLE, chain, rule);
        }
        batch.commit()?;
        self.applied = Some(rules);
        Ok(())
    }

    /// Removes the table.
    #[cfg(test)]
    pub(super) fn clear(&mut self) -> sys::netlink::Result<()> {
        self.applied = None;
        let mut batch = Batch::new();
        batch
            .add_table(Family::Inet, TABLE)
            .delete_table(Family::Inet, TABLE);
        batch.commit()
    }
}

fn rules<'a>(
    networks: &BTreeMap<String, NetworkRecord>,
    ports: impl Iterator<Item = &'a PublishedPort>,
) -> Rules {
    let bridges: Vec<&NetworkRecord> = networks
        .values()
        .filter(|n| n.driver() == Driver::Bridge)
        .collect();
    let mut rules = Vec::new();
    let loopback = Cidr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8)
        .unwrap_or(Cidr::host(Ipv4Addr::LOCALHOST.into()));
    let stranger = || Rule::new().not_from_link(LOOPBACK_LINK);
    rules.push((RAW.name, stranger().destination(loopback).drop_packet()));
    rules.push((RAW.name, stranger().source(loopback).drop_packet()));
    for network in &bridges {
        let device = network.device();
        for ipv6 in [false, true] {
            // Between two containers of a network translated packets turn back into the bridge. The kernel would tell
            // the sender a "shorter way" that leads the next connection past the translation.
            let redirect = Rule::new().to_link(&device).icmp_redirect(ipv6);
            rules.push((LOCAL.name, redirect.drop_packet()));
        }
        if network.internal {
            rules.push((
                FORWARD.name,
                Rule::new()
                    .from_link(&device)
                    .not_to_link(&device)
                    .drop_packet(),
            ));
            rules.push((
                FORWARD.name,
                Rule::new()
                    .to_link(&device)
                    .not_from_link(&device)
                    .drop_packet(),
            ));
        }
        source_rules(network, &device, loopback, &mut rules);
    }
    rules.push((
        FORWARD.name,
        Rule::new()
            .state(ConntrackState::ESTABLISHED_OR_RELATED)
            .accept(),
    ));
    rules.push((FORWARD.name, Rule::new().is_dnat().accept()));
    for network in &bridges {
        let device = network.device();
        if !network.driver_options().icc {
            // Only seen here with br_netfilter; the isolated bridge ports do it without.
            rules.push((
                FORWARD.name,
                Rule::new()
                    .from_link(&device)
                    .to_link(&device)
                    .drop_packet(),
            ));
        }
        // Other networks and other machines reach published ports only.
        rules.push((
            FORWARD.name,
            Rule::new()
                .to_link(&device)
                .not_from_link(&device)
                .drop_packet(),
        ));
    }
    for port in ports.filter(|port| port.host_address.is_ipv6() == port.target.is_ipv6()) {
        translation_rules(port, &mut rules);
    }
    rules
}

/// Who leaves the network under which address.
fn source_rules(network: &NetworkRecord, device: &str, loopback: Cidr, rules: &mut Rules) {
    let masquerade = network.driver_options().masquerade && !network.internal;
    for subnet in network.subnets() {
        if masquerade {
            rules.push((
                POSTROUTING.name,
                Rule::new()
                    .source(subnet.network)
                    .not_to_link(device)
                    .masquerade(),
            ));
        }
        // A container that calls a port published by a neighbour must get the answer from where it called.
        rules.push((
            POSTROUTING.name,
            Rule::new()
                .to_link(device)
                .source(subnet.network)
                .is_dnat()
                .masquerade(),
        ));
    }
    rules.push((
        POSTROUTING.name,
        Rule::new()
            .to_link(device)
            .source(loopback)
            .is_dnat()
            .masquerade(),
    ));
}

fn translation_rules(port: &PublishedPort, rules: &mut Rules) {
    let localhost6 = Cidr::host(Ipv6Addr::LOCALHOST.into());
    if port.host_address == localhost6.address() {
        return;
    }
    for chain in [PREROUTING.name, OUTPUT.name] {
        let mut rule = Rule::new();
        rule = if port.host_address.is_unspecified() {
            let family = rule.ipv6(port.host_address.is_ipv6());
            let family = if port.host_address.is_ipv6() {
                family.destination_not(localhost6)
            } else {
                family
            };
            family.destination_is_local()
        } else {
            rule.destination(Cidr::host(port.host_address))
        };
        rule = rule.to_port(port.transport(), port.host_port);
        rules.push((chain, rule.dnat(port.target, port.container_port)));
    }
}

#[cfg(test)]
mod tests {
    use engine_api::{Ipam, IpamConfig};

    use super::*;

    fn network(internal: bool) -> BTreeMap<String, NetworkRecord> {
        let config = IpamConfig {
            subnet: "10.0.0.0/24".into(),
            gateway: "10.0.0.1".into(),
            ..IpamConfig::default()
        };
        let ipam = Ipam {
            config: vec![config],
            ..Ipam::default()
        };
        let id = "a".repeat(64);
        let record = NetworkRecord {
            id: id.clone(),
            driver: "bridge".into(),
            internal,
            ipam,
            ..NetworkRecord::default()
        };
        BTreeMap::from([(id, record)])
    }

    fn texts(rules: &Rules) -> Vec<String> {
        rules
            .iter()
            .map(|(chain, rule)| format!("{chain}: {rule}"))
            .collect()
    }

    #[test]
    fn a_published_port_is_translated_for_strangers_and_local_clients() {
        let port = PublishedPort {
            udp: false,
            container_port: 80,
            host_address: "0.0.0.0".parse().unwrap(),
            host_port: 8080,
            target: "10.0.0.2".parse().unwrap(),
        };
        let only_ipv4 = PublishedPort {
            host_address: "::".parse().unwrap(),
            ..port
        };
        let texts = texts(&rules(&network(false), [port, only_ipv4].iter()));
        let translated: Vec<_> = texts
            .iter()
            .filter(|text| text.contains("dnat to"))
            .collect();
        assert_eq!(
            translated,
            [
                "prerouting: nfproto ipv4 fib daddr type local tcp dport 8080 dnat to 10.0.0.2 port 80",
                "output: nfproto ipv4 fib daddr type local tcp dport 8080 dnat to 10.0.0.2 port 80"
            ]
        );
    }

    #[test]
    fn loopback_addresses_of_other_links_are_dropped_even_without_networks() {
        let none = texts(&rules(&BTreeMap::new(), std::iter::empty()));
        assert_eq!(
            none[..2],
            [
                "raw-prerouting: iifname != lo nfproto ipv4 daddr 127.0.0.0/8 drop",
                "raw-prerouting: iifname != lo nfproto ipv4 saddr 127.0.0.0/8 drop"
            ]
        );
    }

    #[test]
    fn internal_networks_have_no_way_out() {
        let open = texts(&rules(&network(false), std::iter::empty()));
        let closed = texts(&rules(&network(true), std::iter::empty()));
        let leaves = |texts: &[String]| {
            texts
                .iter()
                .any(|t| t.contains("oifname != br-aaaaaaaaaaaa masquerade"))
        };
        assert!(leaves(&open) && !leaves(&closed));
        assert!(
            closed
                .iter()
                .any(|t| t == "forward: iifname br-aaaaaaaaaaaa oifname != br-aaaaaaaaaaaa drop")
        );
    }
}
