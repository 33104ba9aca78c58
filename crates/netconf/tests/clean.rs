//! What a plan does not have any more is gone from the kernel, in a network namespace of the test.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::fd::AsFd as _;

use config::{CommandLine, Source};
use netconf::matching::Candidate;
use netconf::{Plan, apply, clean};
use sys::netlink::{
    BridgeOptions, LinkChange, LinkKind, NewLink, Peer, Rtnetlink, TABLE_MAIN, in_netns, new_netns,
};

/// The links of the test that stand for cards: the kernel of whoever runs it has veth, and that is not a card to `candidates`.
fn cards() -> Vec<Candidate> {
    let card = |name: &str| Candidate {
        name: name.to_owned(),
        mac: None,
        is_hardware: true,
        is_vlan: false,
    };
    ["eth0", "eth1"].map(card).into()
}

/// Applies `rancher.network.interfaces` as the service network does; the errors.
fn apply_all(netlink: &mut Rtnetlink, interfaces: &str) -> Vec<String> {
    let text = format!("rancher: {{network: {{interfaces: {{{interfaces}}}}}}}");
    let source = Source {
        name: "t.yml",
        text: &text,
    };
    let loaded = config::load(&[source], &CommandLine::default());
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let plan = Plan::new(&loaded.config.rancher.network, &cards());
    let mut errors = clean(netlink, &plan);
    errors.extend(apply::make(netlink, &plan));
    for link in &plan.links {
        errors.extend(apply::configure(netlink, link));
    }
    errors
}

fn applied(netlink: &mut Rtnetlink, interfaces: &str) {
    let errors = apply_all(netlink, interfaces);
    assert!(errors.is_empty(), "{interfaces}: {errors:?}");
}

/// Addresses, routes and masters, as lines.
fn seen(netlink: &mut Rtnetlink) -> Vec<String> {
    let links = netlink.links().unwrap();
    let name = |index: u32| {
        links
            .iter()
            .find(|link| link.index == index)
            .map_or("?", |link| link.name.as_str())
    };
    let mut lines: Vec<String> = links
        .iter()
        .filter(|link| !["lo", "p0", "p1"].contains(&link.name.as_str()))
        .map(|link| {
            let master = link
                .master
                .map(|index| format!(" in {}", name(index)))
                .unwrap_or_default();
            format!("{} {}{master}", link.name, link.mtu)
        })
        .collect();
    for address in netlink
        .addresses()
        .unwrap()
        .iter()
        .filter(|address| !address.link_local)
    {
        lines.push(format!("{} {}", name(address.link), address.cidr));
    }
    for route in netlink.own_routes().unwrap() {
        let table = match route.table {
            TABLE_MAIN => String::new(),
            table => format!(" in {table}"),
        };
        lines.push(format!(
            "route {} by {}{table}",
            route.destination,
            name(route.link)
        ));
    }
    for rule in netlink.own_rules().unwrap() {
        let family = if rule.ipv6 { 6 } else { 4 };
        lines.push(format!("rule{family} {rule}"));
    }
    lines.sort();
    lines
}

/// Of a plan with one address nothing but that address is in the kernel, whatever was there before.
fn leaves_one_address(netlink: &mut Rtnetlink) {
    applied(netlink, "eth0: {address: 10.8.0.3/24}, eth1: {dhcp: false}");
    let left = ["eth0 10.8.0.3/24", "eth0 1500", "eth1 1500"];
    assert_eq!(seen(netlink), left);
}

/// eth0 and eth1, whose other ends are up.
fn with_cards() -> Rtnetlink {
    let mut netlink = Rtnetlink::open().unwrap();
    for (name, name_of_peer) in [("eth0", "p0"), ("eth1", "p1")] {
        let peer = Peer {
            name: name_of_peer,
            mac: None,
            mtu: None,
            netns: None,
        };
        let link = NewLink::new(name, LinkKind::Veth(peer));
        netlink.create_link(&link).unwrap();
        let index = netlink.link(name_of_peer).unwrap().unwrap().index;
        let up = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        netlink.change_link(index, name_of_peer, &up).unwrap();
    }
    netlink
}

fn changes() {
    let mut netlink = with_cards();
    applied(
        &mut netlink,
        "eth0: {address: 10.8.0.2/24, gateway: 10.8.0.1, mtu: 1400}, eth1: {dhcp: false}",
    );
    assert_eq!(
        seen(&mut netlink),
        [
            "eth0 10.8.0.2/24",
            "eth0 1400",
            "eth1 1500",
            "route 0.0.0.0/0 by eth0"
        ]
    );
    // Another address; MTU and gateway are gone.
    leaves_one_address(&mut netlink);
    let bridge = "eth0: {bridge: br0}, br0: {address: 10.8.1.2/24}, eth1: {dhcp: false}";
    applied(&mut netlink, bridge);
    assert_eq!(
        seen(&mut netlink),
        [
            "br0 10.8.1.2/24",
            "br0 1500",
            "eth0 1500 in br0",
            "eth1 1500"
        ]
    );
    let vlan = |id: u16| {
        format!(
            "eth1: {{address: 10.8.2.2/24, vlans: '{id}:lan7'}}, lan7: {{address: 10.8.7.2/24}}"
        )
    };
    if apply_all(&mut netlink, &vlan(7)).is_empty() {
        // The same name, another number.
        let before = netlink.link("lan7").unwrap().unwrap().index;
        applied(&mut netlink, &vlan(8));
        assert_ne!(netlink.link("lan7").unwrap().unwrap().index, before);
    }
    // What somebody else has made stays.
    let own = NewLink::new("other", LinkKind::Bridge(BridgeOptions::default()));
    netlink.create_link(&own).unwrap();
    applied(&mut netlink, "eth1: {dhcp: false}");
    assert_eq!(seen(&mut netlink), ["eth0 1500", "eth1 1500", "other 1500"]);
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn what_a_plan_does_not_have_any_more_goes() {
    let namespace = new_netns().unwrap();
    in_netns(namespace.as_fd(), changes).unwrap();
}

fn tables() {
    let mut netlink = with_cards();
    // Two gateways, each for what comes from its own link; the second one is not next to its link's address.
    let tables = "eth0: {address: 10.8.0.2/24, gateway: 10.8.0.1, rules: [{from: 10.8.0.0/24, table: 1000}], \
         routes: [{to: default, via: 10.8.0.1, table: 1000}]}, \
         eth1: {address: 10.8.2.2/24, rules: [{mark: 7, priority: 90, table: 7}], routes: [{to: default, via: 10.8.9.1, table: 7}]}";
    for _ in 0..2 {
        applied(&mut netlink, tables);
        assert_eq!(
            seen(&mut netlink),
            [
                "eth0 10.8.0.2/24",
                "eth0 1500",
                "eth1 10.8.2.2/24",
                "eth1 1500",
                "route 0.0.0.0/0 by eth0",
                "route 0.0.0.0/0 by eth0 in 1000",
                "route 0.0.0.0/0 by eth1 in 7",
                "route 10.8.9.1/32 by eth1 in 7",
                "rule4 1000: from 10.8.0.0/24 table 1000",
                "rule4 90: mark 7 table 7",
                "rule6 90: mark 7 table 7",
            ]
        );
    }
    leaves_one_address(&mut netlink);
}

#[test]
#[ignore = "needs root: cargo test -- --include-ignored"]
fn tables_and_rules_come_and_go_with_the_plan() {
    let namespace = new_netns().unwrap();
    in_netns(namespace.as_fd(), tables).unwrap();
}
