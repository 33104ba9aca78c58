//! What stands in resolv.conf, and in which order.

use super::*;

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn learnt(link: &str, metric: u32, servers: &[&str], search: &[&str]) -> Learnt {
    Learnt {
        link: link.into(),
        protocol: "dhcp".into(),
        metric,
        servers: words(servers),
        search: words(search),
    }
}

fn resolver(network: &str) -> Resolver {
    let text = format!(
        "rancher: {{network: {{{network}}}, defaults: {{network: {{dns: {{nameservers: [8.8.8.8]}}}}}}}}"
    );
    let source = config::Source {
        name: "t",
        text: &text,
    };
    let loaded = config::load(&[source], &config::CommandLine::default());
    let rancher = &loaded.config.rancher;
    let link = |name: &str| crate::matching::Candidate {
        name: name.into(),
        mac: None,
        is_hardware: true,
        is_vlan: false,
    };
    let plan = Plan::new(&rancher.network, &["eth0", "eth1", "eth2"].map(link));
    let mut resolver = Resolver::new(&rancher.network, &rancher.defaults.network).with_links(&plan);
    resolver.problems.extend(plan.problems);
    resolver
}

#[test]
fn bad_words_are_left_out_and_named() {
    let resolver = resolver(
        "dns: {nameservers: [10.0.0.1, 'fe80::1%eth0', dns.example.org], search: ['a.b, c.d', \"x\\ny\"]}, \
         interfaces: {eth0: {dhcp: true, dns: {nameservers: [nowhere], search: ['~corp.example']}}}",
    );
    assert_eq!(
        resolver.merge(&[]).text(),
        format!("{HEADER}\nsearch a.b c.d\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\n")
    );
    assert_eq!(resolver.problems.len(), 4, "{:?}", resolver.problems);
    assert_eq!(
        resolver.problems[3],
        "eth0: dns.search: \"~corp.example\" is not a domain"
    );
    assert!(has_server("search a\nnameserver 1.1.1.1\n") && !has_server("# nameserver x\n"));
}

#[test]
fn links_are_in_the_order_of_their_metrics_and_the_configuration_comes_first() {
    let resolver = resolver(
        "interfaces: {eth0: {address: 10.0.0.2/24, dns: {nameservers: [10.0.0.1], search: [zero]}}, \
         eth1: {dhcp: true, metric: 50, dns: {nameservers: [10.1.0.1], search: [one, zero]}}}",
    );
    let said = [
        learnt("eth2", 1004, &["10.2.0.1"], &["two"]),
        learnt("eth1", 50, &["10.1.0.1", "10.1.0.2"], &["learnt"]),
    ];
    let merged = resolver.merge(&said);
    // eth1 has the better metric, and eth0 no gateway.
    assert_eq!(merged.servers, ["10.1.0.1", "10.0.0.1", "10.1.0.2"]);
    assert_eq!(merged.left_out, ["10.2.0.1"]);
    assert_eq!(merged.search, ["one", "zero", "learnt", "two"]);
    assert!(merged.text().ends_with("asks 3: 10.2.0.1\n"));
}

#[test]
fn the_machines_own_servers_replace_what_is_learnt() {
    let said = [learnt("eth0", 1, &["10.1.0.1"], &["learnt"])];
    let fixed = resolver("dns: {nameservers: [10.0.0.1]}").merge(&said);
    assert_eq!(
        (fixed.servers, fixed.search),
        (words(&["10.0.0.1"]), vec![])
    );
    let search = resolver("dns: {search: [own]}").merge(&said);
    assert_eq!(search.servers, ["10.1.0.1"]);
    assert_eq!(search.search, ["own"]);
}

#[test]
fn a_link_may_refuse_what_it_learns() {
    let said = [
        learnt("eth0", 1, &["10.0.0.1"], &["zero"]),
        learnt("eth1", 2, &["10.1.0.1"], &["one"]),
    ];
    let merged = resolver(
        "interfaces: {eth0: {dhcp: true, dns: {dhcp_nameservers: false}}, eth1: {dhcp: true, dns: {dhcp_search: false}}}",
    )
    .merge(&said);
    assert_eq!(merged.servers, ["10.1.0.1"]);
    assert_eq!(merged.search, ["zero"]);
}

#[test]
fn defaults_are_for_a_machine_that_was_told_none() {
    let mut resolver = resolver("");
    assert_eq!(resolver.merge(&[]).servers, [""; 0]);
    let mut answer = learnt("eth0", 1, &[], &[]);
    assert_eq!(
        resolver.merge(std::slice::from_ref(&answer)).servers,
        ["8.8.8.8"]
    );
    answer.protocol = "ra".into();
    answer.search = words(&["a"]);
    let said = [answer];
    assert_eq!(resolver.merge(&said).servers, [""; 0]);
    resolver.has_waited = true;
    assert_eq!(resolver.merge(&said).servers, ["8.8.8.8"]);
}
