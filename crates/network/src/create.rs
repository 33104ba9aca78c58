//! `POST /networks/create`: Docker's checks in Docker's order, then the subnet, then the device.

use std::collections::BTreeMap;

use engine_api::{Error, Ipam, IpamConfig, NetworkCreate, NetworkCreateResponse, Result};
use sys::netlink::{Cidr, Rtnetlink};

use super::driver_options::DriverOptions;
use super::record::NetworkRecord;
use super::{Driver, NETWORK_LIMIT, Networks, State, device, ipam, ipam_config, macvlan};
impl Networks {
    /// Creates a network.
    ///
    /// # Errors
    /// Docker's: 400 for what cannot be, 403 for predefined names and overlapping subnets, 409 for a taken name.
    pub fn create(&self, request: &NetworkCreate) -> Result<NetworkCreateResponse> {
        let record = {
            let mut state = self.0.state.borrow_mut();
            let record = plan(&state, request)?;
            install(&mut state, &record)?;
            record
        };
        if let Err(error) = self.save_network(&record) {
            let mut state = self.0.state.borrow_mut();
            state.networks.remove(&record.id);
            uninstall(&mut state, &record);
            return Err(error);
        }
        self.event("create", &record, BTreeMap::new());
        Ok(NetworkCreateResponse {
            id: record.id,
            warning: String::new(),
        })
    }

    pub(super) fn event(
        &self,
        action: &str,
        record: &NetworkRecord,
        more: BTreeMap<String, String>,
    ) {
        let mut attributes = more;
        attributes.insert("name".into(), record.name.clone());
        attributes.insert("type".into(), record.driver.clone());
        (self.0.events)(action, &record.id, attributes);
    }
}

#[cfg(any(test, feature = "fuzz"))]
/// [`plan`] on a machine without networks.
pub(super) fn fuzz_plan(request: &NetworkCreate) -> Result<NetworkRecord> {
    plan(&State::default(), request)
}

/// Checks the request and completes it: driver, options, subnets, gateways.
fn plan(state: &State, request: &NetworkCreate) -> Result<NetworkRecord> {
    let name = request.name.as_str();
    if name.trim().is_empty() {
        return Err(Error::bad_parameter(format!("invalid name: {name}")));
    }
    if matches!(name, "bridge" | "host" | "none" | "default") {
        return Err(Error::forbidden(format!(
            "operation is not permitted on predefined {name} network "
        )));
    }
    if name.starts_with("container:")
        || name.contains(['/', '\\'])
        || name.chars().any(char::is_control)
    {
        return Err(Error::bad_parameter(format!("invalid name: {name:?}")));
    }
    if !matches!(request.scope.as_str(), "" | "local") || request.ingress {
        return Err(Error::unavailable(
            "This node is not a swarm manager. Swarm belongs to User Docker, System Docker has local networks only",
        ));
    }
    if request.config_only
        || request
            .config_from
            .as_ref()
            .is_some_and(|from| !from.network.is_empty())
    {
        return Err(Error::bad_parameter(
            "configuration-only networks are not supported by System Docker",
        ));
    }
    if state.networks.values().any(|network| network.name == name) {
        return Err(Error::conflict(format!(
            "network with name {name} already exists"
        )));
    }
    if state.networks.len() >= NETWORK_LIMIT {
        return Err(Error::forbidden(format!(
            "there are {NETWORK_LIMIT} networks already"
        )));
    }
    if request.driver == "overlay" {
        // Docker has it, in a swarm.
        return Err(Error::forbidden(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again.",
        ));
    }
    let driver = Driver::parse(&request.driver)?;
    if matches!(driver, Driver::Host | Driver::Null) {
        return Err(Error::forbidden(format!(
            "only one instance of {:?} network is allowed",
            driver.name()
        )));
    }
    let options = DriverOptions::parse(driver, &request.options)?;
    let mut record = NetworkRecord::new(name, driver)?;
    record.enable_ipv6 = request.enable_ipv6;
    record.internal = request.internal;
    record.attachable = request.attachable;
    record.options = request.options.clone();
    record.labels = request.labels.clone();
    plan_subnets(state, request, &mut record)?;
    check_devices(state, &options, &record)?;
    Ok(record)
}

fn plan_subnets(state: &State, request: &NetworkCreate, record: &mut NetworkRecord) -> Result<()> {
    if let Some(ipam) = &request.ipam {
        if !matches!(ipam.driver.as_str(), "" | "default" | "null") {
            return Err(Error::not_found(format!(
                "plugin {:?} not found",
                ipam.driver
            )));
        }
        ipam_config::validate(ipam, request.enable_ipv6)?;
        record.ipam = Ipam { ..ipam.clone() };
        if record.ipam.driver.is_empty() {
            record.ipam.driver = "default".into();
        }
        record
            .ipam
            .config
            .retain(|config| !config.subnet.is_empty());
    }
    record.user_subnets = !record.ipam.config.is_empty();
    let taken = taken_subnets(state);
    let subnets = record.subnets();
    if record.enable_ipv6 && !subnets.iter().any(|subnet| subnet.network.is_ipv6()) {
        return Err(Error::not_found(
            "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to the network",
        ));
    }
    for (nth, subnet) in subnets.iter().enumerate() {
        let inner = subnets[..nth]
            .iter()
            .any(|other| other.network.overlaps(subnet.network));
        if inner
            || taken
                .networks
                .iter()
                .any(|other| other.overlaps(subnet.network))
        {
            return Err(Error::forbidden(
                "Pool overlaps with other one on this address space",
            ));
        }
    }
    if !subnets.iter().any(|subnet| !subnet.network.is_ipv6()) && record.ipam.driver != "null" {
        let all: Vec<Cidr> = taken
            .networks
            .iter()
            .chain(&taken.routes)
            .copied()
            .collect();
        let subnet = ipam::free_subnet(&all)?;
        record.ipam.config.insert(
            0,
            IpamConfig {
                subnet: subnet.to_string(),
                ..IpamConfig::default()
            },
        );
    }
    let completed: Vec<_> = record.subnets();
    for config in &mut record.ipam.config {
        let subnet = completed
            .iter()
            .find(|subnet| config.subnet.parse() == Ok(subnet.network));
        if let Some(subnet) = subnet.filter(|_| config.gateway.is_empty()) {
            config.gateway = ipam::default_gateway(subnet)
                .map(|address| address.to_string())
                .unwrap_or_default();
        }
    }
    Ok(())
}

struct Taken {
    /// Subnets of our networks: never given twice.
    networks: Vec<Cidr>,
    /// What the host has routes to: avoided when a subnet is chosen, allowed when the user insists.
    routes: Vec<Cidr>,
}

fn taken_subnets(state: &State) -> Taken {
    let networks = state
        .networks
        .values()
        .flat_map(|network| network.subnets())
        .map(|subnet| subnet.network)
        .collect();
    let routes = Rtnetlink::open().and_then(|mut netlink| {
        let mut found: Vec<Cidr> = netlink
            .routes()?
            .into_iter()
            .map(|route| route.destination)
            .collect();
        found.extend(
            netlink
                .addresses()?
                .into_iter()
                .map(|address| address.cidr.network()),
        );
        Ok(found)
    });
    // Without a list of routes the pools are used as they are.
    let routes = routes
        .unwrap_or_default()
        .into_iter()
        .filter(|cidr| cidr.prefix() > 0)
        .collect();
    Taken { networks, routes }
}

/// Two networks never share a bridge device or a macvlan parent.
fn check_devices(state: &State, options: &DriverOptions, record: &NetworkRecord) -> Result<()> {
    for other in state
        .networks
        .values()
        .filter(|other| other.driver == record.driver)
    {
        match record.driver() {
            Driver::Bridge if other.device() == record.device() => {
                return Err(Error::forbidden(format!(
                    "cannot create network {} ({}): conflicts with network {} ({}): networks have same bridge name",
                    record.id,
                    record.device(),
                    other.id,
                    other.device()
                )));
            }
            Driver::Macvlan | Driver::Ipvlan
                if options.parent.is_some()
                    && macvlan::parent_name(other) == macvlan::parent_name(record) =>
            {
                return Err(Error::forbidden(format!(
                    "network {} is already using parent interface {}",
                    other.name,
                    macvlan::parent_name(record)
                )));
            }
            _ => {}
        }
    }
    Ok(())
}

fn install(state: &mut State, record: &NetworkRecord) -> Result<()> {
    if let Err(error) = device::ensure(record) {
        uninstall(state, record);
        return Err(error);
    }
    state.networks.insert(record.id.clone(), record.clone());
    let State {
        firewall,
        networks,
        sandboxes,
        ..
    } = &mut *state;
    if let Err(error) = firewall.apply(networks, sandboxes)
        && !error.is_unsupported()
    {
        state.networks.remove(&record.id);
        uninstall(state, record);
        return Err(super::server(error));
    }
    Ok(())
}

/// Undoes what [`install`] did, as far as it came; errors become warnings.
pub(super) fn uninstall(state: &mut State, record: &NetworkRecord) {
    if let Err(error) = device::remove(record) {
        state
            .warnings
            .push(format!("network {}: {error}", record.name));
    }
    let State {
        firewall,
        networks,
        sandboxes,
        warnings,
        ..
    } = state;
    if let Err(error) = firewall.apply(networks, sandboxes) {
        warnings.push(format!("firewall: {error}"));
    }
}
