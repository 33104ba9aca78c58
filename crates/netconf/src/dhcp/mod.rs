//! dhcpcd's configuration for the links that ask for addresses (dhcpcd.conf(5)).

mod options;

use crate::plan::{LinkPlan, Plan, Role};

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
        if shared(plan).is_none() {
            lines.extend(options::of_link(&words(link).unwrap_or_default()).0);
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

/// Words of dhcpcd's command line: those of `dhcp_args` that are the same for every link. RancherOS ran one dhcpcd a link, and here one
/// serves all, so that those of a single link stand in its block of the configuration.
pub fn arguments(plan: &Plan) -> Vec<String> {
    shared(plan).unwrap_or_default()
}

/// What of `dhcp_args` is not obeyed, as `LINK: words`.
pub(crate) fn problems(plan: &Plan) -> Vec<String> {
    let is_shared = shared(plan).is_some();
    let mut problems = Vec::new();
    for link in plan.dhcp_links() {
        match words(link) {
            Err(error) => problems.push(format!("{}: dhcp_args: {error}", link.name)),
            Ok(words) if !is_shared => {
                let refused = options::of_link(&words).1.into_iter();
                problems.extend(refused.map(|word| {
                    format!("{}: dhcp_args: {word:?} is not an option of a single link, and other links have other options: it is ignored", link.name)
                }));
            }
            Ok(_) => {}
        }
    }
    problems
}

/// The words that all links have, if they have the same ones.
fn shared(plan: &Plan) -> Option<Vec<String>> {
    let mut all = plan
        .dhcp_links()
        .map(|link| words(link).unwrap_or_default());
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// Words of a link's `dhcp_args`. Their first one was the program.
fn words(link: &LinkPlan) -> Result<Vec<String>, String> {
    let Role::Dhcp(Some(arguments)) = &link.role else {
        return Ok(Vec::new());
    };
    let mut words = config::words::split(arguments).map_err(|error| error.to_string())?;
    if words.first().is_some_and(|word| word.ends_with("dhcpcd")) {
        words.remove(0);
    }
    Ok(words)
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
    fn arguments_of_one_link_are_not_those_of_another() {
        let both =
            plan("eth0: {dhcp: true, dhcp_args: 'dhcpcd -4'}, eth1: {dhcp: true, dhcp_args: '-4'}");
        assert_eq!(arguments(&both), ["-4"]);
        assert_eq!(
            settings(&both).unwrap(),
            "allowinterfaces eth0 eth1\ninterface eth0\ninterface eth1\n"
        );
        let differ = plan(
            "eth0: {dhcp: true}, eth1: {dhcp: true, dhcp_args: 'dhcpcd -MA4 -t 5 --nohook=mtu -I a --release'}, eth2: {dhcp: true, dhcp_args: \"'\"}",
        );
        assert!(arguments(&differ).is_empty());
        assert_eq!(
            settings(&differ).unwrap(),
            "allowinterfaces eth0 eth1 eth2\ninterface eth0\ninterface eth1\nnoarp\nipv4only\ntimeout 5\nnohook mtu\nclientid a\ninterface eth2\n"
        );
        let said: Vec<&String> = differ.problems.iter().collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with("eth1: dhcp_args: \"--release\" is not an option of a single link"),
            "{said:?}"
        );
        assert!(said[1].starts_with("eth2: dhcp_args: "), "{said:?}");
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
