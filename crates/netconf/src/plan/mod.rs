//! What each link becomes.

mod order;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use config::cloud_config::{Command, Interface, Network};
use sys::netlink::{BondOptions, Cidr, Rule, TABLE_MAIN};

use crate::dhcp;
use crate::matching::{self, Candidate};
use crate::reachable;
use crate::resolver::LinkDns;
use crate::values::{cidr, everything, is_name, rules, static_route, vlans};
use crate::wifi;
use crate::wireguard::{self, Wireguard};

/// Everything `rancher.network.interfaces` asks for on this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Bridges to make.
    pub bridges: BTreeSet<String>,
    /// Bonds to make, with their options.
    pub bonds: BTreeMap<String, BondOptions>,
    /// VLANs to make.
    pub vlans: Vec<Vlan>,
    /// WireGuard devices to make.
    pub wireguards: BTreeMap<String, Wireguard>,
    /// What is done with links, in order.
    pub links: Vec<LinkPlan>,
    /// What was wrong with entries, each with its key.
    pub problems: Vec<String>,
}

/// A VLAN on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vlan {
    /// Name of the new link.
    pub name: String,
    /// The link that carries it.
    pub parent: String,
    /// Its number.
    pub id: u16,
}

/// Who gives a link its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Role {
    /// dhcpcd, with these options in place of the usual ones when there are some.
    Dhcp(Option<String>),
    /// The plan.
    #[default]
    Static,
    /// Nobody: it belongs to this bridge or bond.
    Member(String),
}

/// One link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkPlan {
    /// Its name.
    pub name: String,
    /// Who gives it its addresses.
    pub role: Role,
    /// Addresses that it gets; with DHCP next to the server's.
    pub addresses: Vec<Cidr>,
    /// Routes through it.
    pub routes: Vec<StaticRoute>,
    /// What is routed by other tables than the main one.
    pub rules: Vec<Rule>,
    /// MTU in bytes.
    pub mtu: Option<u32>,
    /// Hardware address to set.
    pub mac: Option<String>,
    /// Whether it takes a link-local IPv4 address when it has no other.
    pub ipv4ll: bool,
    /// Metric for the routes of DHCP.
    pub metric: Option<u32>,
    /// Whether the name that a DHCP server gives is refused.
    pub refuses_name: bool,
    /// Its name servers and search domains.
    pub dns: LinkDns,
    /// wpa_supplicant's configuration, with secrets, for a card that joins a network.
    pub wifi: Option<String>,
    /// Commands before.
    pub pre_up: Vec<Command>,
    /// Commands after.
    pub post_up: Vec<Command>,
}

/// A route through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StaticRoute {
    /// Where to.
    pub destination: Cidr,
    /// Next hop.
    pub gateway: Option<IpAddr>,
    /// Lower wins; 0 is the best.
    pub metric: u32,
    /// The table that it stands in.
    pub table: u32,
}

impl Plan {
    /// Plans for the links that there are. Bonds, bridges and VLANs of the plan count as links too.
    ///
    /// Without entries every link called `eth*` has DHCP, as in RancherOS; when no entry fits any link, all hardware has.
    pub fn new(network: &Network, links: &[Candidate]) -> Plan {
        let mut plan = Plan::default();
        let mut entries = network.interfaces.clone();
        if entries.is_empty() {
            let dhcp = Interface {
                dhcp: Some(true),
                ..Interface::default()
            };
            entries.insert("eth*".to_owned(), dhcp);
        }
        let (wifi, problems) = wifi::plan(&mut entries, &network.wifi_networks);
        plan.problems = problems;
        let all = plan.virtual_links(&entries, links);
        let mut fits_one = false;
        for link in &all {
            if let Some((key, entry)) = matching::entry_for(&entries, link) {
                fits_one |= link.is_hardware;
                let mut planned = plan.link(key, entry, link);
                planned.wifi = wifi.get(key).cloned();
                plan.links.push(planned);
            }
        }
        let hardware = links.iter().filter(|link| link.is_hardware);
        if !fits_one && hardware.clone().next().is_some() {
            let names: Vec<&str> = hardware.clone().map(|link| link.name.as_str()).collect();
            plan.problems.push(format!("no entry of interfaces fits a link of this machine ({}): all of them ask for addresses by DHCP", names.join(", ")));
            let dhcp = Interface {
                dhcp: Some(true),
                ..Interface::default()
            };
            for link in hardware {
                let planned = plan.link(&link.name, &dhcp, link);
                plan.links.push(planned);
            }
        }
        reachable::ensure(&mut plan, &entries, &all);
        // In one order, whatever the kernel's is today.
        plan.links.sort_by(|a, b| a.name.cmp(&b.name));
        plan.vlans.sort_by(|a, b| a.name.cmp(&b.name));
        plan.settle_gateways();
        plan.problems.extend(dhcp::problems(&plan));
        plan
    }

    /// Names of links that dhcpcd manages.
    pub fn dhcp_links(&self) -> impl Iterator<Item = &LinkPlan> {
        self.links
            .iter()
            .filter(|link| matches!(link.role, Role::Dhcp(_)))
    }

    /// The machine's links and those that the entries make: bonds and bridges first, then VLANs on any of them.
    fn virtual_links(
        &mut self,
        entries: &BTreeMap<String, Interface>,
        links: &[Candidate],
    ) -> Vec<Candidate> {
        let mut all = links.to_vec();
        for (key, entry) in entries {
            let name = matching::pattern(key, entry);
            match entry.bridge.as_deref() {
                Some("true") if is_name(name) => {
                    self.bridges.insert(name.to_owned());
                }
                Some("true") => self.problem(key, "bridge: true needs the name of the bridge"),
                Some("" | "false") | None => {}
                Some(bridge) if is_name(bridge) => {
                    self.bridges.insert(bridge.to_owned());
                }
                Some(_) => self.problem(key, "bridge is not a name of a link"),
            }
            if let Some(bond) = entry.bond.as_deref().filter(|bond| !bond.is_empty()) {
                if is_name(bond) {
                    self.bonds.entry(bond.to_owned()).or_default();
                } else {
                    self.problem(key, "bond is not a name of a link");
                }
            }
            if !entry.bond_opts.is_empty() && is_name(name) {
                let mut options = BondOptions::default();
                for (option, value) in &entry.bond_opts {
                    if let Err(error) = options.set(option, value.as_deref().unwrap_or("")) {
                        self.problem(key, &format!("bond_opts: {error}"));
                    }
                }
                self.bonds.insert(name.to_owned(), options);
            }
            if let Some(wanted) = &entry.wireguard {
                self.wireguard(key, name, wanted);
            }
        }
        let made: Vec<String> = self
            .bridges
            .iter()
            .chain(self.bonds.keys())
            .chain(self.wireguards.keys())
            .cloned()
            .collect();
        all.extend(
            made.into_iter()
                .filter(|name| !links.iter().any(|link| link.name == *name))
                .map(virtual_link),
        );
        let parents = all.clone();
        for parent in parents.iter().filter(|parent| !parent.is_vlan) {
            let Some((key, entry)) = matching::entry_for(entries, parent) else {
                continue;
            };
            let (vlans, problems) = vlans(&parent.name, entry.vlans.as_deref().unwrap_or(""));
            for error in problems {
                self.problem(key, &error);
            }
            for vlan in vlans {
                if !all.iter().any(|link| link.name == vlan.name) {
                    all.push(virtual_link(vlan.name.clone()));
                }
                self.vlans.push(vlan);
            }
        }
        all
    }

    /// A device without a usable key, or with a name that no link can have, is not made.
    fn wireguard(&mut self, key: &str, name: &str, wanted: &config::cloud_config::Wireguard) {
        if !is_name(name) {
            return self.problem(key, "wireguard needs the name of the link");
        }
        let (device, problems) = wireguard::plan(wanted);
        for problem in problems {
            self.problem(key, &format!("wireguard: {problem}"));
        }
        self.wireguards
            .extend(device.map(|device| (name.to_owned(), device)));
    }

    fn problem(&mut self, key: &str, message: &str) {
        self.problems.push(format!("{key}: {message}"));
    }

    fn link(&mut self, key: &str, entry: &Interface, link: &Candidate) -> LinkPlan {
        let mut addresses = Vec::new();
        for text in entry.address.iter().chain(&entry.addresses) {
            match cidr(text) {
                Ok(address) if addresses.contains(&address) => {}
                Ok(address) => addresses.push(address),
                Err(error) => self.problem(key, &format!("address: {error}")),
            }
        }
        let asked = entry.address.is_some() || !entry.addresses.is_empty();
        let bridge = entry
            .bridge
            .as_deref()
            .filter(|name| !matches!(*name, "" | "true" | "false") && is_name(name));
        let master = bridge.or(entry
            .bond
            .as_deref()
            .filter(|name| !name.is_empty() && is_name(name)));
        let role = match master {
            Some(master) => Role::Member(master.to_owned()),
            None if entry.dhcp == Some(true) => Role::Dhcp(entry.dhcp_args.clone()),
            // The owner meant to give it an address, and must be able to reach it.
            None if asked && addresses.is_empty() && entry.dhcp != Some(false) => {
                self.problem(key, "no address of it can be used: it asks by DHCP");
                Role::Dhcp(None)
            }
            None => Role::Static,
        };
        let metric = self.number(key, "metric", entry.metric);
        let (dns, problems) = LinkDns::new(&link.name, &entry.dns);
        for problem in problems {
            self.problem(key, &problem);
        }
        let mut routes = self.routes(key, entry, metric);
        routes.extend(self.tunnelled(&link.name, &addresses, metric));
        LinkPlan {
            name: link.name.clone(),
            role,
            routes,
            rules: self.rules(key, entry),
            addresses,
            mtu: self.number(key, "mtu", entry.mtu),
            mac: entry.mac.clone(),
            ipv4ll: entry.ipv4ll == Some(true),
            metric,
            refuses_name: entry.dhcp_hostname == Some(false),
            dns,
            wifi: None,
            pre_up: entry.pre_up.clone(),
            post_up: entry.post_up.clone(),
        }
    }

    fn number(&mut self, key: &str, name: &str, value: Option<i64>) -> Option<u32> {
        let number = value.map(u32::try_from);
        match number {
            Some(Err(_)) => {
                self.problem(key, &format!("{name} is out of range"));
                None
            }
            Some(Ok(number)) => Some(number),
            None => None,
        }
    }

    fn routes(&mut self, key: &str, entry: &Interface, metric: Option<u32>) -> Vec<StaticRoute> {
        let mut routes = Vec::new();
        let gateways = [
            ("gateway", &entry.gateway, false),
            ("gateway_ipv6", &entry.gateway_ipv6, true),
        ];
        for (name, text, ipv6) in gateways {
            let Some(text) = text
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())
            else {
                continue;
            };
            match text.parse::<IpAddr>() {
                Ok(gateway) if gateway.is_ipv6() == ipv6 => routes.push(StaticRoute {
                    destination: everything(ipv6),
                    gateway: Some(gateway),
                    metric: metric.unwrap_or(0),
                    table: TABLE_MAIN,
                }),
                Ok(_) => self.problem(key, &format!("{name} is of the other family")),
                Err(_) => self.problem(key, &format!("{name}: {text:?} is not an address")),
            }
        }
        for route in &entry.routes {
            match static_route(route, metric) {
                Ok(route) => routes.push(route),
                Err(error) => self.problem(key, &format!("routes: {error}")),
            }
        }
        routes
    }

    fn rules(&mut self, key: &str, entry: &Interface) -> Vec<Rule> {
        let mut all = Vec::new();
        for (index, rule) in entry.rules.iter().enumerate() {
            match rules(rule) {
                Ok(rules) => all.extend(rules),
                Err(error) => self.problem(key, &format!("rules[{index}]: {error}")),
            }
        }
        all
    }

    /// Routes to what the peers of a WireGuard device may send, as wg-quick(8) sets them: not to everything, which would need
    /// rules, and not to what is on the link by its own addresses.
    fn tunnelled(&self, name: &str, addresses: &[Cidr], metric: Option<u32>) -> Vec<StaticRoute> {
        let Some(device) = self.wireguards.get(name).filter(|device| device.has_routes) else {
            return Vec::new();
        };
        let peers = device.peers.iter().flat_map(|peer| &peer.allowed_ips);
        let own = |network: Cidr| {
            let mut addresses = addresses.iter();
            addresses.any(|own| own.prefix() <= network.prefix() && own.contains(network.address()))
        };
        let routed = peers.filter(|network| network.prefix() > 0 && !own(**network));
        routed
            .map(|network| StaticRoute {
                destination: network.network(),
                gateway: None,
                metric: metric.unwrap_or(0),
                table: TABLE_MAIN,
            })
            .collect()
    }
}

fn virtual_link(name: String) -> Candidate {
    Candidate {
        name,
        mac: None,
        is_hardware: false,
        is_vlan: false,
    }
}

#[cfg(test)]
mod tests;
