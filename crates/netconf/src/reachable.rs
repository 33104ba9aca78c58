//! A machine that no entry gives an address is locked away from its owner: it asks by DHCP after all.

use std::collections::BTreeMap;

use config::cloud_config::Interface;

use crate::matching::{self, Candidate};
use crate::plan::{LinkPlan, Plan, Role};

/// Lets links ask by DHCP when the plan gives no link an address: the hardware first; where all of it is in bonds and
/// bridges, these. An entry that says `dhcp: false` is obeyed.
///
/// `links` are those of the machine and those that the plan makes.
pub(crate) fn ensure(plan: &mut Plan, entries: &BTreeMap<String, Interface>, links: &[Candidate]) {
    // A tunnel needs another link's address.
    let is_tunnel = |link: &LinkPlan| plan.wireguards.contains_key(&link.name);
    let mut links_of_plan = plan.links.iter();
    if links_of_plan.any(|link| gives_an_address(link) && !is_tunnel(link)) {
        return;
    }
    let may_ask = |link: &&Candidate| {
        let refused =
            matching::entry_for(entries, link).is_some_and(|(_, entry)| entry.dhcp == Some(false));
        let is_member = plan
            .links
            .iter()
            .any(|planned| planned.name == link.name && matches!(planned.role, Role::Member(_)));
        !refused && !is_member
    };
    let free: Vec<&Candidate> = links.iter().filter(may_ask).collect();
    let mut asking: Vec<String> = names(&free, |link| link.is_hardware);
    if asking.is_empty() {
        asking = names(&free, |link| {
            plan.bonds.contains_key(&link.name) || plan.bridges.contains(&link.name)
        });
    }
    if asking.is_empty() {
        return;
    }
    plan.problems.push(format!(
        "interfaces gives no link an address: {} by DHCP, unless its entry says dhcp: false",
        match asking.as_slice() {
            [one] => format!("{one} asks"),
            several => format!("{} ask", several.join(", ")),
        }
    ));
    for name in asking {
        match plan.links.iter_mut().find(|planned| planned.name == name) {
            Some(planned) => planned.role = Role::Dhcp(None),
            None => plan.links.push(LinkPlan {
                name,
                role: Role::Dhcp(None),
                ..LinkPlan::default()
            }),
        }
    }
}

fn gives_an_address(link: &LinkPlan) -> bool {
    let is_asked = matches!(link.role, Role::Dhcp(_)) || link.ipv4ll;
    link.name != "lo" && (is_asked || !link.addresses.is_empty())
}

fn names(links: &[&Candidate], fits: impl Fn(&Candidate) -> bool) -> Vec<String> {
    links
        .iter()
        .filter(|link| fits(link))
        .map(|link| link.name.clone())
        .collect()
}
