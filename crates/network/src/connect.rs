//! `POST /networks/{id}/connect` and `/disconnect`, for containers that run and for those that do not.

use std::os::fd::AsFd;

use engine_api::{EndpointSettings, Error, Result};
use sys::netlink::{Cidr, netns_of};

use super::endpoint::{self, Owner};
use super::gateway::gateways;
use super::record::{EndpointRecord, NetworkRecord};
use super::sandbox::{Setup, configure, delete_link};
use super::{ConnectTarget, Driver, NetworkMode, Networks, State, server};

impl Networks {
    /// Connects a container to a further network and returns what to remember under the network's name. A container
    /// that does not run gets its link at the next [`Self::attach`]; nothing changes when it has the network already.
    ///
    /// # Errors
    /// Docker's: 404, 403 for a second endpoint on the same network, 400 for containers that have no separate
    /// network namespace, and for impossible wishes.
    pub fn connect(
        &self,
        wanted: &str,
        target: &ConnectTarget,
        settings: &EndpointSettings,
    ) -> Result<Option<(String, EndpointSettings)>> {
        let network = self.0.state.borrow().find(wanted)?.clone();
        let wish = endpoint::without_state(settings);
        endpoint::validate(&network, &wish)?;
        let known = self.check_connect(&network, target)?;
        let Some(pid) = target.pid else {
            if known {
                return Ok(None);
            }
            let settings = EndpointSettings {
                network_id: network.id.clone(),
                ..wish
            };
            return Ok(Some((network.name, settings)));
        };
        let planned = self.plan_further(&network, target, &wish)?;
        let connected = self
            .bring_up_further(&network, target, &planned, pid)
            .and_then(|()| self.follow_gateway(target));
        if let Err(error) = connected {
            self.forget_endpoint(&target.container_id, &network.id);
            // What had moved to this network goes back.
            self.warn(self.reroute(target, &planned, pid));
            self.warn(self.follow_gateway(target));
            return Err(error);
        }
        self.announce_all(
            std::slice::from_ref(&planned),
            &target.container_id,
            "connect",
        );
        let endpoint = planned.to_api(network.has_dns());
        Ok(Some((network.name, endpoint)))
    }

    /// Whether the container may have a further network, and whether it has this one already.
    fn check_connect(&self, network: &NetworkRecord, target: &ConnectTarget) -> Result<bool> {
        match NetworkMode::parse(&target.network_mode) {
            NetworkMode::Container(_) => {
                return Err(Error::bad_parameter(
                    "container sharing network namespace with another container or host cannot be connected to any other network",
                ));
            }
            NetworkMode::Host => return Err(host_conflict()),
            NetworkMode::None | NetworkMode::Default | NetworkMode::Network(_) => {}
        }
        let on_none =
            target.networks.iter().any(|name| name == "none") && !target.networks.is_empty();
        match network.driver() {
            Driver::Host => return Err(host_conflict()),
            Driver::Null => return Err(none_conflict()),
            _ if on_none => return Err(none_conflict()),
            _ => {}
        }
        let known = target
            .networks
            .iter()
            .any(|name| *name == network.name || *name == network.id);
        let state = self.0.state.borrow();
        let endpoints = state
            .sandboxes
            .get(&target.container_id)
            .map(|s| &s.record.endpoints);
        let attached = endpoints.is_some_and(|all| all.iter().any(|e| e.network_id == network.id));
        if attached || (known && target.pid.is_some()) {
            return Err(Error::forbidden(format!(
                "endpoint with name {} already exists in network {}",
                target.container_name, network.name
            )));
        }
        Ok(known)
    }

    /// Takes addresses and records the endpoint.
    fn plan_further(
        &self,
        network: &NetworkRecord,
        target: &ConnectTarget,
        wish: &EndpointSettings,
    ) -> Result<EndpointRecord> {
        let record = {
            let mut state = self.0.state.borrow_mut();
            let interfaces: Vec<String> = state
                .sandboxes
                .get(&target.container_id)
                .map(|s| {
                    s.record
                        .endpoints
                        .iter()
                        .map(|e| e.interface.clone())
                        .collect()
                })
                .ok_or_else(|| {
                    Error::conflict(format!(
                        "container {} has no network namespace",
                        target.container_id
                    ))
                })?;
            let prefix = network.driver_options().interface_prefix;
            let number = (0..)
                .find(|n| !interfaces.contains(&format!("{prefix}{n}")))
                .unwrap_or(0);
            let owner = Owner {
                id: &target.container_id,
                name: &target.container_name,
                hostname: &target.hostname,
            };
            let planned = endpoint::plan(&state, network, wish, owner, number)?;
            let Some(sandbox) = state.sandboxes.get_mut(&target.container_id) else {
                return Err(Error::server("attachment vanished"));
            };
            sandbox.record.endpoints.push(planned);
            sandbox.record.clone()
        };
        self.save_sandbox(&record)?;
        record
            .endpoints
            .last()
            .cloned()
            .ok_or_else(|| Error::server("endpoint vanished"))
    }

    fn bring_up_further(
        &self,
        network: &NetworkRecord,
        target: &ConnectTarget,
        planned: &EndpointRecord,
        pid: i32,
    ) -> Result<()> {
        let netns = netns_of(pid).map_err(server)?;
        endpoint::make_link(network, planned, netns.as_fd())?;
        let sockets = {
            let state = self.0.state.borrow();
            let Some(sandbox) = state.sandboxes.get(&target.container_id) else {
                return Err(Error::server("attachment vanished"));
            };
            let dns = network.has_dns() && !sandbox.dns;
            let gateways = gateways(&sandbox.record.endpoints);
            // Only routes through the new link: the others are there, or the container has changed them.
            let gateways = gateways
                .into_iter()
                .filter(|gateway| gateway.interface == planned.interface)
                .collect();
            configure(
                netns.as_fd(),
                &Setup {
                    endpoints: vec![planned],
                    gateways,
                    dns,
                },
            )?
        };
        self.serve_dns(&target.container_id, sockets);
        Ok(())
    }

    /// Disconnects a container from a network and returns the network's name, to be forgotten by the caller.
    ///
    /// # Errors
    /// Docker's: 404 for a missing network, 500 when the container is not on it, 400 for the host's network.
    pub fn disconnect(&self, wanted: &str, target: &ConnectTarget, force: bool) -> Result<String> {
        let found = self.0.state.borrow().find(wanted).cloned();
        let network = match found {
            // A network that is gone can still be forgotten.
            Err(_) if force && target.networks.iter().any(|name| name == wanted) => {
                return Ok(wanted.to_owned());
            }
            found => found?,
        };
        if network.driver() == Driver::Host
            || NetworkMode::parse(&target.network_mode) == NetworkMode::Host
        {
            return Err(host_conflict());
        }
        let known = target
            .networks
            .iter()
            .any(|name| *name == network.name || *name == network.id);
        let endpoint = self.forget_endpoint(&target.container_id, &network.id);
        let Some(endpoint) = endpoint else {
            if known {
                return Ok(network.name);
            }
            return Err(Error::server(format!(
                "container {} is not connected to network {}",
                target.container_id, network.name
            )));
        };
        if let Some(pid) = target.pid {
            let done = remove_link(&network, &endpoint, pid)
                .and_then(|()| self.reroute(target, &endpoint, pid));
            if !force {
                done?;
            }
            // As in Docker: the container has left the network, whatever becomes of its ports.
            self.warn(self.follow_gateway(target));
        }
        self.announce_all(&[endpoint], &target.container_id, "disconnect");
        Ok(network.name)
    }

    fn warn(&self, done: Result<()>) {
        if let Err(error) = done {
            self.0.state.borrow_mut().warnings.push(error.to_string());
        }
    }

    /// After an endpoint went: default routes through what is left.
    fn reroute(&self, target: &ConnectTarget, gone: &EndpointRecord, pid: i32) -> Result<()> {
        if gone.gateway4.is_none() && gone.gateway6.is_none() {
            return Ok(());
        }
        let netns = netns_of(pid).map_err(server)?;
        let state = self.0.state.borrow();
        let endpoints = state
            .sandboxes
            .get(&target.container_id)
            .map(|s| s.record.endpoints.as_slice());
        let setup = Setup {
            gateways: gateways(endpoints.unwrap_or_default()),
            ..Setup::default()
        };
        configure(netns.as_fd(), &setup).map(|_| ())
    }

    /// Removes an endpoint from the record with its ports and its link on the host; errors become warnings.
    fn forget_endpoint(&self, container_id: &str, network_id: &str) -> Option<EndpointRecord> {
        let (endpoint, record, unpublished) = {
            let mut state = self.0.state.borrow_mut();
            let sandbox = state.sandboxes.get_mut(container_id)?;
            let at = sandbox
                .record
                .endpoints
                .iter()
                .position(|e| e.network_id == network_id)?;
            let endpoint = sandbox.record.endpoints.remove(at);
            let own = [endpoint.ipv4, endpoint.ipv6].map(|cidr| cidr.map(Cidr::address));
            let published = sandbox.record.ports.len();
            sandbox
                .record
                .ports
                .retain(|port| !own.contains(&Some(port.target)));
            // A container publishes on one network only: all of them are gone.
            let unpublished = sandbox.record.ports.len() != published;
            (endpoint, sandbox.record.clone(), unpublished)
        };
        if unpublished {
            self.0.helper.unpublish(container_id);
        }
        self.tell_names(container_id);
        let results = [
            endpoint::delete_host_link(&endpoint),
            self.apply_firewall(),
            self.save_sandbox(&record),
        ];
        let State { warnings, .. } = &mut *self.0.state.borrow_mut();
        warnings.extend(
            results
                .into_iter()
                .filter_map(Result::err)
                .map(|error| error.to_string()),
        );
        Some(endpoint)
    }
}

/// Removes an endpoint's link inside, where no end on the host takes it along.
fn remove_link(network: &NetworkRecord, gone: &EndpointRecord, pid: i32) -> Result<()> {
    if network.driver() == Driver::Bridge || gone.interface.is_empty() {
        return Ok(());
    }
    delete_link(netns_of(pid).map_err(server)?.as_fd(), &gone.interface)
}

fn host_conflict() -> Error {
    Error::bad_parameter(
        "container cannot be disconnected from host network or connected to host network",
    )
}

fn none_conflict() -> Error {
    Error::bad_parameter(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
    )
}
