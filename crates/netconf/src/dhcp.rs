//! dhcpcd's configuration for the links that ask for addresses (dhcpcd.conf(5)).

use crate::plan::{Plan, Role};

/// The lines that are added to the image's own configuration; none when no link asks.
pub fn settings(plan: &Plan) -> Option<String> {
    let links: Vec<_> = plan.dhcp_links().collect();
    let local = plan
        .links
        .iter()
        .filter(|link| link.role == Role::Static && link.ipv4ll && link.addresses.is_empty());
    let local: Vec<_> = local.collect();
    if links.is_empty() && local.is_empty() {
        return None;
    }
    let names: Vec<&str> = links
        .iter()
        .chain(&local)
        .map(|link| link.name.as_str())
        .collect();
    let mut lines = vec![format!("allowinterfaces {}", names.join(" "))];
    for link in &links {
        lines.push(format!("interface {}", link.name));
        lines.extend(link.metric.map(|metric| format!("metric {metric}")));
        if link.refuses_name {
            lines.push("nooption host_name".to_owned());
        }
    }
    for link in &local {
        lines.push(format!("interface {}", link.name));
        lines.extend([
            "nodhcp".to_owned(),
            "nodhcp6".to_owned(),
            "ipv4ll".to_owned(),
        ]);
    }
    Some(lines.join("\n") + "\n")
}

/// Words of `dhcp_args`, for the first link that has some: RancherOS ran one dhcpcd a link, and here one serves all.
pub fn arguments(plan: &Plan) -> Vec<String> {
    let own = plan.dhcp_links().find_map(|link| match &link.role {
        Role::Dhcp(Some(arguments)) => config::words::split(arguments).ok(),
        _ => None,
    });
    // Its first word was the program.
    let mut words = own.unwrap_or_default();
    if words.first().is_some_and(|word| word.ends_with("dhcpcd")) {
        words.remove(0);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::Candidate;

    fn plan(interfaces: &str) -> Plan {
        let text = format!("rancher: {{network: {{interfaces: {{{interfaces}}}}}}}");
        let loaded = config::load(
            &[config::Source {
                name: "t",
                text: &text,
            }],
            &config::CommandLine::default(),
        );
        let link = |name: &str| Candidate {
            name: name.into(),
            mac: None,
            is_hardware: true,
            is_vlan: false,
        };
        Plan::new(
            &loaded.config.rancher.network,
            &["eth0", "eth1", "eth2"].map(link),
        )
    }

    #[test]
    fn only_links_that_ask_are_named() {
        let plan = plan(
            "eth0: {dhcp: true, metric: 50, dhcp_hostname: false}, eth1: {address: 10.0.0.2/24}, eth2: {ipv4ll: true}",
        );
        assert_eq!(
            settings(&plan).unwrap(),
            "allowinterfaces eth0 eth2\ninterface eth0\nmetric 50\nnooption host_name\ninterface eth2\nnodhcp\nnodhcp6\nipv4ll\n"
        );
        assert_eq!(
            settings(&super::tests::plan("eth0: {address: 10.0.0.2/24}")),
            None
        );
    }

    #[test]
    fn own_arguments_are_words_without_the_program() {
        assert_eq!(
            arguments(&plan(
                "eth0: {dhcp: true, dhcp_args: 'dhcpcd -4 --timeout 5'}"
            )),
            ["-4", "--timeout", "5"]
        );
        assert!(arguments(&plan("eth0: {dhcp: true}")).is_empty());
    }
}
