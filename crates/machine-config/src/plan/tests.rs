//! Changes and when they hold.

use config::{CommandLine, Source, load};

use super::*;

fn tree(text: &str) -> Node {
    let source = Source {
        name: "t.yml",
        text,
    };
    load(&[source], &CommandLine::default()).tree
}

fn planned(before: &str, after: &str) -> Plan {
    Plan::new(&tree(before), &tree(after))
}

fn restart(names: &[&str]) -> When {
    When::Restart(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_class_of_change_has_its_time() {
    let services = |text: &str| format!("rancher: {{{text}}}");
    for (before, after, key, what, when) in [
        ("", "hostname: a", "hostname", What::Added, When::Live),
        ("hostname: a", "", "hostname", What::Removed, When::Live),
        (
            "",
            "rancher: {sysctl: {net.ipv4.ip_forward: 0}}",
            "rancher.sysctl.net.ipv4.ip_forward",
            What::Added,
            When::Live,
        ),
        (
            "rancher: {modules: [a]}",
            "rancher: {modules: [a, b]}",
            "rancher.modules",
            What::Changed,
            When::Live,
        ),
        (
            "rancher: {modules: [a]}",
            "",
            "rancher.modules",
            What::Removed,
            When::Reboot,
        ),
        (
            &services("network: {interfaces: {eth0.100: {address: 10.0.0.2/24}}}"),
            &services("network: {interfaces: {eth0.100: {address: 10.0.0.3/24}}}"),
            "rancher.network.interfaces.eth0.100.address",
            What::Changed,
            restart(&["network"]),
        ),
        (
            "",
            &services("network: {interfaces: {eth0: {gateway: 10.0.0.1}}}"),
            "rancher.network.interfaces.eth0.gateway",
            What::Added,
            restart(&["network"]),
        ),
        (
            "",
            &services("network: {dns: {nameservers: [1.1.1.1]}}"),
            "rancher.network.dns.nameservers",
            What::Added,
            restart(&["network"]),
        ),
        (
            "",
            &services("docker: {log_driver: none}"),
            "rancher.docker.log_driver",
            What::Added,
            restart(&["docker"]),
        ),
        (
            "",
            &services("network: {http_proxy: 'http://p'}"),
            "rancher.network.http_proxy",
            What::Added,
            restart(&["console", "docker"]),
        ),
        (
            "",
            &services("ssh: {port: 2222}"),
            "rancher.ssh.port",
            What::Added,
            restart(&["console"]),
        ),
        (
            "rancher: {network: {interfaces: {wg0: {wireguard: {peers: [{public_key: a}]}}}}}",
            "rancher: {network: {interfaces: {wg0: {wireguard: {peers: []}}}}}",
            "rancher.network.interfaces.wg0.wireguard.peers",
            What::Changed,
            restart(&["network"]),
        ),
        (
            "",
            &services("cloud_init: {datasources: [ec2]}"),
            "rancher.cloud_init.datasources",
            What::Added,
            When::Reboot,
        ),
        (
            &services("services: {a: {image: b}}"),
            &services("services: {a: {image: c}}"),
            "rancher.services.a",
            What::Changed,
            When::Live,
        ),
    ] {
        let plan = planned(before, after);
        assert_eq!(plan.changes.len(), 1, "{before} -> {after}: {plan:?}");
        let change = &plan.changes[0];
        assert_eq!(
            (change.key.as_str(), change.what, &change.when),
            (key, what, &when),
            "{before} -> {after}"
        );
        assert_eq!(change.at.to_string().split(':').next(), Some("t.yml"));
    }
}

#[test]
fn of_commands_of_the_network_only_the_firewall_is_said_to_be_undone() {
    let with = |yaml: &str| planned("", &format!("rancher: {{network: {{{yaml}}}}}")).outage();
    let says = |sentences: &[&str]| {
        sentences
            .iter()
            .any(|words| words.contains("only by a reboot"))
    };
    assert!(says(&with("post_cmds: [iptables -I INPUT -j DROP]")));
    assert!(says(&with("interfaces: {eth0: {pre_up: [x]}}")));
    assert!(!says(&with("interfaces: {eth0: {mtu: 1400}}")));
}

#[test]
fn services_restart_in_order_and_docker_follows_the_console() {
    let plan = planned(
        "",
        "rancher: {ssh: {port: 1}, network: {interfaces: {eth0: {mtu: 1400}}}}",
    );
    assert_eq!(plan.restarts(), ["network", "console", "docker"]);
    assert_eq!(plan.outage().len(), 3);
    assert!(
        plan.touches("rancher.network") && !plan.touches("rancher.net") && !plan.rebuilds_links()
    );
    assert!(
        planned(
            "",
            "rancher: {network: {interfaces: {eth0: {bond: bond0}}}}"
        )
        .rebuilds_links()
    );
    assert!(planned("", "hostname: a").outage().is_empty());
}

#[test]
fn the_plan_of_an_applied_plan_is_empty() {
    for text in [
        "",
        include_str!("../../../../examples/network.yml"),
        include_str!("../../../../examples/files-and-services.yml"),
        include_str!("../../../../qemu/src/tests/user_data/big.yml"),
    ] {
        let node = tree(text);
        // As PID 1 keeps it.
        let kept = config::parse("applied.yml", &config::emit::to_yaml(&node))
            .unwrap()
            .0;
        assert_eq!(Plan::new(&kept, &node).changes, [], "{text}");
        assert!(text.is_empty() || !Plan::new(&tree(""), &node).is_empty());
    }
}
