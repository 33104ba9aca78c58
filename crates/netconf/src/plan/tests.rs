//! Texts of `rancher.network`, and the plan that follows.

use super::*;

fn plan(text: &str, links: &[&str]) -> Plan {
    let text = format!("rancher: {{network: {{{text}}}}}");
    let source = config::Source {
        name: "t",
        text: &text,
    };
    let loaded = config::load(&[source], &config::CommandLine::default());
    // What a rule of the schema reports is kept: the plan must do without.
    assert!(
        loaded
            .problems
            .iter()
            .all(|problem| problem.message.starts_with("expected")),
        "{:?}",
        loaded.problems
    );
    let links: Vec<Candidate> = links
        .iter()
        .map(|name| Candidate {
            name: (*name).to_owned(),
            mac: Some(format!("52:54:00:00:00:0{}", name.chars().last().unwrap())),
            is_hardware: true,
            is_vlan: false,
        })
        .collect();
    Plan::new(&loaded.config.rancher.network, &links)
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.links
        .iter()
        .map(|link| {
            let role = match &link.role {
                Role::Dhcp(_) => "dhcp".to_owned(),
                Role::Static => "static".to_owned(),
                Role::Member(master) => format!("in {master}"),
            };
            let addresses: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
            format!("{} {role} {}", link.name, addresses.join(" "))
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn without_entries_all_eth_links_ask() {
    assert_eq!(
        shown(&plan("", &["eth0", "eth1"])),
        ["eth0 dhcp", "eth1 dhcp"]
    );
}

#[test]
fn entries_say_what_their_links_become_and_others_are_left_alone() {
    let plan = plan(
        "interfaces: {eth0: {dhcp: true}, 'mac=52:54:00:00:00:01': {addresses: [10.0.0.2/24, 'fd00::2/64'], gateway: 10.0.0.1, gateway_ipv6: 'fd00::1', mtu: 1450}, eth2: {dhcp: false}}",
        &["eth0", "eth1", "eth2", "eth3"],
    );
    assert_eq!(
        shown(&plan),
        [
            "eth0 dhcp",
            "eth1 static 10.0.0.2/24 fd00::2/64",
            "eth2 static"
        ]
    );
    assert_eq!(plan.links[1].mtu, Some(1450));
    assert_eq!(plan.links[1].routes.len(), 2);
    assert_eq!(plan.problems, Vec::<String>::new());
}

/// RancherOS's TestNetwork: a bridge with a VLAN in it, and a bond.
#[test]
fn bridges_bonds_and_vlans_are_made_and_joined() {
    let plan = plan(
        "interfaces: {br0: {bridge: true, dhcp: true, vlans: '100:foobar'}, eth1: {vlans: 100, match: eth1}, eth1.100: {bridge: br0}, \
         bond0: {bond_opts: {mode: active-backup, miimon: 100}, address: 10.0.0.5/24}, eth6: {bond: bond0}, eth7: {bond: bond0}}",
        &["eth0", "eth1", "eth6", "eth7"],
    );
    assert_eq!(plan.problems, Vec::<String>::new());
    assert_eq!(
        shown(&plan),
        [
            "bond0 static 10.0.0.5/24",
            "br0 dhcp",
            "eth1 static",
            "eth1.100 in br0",
            "eth6 in bond0",
            "eth7 in bond0"
        ]
    );
    let vlans: Vec<String> = plan
        .vlans
        .iter()
        .map(|vlan| format!("{} on {} {}", vlan.name, vlan.parent, vlan.id))
        .collect();
    assert_eq!(vlans, ["eth1.100 on eth1 100", "foobar on br0 100"]);
    assert_eq!(plan.bonds.len(), 1);
}

#[test]
fn a_bad_entry_costs_itself_and_the_machine_stays_reachable() {
    let plan = plan(
        "interfaces: {eth0: {address: 10.0.0.300/24, gateway: nowhere}, eth1: {address: 10.0.1.2/24, vlans: '9999', bond_opts: {mode: odd}}}",
        &["eth0", "eth1"],
    );
    assert_eq!(shown(&plan), ["eth0 dhcp", "eth1 static 10.0.1.2/24"]);
    assert_eq!(plan.problems.len(), 5, "{:?}", plan.problems);
}

#[test]
fn names_that_no_link_has_leave_all_links_asking() {
    let plan = plan("interfaces: {ens3: {address: 10.0.0.2/24}}", &["eth0"]);
    assert_eq!(shown(&plan), ["eth0 dhcp"]);
    assert!(plan.problems[0].contains("no entry of interfaces fits a link of this machine (eth0)"));
}

#[test]
fn the_second_gateway_steps_back_and_says_so() {
    let plan = plan(
        "interfaces: {eth0: {address: 10.0.0.2/24, gateway: 10.0.0.1}, eth1: {address: 10.0.1.2/24, gateway: 10.0.1.1}, eth2: {address: 10.0.2.2/24, gateway: 10.0.2.1, metric: 50}, eth3: {address: 10.0.3.2/24, gateway: 10.0.3.1}}",
        &["eth0", "eth1", "eth2", "eth3"],
    );
    let metrics: Vec<u32> = plan
        .links
        .iter()
        .map(|link| link.routes[0].metric)
        .collect();
    assert_eq!(metrics, [0, 1024, 50, 1025]);
    assert_eq!(plan.problems.len(), 2);
}

#[test]
fn routes_have_destinations_gateways_and_metrics() {
    let plan = plan(
        "interfaces: {eth0: {address: 10.0.0.2/24, metric: 7, routes: [{to: 192.168.0.0/16, via: 10.0.0.9, metric: 5}, {to: default, via: 10.0.0.1}, {via: 10.0.0.1}, {to: 'fd00::/8', via: 10.0.0.1}]}}",
        &["eth0"],
    );
    let routes: Vec<String> = plan.links[0]
        .routes
        .iter()
        .map(|route| format!("{} {}", route.destination, route.metric))
        .collect();
    assert_eq!(routes, ["192.168.0.0/16 5", "0.0.0.0/0 7"]);
    assert_eq!(plan.problems.len(), 2, "{:?}", plan.problems);
}

/// A plan for what an earlier plan has made is the same plan: nothing is done twice, and a glob ends.
#[test]
fn planning_again_changes_nothing() {
    let text = "interfaces: {'eth*': {dhcp: true, vlans: '7'}, br0: {bridge: true}, bond0: {bond_opts: {mode: 1}}, eth1: {bond: bond0}}";
    let first = plan(text, &["eth0", "eth1"]);
    let source = format!("rancher: {{network: {{{text}}}}}");
    let loaded = config::load(
        &[config::Source {
            name: "t",
            text: &source,
        }],
        &config::CommandLine::default(),
    );
    let candidate = |name: &str, is_hardware: bool| Candidate {
        name: name.to_owned(),
        mac: None,
        is_hardware,
        is_vlan: name.contains('.'),
    };
    let there = [
        ("eth0", true),
        ("eth1", true),
        ("br0", false),
        ("bond0", false),
        ("eth0.7", false),
    ];
    let links: Vec<Candidate> = there
        .iter()
        .map(|(name, hardware)| candidate(name, *hardware))
        .collect();
    assert_eq!(Plan::new(&loaded.config.rancher.network, &links), first);
    assert_eq!(first.vlans.len(), 1);
}

/// What keeps a machine reachable when its entries name no address at all.
#[test]
fn a_machine_without_any_address_asks_by_dhcp() {
    for (text, links, expected) in [
        ("'*': {mtu: 1400}", &["eth0"][..], &["eth0 dhcp"][..]),
        (
            "eth0: {mtu: 1400}",
            &["eth0", "eth1"],
            &["eth0 dhcp", "eth1 dhcp"],
        ),
        (
            "eth0: {mtu: 1400}, eth1: {address: 10.0.0.2/24}",
            &["eth0", "eth1"],
            &["eth0 static", "eth1 static 10.0.0.2/24"],
        ),
        ("eth0: {dhcp: false}", &["eth0"], &["eth0 static"]),
        (
            "eth0: {bond: bond0}",
            &["eth0"],
            &["bond0 dhcp", "eth0 in bond0"],
        ),
        (
            "eth0: {bridge: br0}, br0: {dhcp: false}",
            &["eth0"],
            &["br0 static", "eth0 in br0"],
        ),
        (
            "eth0: {vlans: '7'}, eth0.7: {address: 10.0.0.2/24}",
            &["eth0"],
            &["eth0 static", "eth0.7 static 10.0.0.2/24"],
        ),
    ] {
        let plan = plan(&format!("interfaces: {{{text}}}"), links);
        assert_eq!(shown(&plan), expected, "{text}: {:?}", plan.problems);
        let is_said = plan
            .problems
            .iter()
            .any(|problem| problem.contains("gives no link an address"));
        assert_eq!(
            is_said,
            expected.iter().any(|link| link.contains("dhcp")),
            "{text}"
        );
    }
}

#[test]
fn rules_are_of_the_family_of_their_addresses() {
    let of = |rules: &str| {
        let text = format!("interfaces: {{eth0: {{address: 10.0.0.2/24, rules: [{rules}]}}}}");
        plan(&text, &["eth0"])
    };
    let good = of(
        "{from: 10.0.0.9/24, table: 5}, {to: 'fd00::/8', table: 6, priority: 7}, {mark: 1, table: 8}, {from: all, to: 1.2.3.4, table: 9}",
    );
    assert!(good.problems.is_empty(), "{:?}", good.problems);
    let rules = good.links[0].rules.iter();
    let words: Vec<String> = rules.map(|rule| format!("{} {rule}", rule.ipv6)).collect();
    assert_eq!(
        words,
        [
            "false 1000: from 10.0.0.0/24 table 5",
            "true 7: to fd00::/8 table 6",
            "false 1000: mark 1 table 8",
            "true 1000: mark 1 table 8",
            "false 1000: to 1.2.3.4/32 table 9",
        ]
    );
    let bad = of("{from: 10.0.0.0/8}, {from: 10.0.0.0/8, to: '::1', table: 5}, {table: 0}");
    assert_eq!(
        bad.problems,
        [
            "eth0: rules[0]: `table` is missing",
            "eth0: rules[1]: `from` and `to` are of different families",
            "eth0: rules[2]: table is out of range",
        ]
    );
}

#[test]
fn a_card_joins_its_network_and_has_the_addresses_of_one_of_them() {
    let networks = "wifi_networks: {home: {ssid: Home, psk: 12345678}, lab: {ssid: Lab, address: 10.9.0.2/24, gateway: 10.9.0.1}, bad: {psk: 12345678}}";
    let interfaces = "wlan0: {wifi_network: home}, wlan1: {wifi_network: lab}, wlan2: {wifi_network: home, dhcp: true, address: 10.8.0.2/24}, wlan3: {wifi_network: none, dhcp: true}, wlan4: {wifi_network: bad}";
    let plan = plan(
        &format!("interfaces: {{{interfaces}}}, {networks}"),
        &["wlan0", "wlan1", "wlan2", "wlan3", "wlan4", "eth0"],
    );
    assert_eq!(
        shown(&plan),
        [
            "wlan0 dhcp",
            "wlan1 static 10.9.0.2/24",
            "wlan2 dhcp 10.8.0.2/24",
            "wlan3 dhcp",
            "wlan4 dhcp"
        ]
    );
    let joins: Vec<bool> = plan.links.iter().map(|link| link.wifi.is_some()).collect();
    assert_eq!(joins, [true, true, true, false, false]);
    assert_eq!(plan.links[1].routes.len(), 1);
    assert_eq!(
        plan.problems,
        [
            "wlan3: wifi_network: none is not in wifi_networks",
            "wlan4: wifi_networks.bad: ssid is missing"
        ]
    );
}
