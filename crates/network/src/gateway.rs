//! The network by which a container reaches the world: its default routes lead there, and its ports are published there. Docker's
//! rule: of the networks with a way out the first in lexical order, also when it is joined later.

use std::collections::BTreeMap;
use std::net::IpAddr;

use engine_api::{Error, Result};
use sys::netlink::Cidr;

use super::record::{EndpointRecord, NetworkRecord, PublishedPort};
use super::{ConnectTarget, Driver, Networks, State, bridge, ports};

/// A default route of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gateway<'a> {
    pub(super) interface: &'a str,
    pub(super) address: IpAddr,
}

/// The default routes: one for each family that has a gateway.
pub(super) fn gateways(endpoints: &[EndpointRecord]) -> Vec<Gateway<'_>> {
    let first = |gateway: fn(&EndpointRecord) -> Option<IpAddr>| {
        let ways = endpoints.iter().filter_map(|endpoint| {
            let address = gateway(endpoint)?;
            let interface = endpoint.interface.as_str();
            Some((&endpoint.network_name, Gateway { interface, address }))
        });
        ways.min_by_key(|(network, _)| *network)
            .map(|(_, gateway)| gateway)
    };
    first(|e| e.gateway4)
        .into_iter()
        .chain(first(|e| e.gateway6))
        .collect()
}

impl Networks {
    /// Publishes a container's ports where its gateway is.
    pub(super) fn publish(&self, id: &str, name: &str, wishes: &[ports::PortWish]) -> Result<()> {
        if wishes.is_empty() {
            return Ok(());
        }
        let record = {
            let mut state = self.0.state.borrow_mut();
            let State {
                networks,
                sandboxes,
                ports,
                ..
            } = &mut *state;
            let mut taken: Vec<PublishedPort> = sandboxes
                .values()
                .flat_map(|sandbox| &sandbox.record.ports)
                .copied()
                .collect();
            let Some(sandbox) = sandboxes.get_mut(id) else {
                return Err(Error::server("attachment vanished"));
            };
            let Some((endpoint, network)) = publishing(networks, &sandbox.record.endpoints) else {
                return Ok(());
            };
            let targets = (
                endpoint.ipv4.map(Cidr::address),
                endpoint.ipv6.map(Cidr::address),
            );
            let failed = |error: Error| failed_ports(name, endpoint, &error);
            bridge::set_port(network, endpoint, true).map_err(failed)?;
            // The default bridge's own 0.0.0.0 means "everywhere", IPv6 included.
            let default = network
                .driver_options()
                .host_binding
                .filter(|address| !address.is_unspecified());
            for wish in wishes {
                for (port, socket) in ports
                    .publish(wish, default, targets, &taken)
                    .map_err(failed)?
                {
                    taken.push(port);
                    sandbox.record.ports.push(port);
                    self.hold(id, &port, &socket);
                }
            }
            let failed = failed_ports(name, endpoint, &Error::server(""));
            let record = sandbox.record.clone();
            drop(state);
            self.apply_firewall()
                .map_err(|error| Error::server(format!("{failed}{error}")))?;
            record
        };
        self.save_sandbox(&record)
    }

    /// Brings the ports of a running container to the network of its gateway: those that are published nowhere yet, and
    /// those on another network, with their ports of the host.
    pub(super) fn follow_gateway(&self, target: &ConnectTarget) -> Result<()> {
        let Some(mut before) = self.take_back(&target.container_id)? else {
            return Ok(());
        };
        let mut wishes = ports::wishes(
            &target.port_bindings,
            &target.exposed_ports,
            target.publish_all,
        )?;
        for wish in &mut wishes {
            if let Some(was) = before.iter().find(|port| wish.has_become(port)).copied() {
                wish.host_ports = Some((was.host_port, was.host_port));
                // Of all addresses; another wish for the same port has become another one.
                before.retain(|port| port.host_port != was.host_port || port.udp != was.udp);
            }
        }
        self.publish(&target.container_id, &target.container_name, &wishes)
    }

    /// Closes the ports of a container that are not on its gateway's network, and says which they were. `None`: they are where
    /// they belong.
    fn take_back(&self, id: &str) -> Result<Option<Vec<PublishedPort>>> {
        let ports = {
            let mut state = self.0.state.borrow_mut();
            let State {
                networks,
                sandboxes,
                ..
            } = &mut *state;
            let Some(sandbox) = sandboxes.get_mut(id) else {
                return Ok(None);
            };
            let record = &mut sandbox.record;
            let leads = |endpoint: &EndpointRecord| {
                let addresses = [endpoint.ipv4, endpoint.ipv6];
                let mut addresses = addresses.into_iter().flatten().map(Cidr::address);
                addresses.any(|address| record.ports.iter().any(|port| port.target == address))
            };
            let Some(old) = record.endpoints.iter().find(|endpoint| leads(endpoint)) else {
                return Ok(Some(Vec::new()));
            };
            if publishing(networks, &record.endpoints)
                .is_none_or(|(new, _)| new.endpoint_id == old.endpoint_id)
            {
                return Ok(None);
            }
            if let Some(network) = networks.get(&old.network_id) {
                bridge::set_port(network, old, false)?;
            }
            std::mem::take(&mut record.ports)
        };
        self.0.helper.unpublish(id);
        Ok(Some(ports))
    }
}

fn failed_ports(container_name: &str, endpoint: &EndpointRecord, error: &Error) -> Error {
    Error::server(format!(
        "driver failed programming external connectivity on endpoint {container_name} ({}): {error}",
        endpoint.endpoint_id
    ))
}

/// Where ports are published: of macvlan and its like they need not be, and an internal network has no way in.
pub(super) fn publishing<'a>(
    networks: &'a BTreeMap<String, NetworkRecord>,
    endpoints: &'a [EndpointRecord],
) -> Option<(&'a EndpointRecord, &'a NetworkRecord)> {
    endpoints
        .iter()
        .filter_map(|endpoint| Some((endpoint, networks.get(&endpoint.network_id)?)))
        .filter(|(_, network)| network.driver() == Driver::Bridge && !network.internal)
        .min_by_key(|(_, network)| &network.name)
}
