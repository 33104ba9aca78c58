//! The plan in the kernel, by rtnetlink(7).

use sys::netlink::{
    BondOptions, BridgeOptions, Cidr, Link, LinkChange, LinkKind, NewLink, Result, Route,
    Rtnetlink, Rule,
};

use crate::clean;
use crate::matching::Candidate;
use crate::plan::{LinkPlan, Plan, Role};
use crate::wireguard;

/// Links of containers and of the kernel itself.
const FOREIGN: &[&str] = &[
    "lo", "docker", "br-", "veth", "cni", "flannel", "cali", "virbr", "dummy", "wg", "tun", "tap",
    "ifb", "hwsim",
];

/// The links of the machine, as entries are matched with them.
///
/// # Errors
/// When the kernel does not answer.
pub fn candidates(netlink: &mut Rtnetlink) -> Result<Vec<Candidate>> {
    let links = netlink.links()?;
    Ok(links
        .iter()
        .filter(|link| !is_foreign(link))
        .map(candidate)
        .collect())
}

fn is_foreign(link: &Link) -> bool {
    FOREIGN.iter().any(|prefix| link.name.starts_with(prefix))
        || matches!(link.kind.as_str(), "veth" | "macvlan" | "ipvlan" | "ifb")
}

fn candidate(link: &Link) -> Candidate {
    Candidate {
        name: link.name.clone(),
        mac: link.mac.map(|mac| mac.to_string()),
        is_hardware: link.kind.is_empty(),
        is_vlan: link.kind == "vlan",
    }
}

/// Makes bridges, bonds, VLANs and WireGuard devices that are not there; the errors, each with the link's name.
pub fn make(netlink: &mut Rtnetlink, plan: &Plan) -> Vec<String> {
    let mut errors = Vec::new();
    for name in &plan.bridges {
        errors.extend(create(
            netlink,
            name,
            LinkKind::Bridge(BridgeOptions::default()),
        ));
        errors.extend(mark(netlink, plan, name));
    }
    for (name, options) in &plan.bonds {
        errors.extend(make_bond(netlink, name, options));
        errors.extend(mark(netlink, plan, name));
    }
    for vlan in &plan.vlans {
        let parent = match netlink.link(&vlan.parent) {
            Ok(Some(parent)) => parent,
            Ok(None) => {
                errors.push(format!("{}: there is no link {}", vlan.name, vlan.parent));
                continue;
            }
            Err(error) => {
                errors.push(format!("{}: {error}", vlan.name));
                continue;
            }
        };
        // A VLAN works only while its link is up.
        let up = LinkChange {
            up: Some(true),
            ..LinkChange::default()
        };
        errors.extend(
            netlink
                .change_link(parent.index, &parent.name, &up)
                .err()
                .map(|error| error.to_string()),
        );
        let kind = LinkKind::Vlan {
            parent: parent.index,
            id: vlan.id,
        };
        errors.extend(create(netlink, &vlan.name, kind));
        errors.extend(mark(netlink, plan, &vlan.name));
    }
    for (name, wanted) in &plan.wireguards {
        errors.extend(create(netlink, name, LinkKind::Wireguard));
        errors.extend(mark(netlink, plan, name));
        let set = wireguard::set(name, wanted);
        errors.extend(set.err().map(|error| format!("{name}: {error}")));
    }
    errors
}

/// So that a later plan that does not have the link knows that it may go.
fn mark(netlink: &mut Rtnetlink, plan: &Plan, name: &str) -> Option<String> {
    let marked = clean::mark_made(netlink, plan, name);
    marked.err().map(|error| error.to_string())
}

/// Makes a bond. The kernel's module makes bond0 by itself when it is loaded, perhaps by this very request, and a bond takes
/// its mode only while it is down and has no members (bonding.rst, "mode" and "max_bonds"): one like that is made again.
fn make_bond(netlink: &mut Rtnetlink, name: &str, options: &BondOptions) -> Option<String> {
    remove_idle_bond(netlink, name);
    create(netlink, name, LinkKind::Bond(options))?;
    remove_idle_bond(netlink, name);
    create(netlink, name, LinkKind::Bond(options))
}

fn remove_idle_bond(netlink: &mut Rtnetlink, name: &str) {
    if let Ok(Some(link)) = netlink.link(name)
        && link.kind == "bond"
        && !link.up
    {
        // Should it stay, making it again says why
        let _ = netlink.delete_link(name);
    }
}

fn create(netlink: &mut Rtnetlink, name: &str, kind: LinkKind<'_>) -> Option<String> {
    match netlink.link(name) {
        Ok(Some(link)) if link.kind == kind.name() => None,
        Ok(Some(link)) => Some(format!(
            "{name}: there is a link of this name, and it is a {}",
            if link.kind.is_empty() {
                "card"
            } else {
                &link.kind
            }
        )),
        Ok(None) => netlink
            .create_link(&NewLink::new(name, kind))
            .err()
            .map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

/// Gives a link what its plan says; the errors, one a step: each step that works helps.
pub fn configure(netlink: &mut Rtnetlink, plan: &LinkPlan) -> Vec<String> {
    let link = match netlink.link(&plan.name) {
        Ok(Some(link)) => link,
        Ok(None) => return vec![format!("{}: there is no such link", plan.name)],
        Err(error) => return vec![error.to_string()],
    };
    let mut errors = Vec::new();
    let mut step = |result: Result<()>| errors.extend(result.err().map(|error| error.to_string()));
    step(clean::mark_given(netlink, &link, plan));
    let mac = plan.mac.as_deref().map(str::parse);
    if let Some(Ok(mac)) = mac
        && link.mac != Some(mac)
    {
        // Many drivers take a new address only while the link is down.
        step(change(
            netlink,
            &link,
            LinkChange {
                up: Some(false),
                ..LinkChange::default()
            },
        ));
        step(change(
            netlink,
            &link,
            LinkChange {
                mac: Some(mac),
                ..LinkChange::default()
            },
        ));
    }
    if let Role::Member(master) = &plan.role {
        step(join(netlink, &link, master));
    }
    if let Some(mtu) = plan.mtu.filter(|mtu| *mtu != link.mtu) {
        step(change(
            netlink,
            &link,
            LinkChange {
                mtu: Some(mtu),
                ..LinkChange::default()
            },
        ));
    }
    if plan.role == Role::Static {
        step(netlink.flush_addresses(link.index, &link.name, &plan.addresses));
    }
    // Without addresses too: a bridge's or a VLAN's carrier.
    step(change(
        netlink,
        &link,
        LinkChange {
            up: Some(true),
            ..LinkChange::default()
        },
    ));
    for address in &plan.addresses {
        step(netlink.add_address(link.index, &link.name, *address));
    }
    for route in &plan.routes {
        step(add_route(netlink, &link, plan, route));
    }
    for rule in &plan.rules {
        step(add_rule(netlink, rule));
    }
    if let Some(Err(_)) = mac {
        errors.push(format!("{}: mac is not a hardware address", plan.name));
    }
    errors
}

fn change(netlink: &mut Rtnetlink, link: &Link, change: LinkChange<'_>) -> Result<()> {
    netlink.change_link(link.index, &link.name, &change)
}

/// A bond takes links that are down and have no addresses; a bridge takes any.
fn join(netlink: &mut Rtnetlink, link: &Link, master: &str) -> Result<()> {
    let Some(master) = netlink.link(master)? else {
        return Ok(()); // making it has failed, and that is said
    };
    if link.master == Some(master.index) {
        return Ok(());
    }
    netlink.flush_addresses(link.index, &link.name, &[])?;
    change(
        netlink,
        link,
        LinkChange {
            up: Some(false),
            ..LinkChange::default()
        },
    )?;
    change(
        netlink,
        link,
        LinkChange {
            master: Some(master.index),
            ..LinkChange::default()
        },
    )
}

/// The same rule again is fine.
fn add_rule(netlink: &mut Rtnetlink, rule: &Rule) -> Result<()> {
    match netlink.add_rule(rule) {
        Err(error) if error.is_present() => Ok(()),
        added => added,
    }
}

fn add_route(
    netlink: &mut Rtnetlink,
    link: &Link,
    plan: &LinkPlan,
    route: &crate::StaticRoute,
) -> Result<()> {
    if let Some(gateway) = route.gateway {
        let is_near = plan
            .addresses
            .iter()
            .any(|address| address.contains(gateway));
        let is_link_local =
            matches!(gateway, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
        if !is_near && !is_link_local {
            // A /32 with a gateway elsewhere, as some hosters give: the gateway is on the link all the same.
            netlink.add_route(&Route {
                table: route.table,
                ..Route::on_link(Cidr::host(gateway), link.index)
            })?;
        }
    }
    netlink.add_route(&Route {
        destination: route.destination,
        gateway: route.gateway,
        link: link.index,
        source: None,
        metric: route.metric,
        table: route.table,
    })
}
