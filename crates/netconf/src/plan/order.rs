//! Which link is used first: metrics of default routes.

use std::collections::BTreeSet;

use super::{LinkPlan, Plan, Role};

/// First metric given to further default routes of one family, so that they do not fight.
const FURTHER_GATEWAY: u32 = 1024;
/// From here on dhcpcd numbers links that are given no metric (dhcpcd.conf(5), metric).
const DHCP_METRIC: u32 = 1000;

impl LinkPlan {
    /// Metric of what leaves the machine through it; a link without a gateway comes last.
    pub(crate) fn order(&self) -> u32 {
        let routes = self.routes.iter();
        let gateways = routes.filter(|route| route.destination.prefix() == 0);
        let own = gateways.map(|route| route.metric).min();
        match &self.role {
            Role::Dhcp(_) => self.metric.or(own).unwrap_or(DHCP_METRIC),
            _ => own.unwrap_or(u32::MAX),
        }
    }
}

impl Plan {
    /// Two default routes of one family and table with the same metric would replace each other: the later one steps back.
    pub(super) fn settle_gateways(&mut self) {
        let mut taken: BTreeSet<(u32, bool, u32)> = BTreeSet::new();
        let mut problems = Vec::new();
        for link in &mut self.links {
            for route in link
                .routes
                .iter_mut()
                .filter(|route| route.destination.prefix() == 0)
            {
                let of = |metric: u32| (route.table, route.destination.is_ipv6(), metric);
                if !taken.insert(of(route.metric)) {
                    while !taken.insert(of(route.metric.max(FURTHER_GATEWAY))) {
                        route.metric = route.metric.max(FURTHER_GATEWAY) + 1;
                    }
                    route.metric = route.metric.max(FURTHER_GATEWAY);
                    problems.push(format!("{}: another link has a gateway too: this one has metric {} and is used when the other is down", link.name, route.metric));
                }
            }
        }
        self.problems.extend(problems);
    }
}
