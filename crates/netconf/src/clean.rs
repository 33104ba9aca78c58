//! What an earlier plan has made, and the present one does not have any more, goes.
//!
//! The kernel itself keeps the record: a link that was given something carries a mark in its free text (`ip link`, alias), which
//! outlives this program and ends with the link. What carries no mark is somebody else's and stays.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use sys::netlink::{Link, LinkChange, Result, Rtnetlink, Rule};

use crate::plan::{LinkPlan, Plan, Role};

/// The first word of a mark.
const MARK: &str = "rancher.network";

/// What a link's mark says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mark {
    /// Of what the link was made from, when it was made.
    made: Option<u64>,
    /// Its MTU before it was changed.
    mtu: Option<u32>,
}

impl Mark {
    fn read(link: &Link) -> Option<Mark> {
        let mut words = link.alias.as_deref()?.split(' ');
        if words.next() != Some(MARK) {
            return None;
        }
        let mut mark = Mark::default();
        for word in words {
            match word.split_once('=') {
                Some(("made", hash)) => mark.made = u64::from_str_radix(hash, 16).ok(),
                Some(("mtu", mtu)) => mark.mtu = mtu.parse().ok(),
                _ => {}
            }
        }
        Some(mark)
    }

    fn text(self) -> String {
        let made = self.made.map(|hash| format!(" made={hash:x}"));
        let mtu = self.mtu.map(|mtu| format!(" mtu={mtu}"));
        [MARK, &made.unwrap_or_default(), &mtu.unwrap_or_default()].concat()
    }
}

impl Plan {
    /// What a link is made from; none when the plan does not make it.
    fn made_from(&self, name: &str) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        if let Some(options) = self.bonds.get(name) {
            format!("{options:?}").hash(&mut hasher);
        } else if let Some(vlan) = self.vlans.iter().find(|vlan| vlan.name == name) {
            (&vlan.parent, vlan.id).hash(&mut hasher);
        } else if self.wireguards.contains_key(name) {
            "wireguard".hash(&mut hasher); // keys and peers are set again; the device stays
        } else if !self.bridges.contains(name) {
            return None;
        }
        Some(hasher.finish())
    }
}

/// Takes away links, addresses, routes and sizes that an earlier plan gave and this one does not; the errors.
///
/// To be called before links are made: one that is to be made of something else goes first.
pub fn clean(netlink: &mut Rtnetlink, plan: &Plan) -> Vec<String> {
    let links = match netlink.links() {
        Ok(links) => links,
        Err(error) => return vec![error.to_string()],
    };
    let mut errors = strip_rules(netlink, plan);
    for link in &links {
        let Some(mark) = Mark::read(link) else {
            continue;
        };
        let result = match mark.made {
            Some(made) if plan.made_from(&link.name) != Some(made) => {
                // Its members and VLANs are free, or gone, with it.
                netlink.delete_link(&link.name)
            }
            _ => strip(netlink, link, mark, plan),
        };
        errors.extend(result.err().map(|error| error.to_string()));
    }
    errors
}

/// Takes away rules that the plan does not have.
fn strip_rules(netlink: &mut Rtnetlink, plan: &Plan) -> Vec<String> {
    let rules = match netlink.own_rules() {
        Ok(rules) => rules,
        Err(error) => return vec![error.to_string()],
    };
    let is_planned = |rule: &Rule| plan.links.iter().any(|link| link.rules.contains(rule));
    let gone = rules.iter().filter(|rule| !is_planned(rule));
    gone.filter_map(|rule| netlink.delete_rule(rule).err())
        .map(|error| error.to_string())
        .collect()
}

/// Takes away what a link has and its plan does not.
fn strip(netlink: &mut Rtnetlink, link: &Link, mark: Mark, plan: &Plan) -> Result<()> {
    let planned = plan.links.iter().find(|planned| planned.name == link.name);
    let is_member = planned.is_some_and(|planned| matches!(planned.role, Role::Member(_)));
    let change = |change: LinkChange<'_>, netlink: &mut Rtnetlink| {
        netlink.change_link(link.index, &link.name, &change)
    };
    if link.master.is_some() && !is_member {
        change(
            LinkChange {
                master: Some(0),
                ..LinkChange::default()
            },
            netlink,
        )?;
    }
    for route in netlink.own_routes()? {
        let is_planned = planned.is_some_and(|planned| has_route(planned, &route));
        if route.link == link.index && !is_planned {
            netlink.delete_route(&route)?;
        }
    }
    for address in netlink.addresses()? {
        let is_planned = planned.is_some_and(|planned| planned.addresses.contains(&address.cidr));
        if address.link == link.index && address.permanent && !address.link_local && !is_planned {
            netlink.delete_address(link.index, &link.name, address.cidr)?;
        }
    }
    let mut left = mark;
    if let Some(mtu) = mark.mtu
        && planned.is_none_or(|planned| planned.mtu.is_none())
    {
        change(
            LinkChange {
                mtu: Some(mtu),
                ..LinkChange::default()
            },
            netlink,
        )?;
        left.mtu = None;
    }
    let text = if planned.is_some() || left.made.is_some() {
        left.text()
    } else {
        String::new()
    };
    if link.alias.as_deref() != Some(text.as_str()) {
        change(
            LinkChange {
                alias: Some(&text),
                ..LinkChange::default()
            },
            netlink,
        )?;
    }
    Ok(())
}

/// Whether a route is of the plan, or the way to a gateway of the plan that is not near.
fn has_route(planned: &LinkPlan, route: &sys::netlink::Route) -> bool {
    planned.routes.iter().any(|known| {
        let is_it = known.destination.network() == route.destination
            && known.gateway == route.gateway
            && known.table == route.table
            && (known.metric == route.metric || known.destination.is_ipv6());
        let is_way = route.gateway.is_none()
            && known.table == route.table
            && known
                .gateway
                .is_some_and(|gateway| route.destination.contains(gateway));
        is_it || is_way
    })
}

/// Marks a link that was made.
pub(crate) fn mark_made(netlink: &mut Rtnetlink, plan: &Plan, name: &str) -> Result<()> {
    let Some(link) = netlink.link(name)? else {
        return Ok(());
    };
    let mark = Mark {
        made: plan.made_from(name),
        ..Mark::read(&link).unwrap_or_default()
    };
    set(netlink, &link, mark)
}

/// Marks a link that is given something, before it is.
pub(crate) fn mark_given(netlink: &mut Rtnetlink, link: &Link, plan: &LinkPlan) -> Result<()> {
    let is_given = plan.role == Role::Static
        || matches!(plan.role, Role::Member(_))
        || plan.mtu.is_some()
        || !plan.addresses.is_empty()
        || !plan.routes.is_empty();
    if !is_given {
        return Ok(());
    }
    let mut mark = Mark::read(link).unwrap_or_default();
    if plan.mtu.is_some_and(|mtu| mtu != link.mtu) {
        mark.mtu = mark.mtu.or(Some(link.mtu));
    }
    set(netlink, link, mark)
}

fn set(netlink: &mut Rtnetlink, link: &Link, mark: Mark) -> Result<()> {
    let text = mark.text();
    if link.alias.as_deref() == Some(text.as_str()) {
        return Ok(());
    }
    let change = LinkChange {
        alias: Some(&text),
        ..LinkChange::default()
    };
    netlink.change_link(link.index, &link.name, &change)
}
