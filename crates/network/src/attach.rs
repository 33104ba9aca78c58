//! Bringing a container's networking up before it starts, and taking it down after it ended.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use engine_api::{EndpointSettings, Error, Result};
use objects::ids;
use sys::netlink::netns_of;

use super::endpoint::{self, Owner};
use super::files::{FilesRequest, NetworkFiles, ResolverConfig, build};
use super::gateway::{gateways, publishing};
use super::ports;
use super::record::{EndpointRecord, NetworkRecord, SandboxRecord};
use super::sandbox::{Sandbox, Setup, configure};
use super::{
    AttachRequest, Attachment, DEFAULT_NETWORK, NetworkMode, Networks, State, is_predefined, server,
};

/// Longest hosts file of the machine that is read, in bytes.
const HOSTS_MAX: u64 = 1024 * 1024;
/// Where `inspect` says the host's network namespace is.
const HOST_SANDBOX: &str = "/var/run/docker/netns/default";

impl Networks {
    /// Connects a created but not yet started container to its networks: links, addresses, routes, DNS, published
    /// ports. All of it or nothing. Call inside the `LocalSet`. An attachment left over from before is taken down.
    ///
    /// # Errors
    /// Docker's: 404 for a missing network, 400 for impossible wishes, 403 for a taken address, 500
    /// `driver failed programming external connectivity on endpoint ...` for ports.
    pub fn attach(&self, request: &AttachRequest) -> Result<Attachment> {
        let mode = NetworkMode::parse(&request.network_mode);
        if matches!(mode, NetworkMode::Container(_)) {
            return Ok(Attachment::default());
        }
        self.detach(&request.container_id);
        let attached = self
            .plan(request, &mode)
            .and_then(|()| self.bring_up(request, &mode));
        if let Err(error) = attached {
            for leftover in self.detach(&request.container_id) {
                self.0.state.borrow_mut().warnings.push(leftover);
            }
            return Err(error);
        }
        self.announce(&request.container_id, "connect");
        self.attachment(&request.container_id)
            .ok_or_else(|| Error::server("attachment vanished"))
    }

    /// What a container has now; `None` when it is not attached.
    pub fn attachment(&self, container_id: &str) -> Option<Attachment> {
        let state = self.0.state.borrow();
        let record = &state.sandboxes.get(container_id)?.record;
        let host = record
            .endpoints
            .iter()
            .any(|endpoint| endpoint.network_name == "host");
        // As in Docker: exposed ports are shown where they could be published.
        let reachable = publishing(&state.networks, &record.endpoints).is_some();
        let networks = record.endpoints.iter().map(|endpoint| {
            let has_dns = state
                .networks
                .get(&endpoint.network_id)
                .is_some_and(NetworkRecord::has_dns);
            (endpoint.network_name.clone(), endpoint.to_api(has_dns))
        });
        Some(Attachment {
            networks: networks.collect(),
            ports: if reachable {
                ports::to_map(&record.ports, &record.exposed)
            } else {
                BTreeMap::new()
            },
            sandbox_id: record.sandbox_id.clone(),
            sandbox_key: if host {
                HOST_SANDBOX.into()
            } else {
                format!("/proc/{}/ns/net", record.pid)
            },
        })
    }

    /// Takes a container's networking down; fine when there is none. Goes on after errors and returns them.
    pub fn detach(&self, container_id: &str) -> Vec<String> {
        let removed = self.0.state.borrow_mut().sandboxes.remove(container_id);
        let Some(sandbox) = removed else {
            return Vec::new();
        };
        let record = sandbox.record;
        self.forget_names(&record);
        let mut errors: Vec<String> = Vec::new();
        for endpoint in &record.endpoints {
            errors.extend(
                endpoint::delete_host_link(endpoint)
                    .err()
                    .map(|error| error.to_string()),
            );
        }
        errors.extend(self.apply_firewall().err().map(|error| error.to_string()));
        errors.extend(
            self.forget_sandbox(container_id)
                .err()
                .map(|error| error.to_string()),
        );
        self.announce_all(&record.endpoints, container_id, "disconnect");
        errors
    }

    /// The container was renamed: its name in the embedded DNS and in `network inspect` follows.
    ///
    /// # Errors
    /// When the record cannot be written.
    pub fn rename(&self, container_id: &str, name: &str) -> Result<()> {
        let record = {
            let mut state = self.0.state.borrow_mut();
            let Some(sandbox) = state.sandboxes.get_mut(container_id) else {
                return Ok(());
            };
            let old = std::mem::replace(&mut sandbox.record.container_name, name.to_owned());
            for known in sandbox
                .record
                .endpoints
                .iter_mut()
                .flat_map(|endpoint| &mut endpoint.dns_names)
            {
                if *known == old {
                    name.clone_into(known);
                }
            }
            sandbox.record.clone()
        };
        self.tell_names(container_id);
        self.save_sandbox(&record)
    }

    /// Content of the container's network files; `request.host_gateway` is filled in when it is none.
    ///
    /// # Errors
    /// 400 when an extra host is malformed.
    pub fn files(&self, request: &FilesRequest<'_>) -> Result<NetworkFiles> {
        let host_gateway = request.host_gateway.or(Some(self.host_gateway()));
        let host = ResolverConfig::read(&self.0.options.resolv_conf);
        let mut files = build(
            &FilesRequest {
                host_gateway,
                ..request.clone()
            },
            &host,
        )?;
        let mode = NetworkMode::parse(request.network_mode);
        if mode == NetworkMode::Host
            && request.extra_hosts.is_empty()
            && let Ok(hosts) = sys::regular::read(&self.0.options.hosts, HOSTS_MAX)
            && let Ok(hosts) = String::from_utf8(hosts)
        {
            files.hosts = hosts;
        }
        Ok(files)
    }

    /// What `host-gateway` in `--add-host` stands for: the default bridge's address.
    pub fn host_gateway(&self) -> std::net::IpAddr {
        self.0.options.bridge_address.address()
    }

    /// The checks of container create: wishes of networks that exist, and the form of the published ports.
    ///
    /// # Errors
    /// 400 in Docker's words.
    pub fn validate(&self, request: &AttachRequest) -> Result<()> {
        ports::check(
            &request.port_bindings,
            &request.exposed_ports,
            request.publish_all,
        )?;
        let state = self.0.state.borrow();
        for (name, settings) in &request.networks {
            if let Ok(network) = state.find(canonical(name)) {
                endpoint::validate(network, &endpoint::without_state(settings)).map_err(
                    |error| error.context(&format!("invalid config for network {}", network.name)),
                )?;
            }
        }
        Ok(())
    }

    /// Takes addresses and records the sandbox, so that nobody else gets them.
    fn plan(&self, request: &AttachRequest, mode: &NetworkMode) -> Result<()> {
        let mut state = self.0.state.borrow_mut();
        let owner = Owner {
            id: &request.container_id,
            name: &request.container_name,
            hostname: &request.hostname,
        };
        let mut endpoints: Vec<EndpointRecord> = Vec::new();
        for (number, (network, settings)) in wanted(&state, request, mode)?.into_iter().enumerate()
        {
            endpoints.push(endpoint::plan(&state, network, &settings, owner, number)?);
        }
        let record = SandboxRecord {
            container_id: request.container_id.clone(),
            container_name: request.container_name.clone(),
            hostname: request.hostname.clone(),
            sandbox_id: ids::new_id()?,
            pid: request.pid,
            endpoints,
            ports: Vec::new(),
            exposed: request.exposed_ports.clone(),
            dns: request.dns.clone(),
        };
        self.save_sandbox(&record)?;
        let sandbox = Sandbox {
            record,
            ..Sandbox::default()
        };
        state
            .sandboxes
            .insert(request.container_id.clone(), sandbox);
        Ok(())
    }

    fn bring_up(&self, request: &AttachRequest, mode: &NetworkMode) -> Result<()> {
        if !mode.is_private() {
            return Ok(());
        }
        let id = request.container_id.as_str();
        let netns = netns_of(request.pid).map_err(server)?;
        let sockets = {
            let state = self.0.state.borrow();
            let endpoints = state
                .sandboxes
                .get(id)
                .map(|s| s.record.endpoints.as_slice())
                .unwrap_or_default();
            for endpoint in endpoints {
                endpoint::make_link(state.find(&endpoint.network_id)?, endpoint, netns.as_fd())?;
            }
            let dns = endpoints
                .iter()
                .any(|endpoint| !is_predefined(&endpoint.network_name));
            let setup = Setup {
                endpoints: endpoints.iter().collect(),
                gateways: gateways(endpoints),
                dns,
            };
            configure(netns.as_fd(), &setup)?
        };
        let wishes = ports::wishes(
            &request.port_bindings,
            &request.exposed_ports,
            request.publish_all,
        )?;
        self.publish(id, &request.container_name, &wishes)?;
        self.serve_dns(id, sockets);
        Ok(())
    }

    pub(super) fn apply_firewall(&self) -> Result<()> {
        let mut state = self.0.state.borrow_mut();
        let State {
            firewall,
            networks,
            sandboxes,
            ..
        } = &mut *state;
        match firewall.apply(networks, sandboxes) {
            // Without nf_tables the proxies carry published ports; `open` has warned.
            Err(error) if !error.is_unsupported() => Err(server(error)),
            _ => Ok(()),
        }
    }

    fn announce(&self, container_id: &str, action: &str) {
        let endpoints = {
            let state = self.0.state.borrow();
            state
                .sandboxes
                .get(container_id)
                .map(|sandbox| sandbox.record.endpoints.clone())
                .unwrap_or_default()
        };
        self.announce_all(&endpoints, container_id, action);
    }

    pub(super) fn announce_all(
        &self,
        endpoints: &[EndpointRecord],
        container_id: &str,
        action: &str,
    ) {
        for endpoint in endpoints {
            let network = self
                .0
                .state
                .borrow()
                .networks
                .get(&endpoint.network_id)
                .cloned();
            if let Some(network) = network {
                self.event(
                    action,
                    &network,
                    BTreeMap::from([("container".into(), container_id.to_owned())]),
                );
            }
        }
    }
}

/// `default` is another name of the default network.
pub(super) fn canonical(name: &str) -> &str {
    if name == "default" {
        DEFAULT_NETWORK
    } else {
        name
    }
}

/// The networks to connect, the one of the network mode first: it gets `eth0` and the default route.
fn wanted<'a>(
    state: &'a State,
    request: &AttachRequest,
    mode: &NetworkMode,
) -> Result<Vec<(&'a NetworkRecord, EndpointSettings)>> {
    let primary = mode.network().unwrap_or(DEFAULT_NETWORK);
    let mut wanted: Vec<(&NetworkRecord, EndpointSettings)> = Vec::new();
    for (name, settings) in &request.networks {
        let network = state.find(canonical(name))?;
        if wanted.iter().all(|(other, _)| other.id != network.id) {
            wanted.push((network, settings.clone()));
        }
    }
    if wanted.is_empty() {
        wanted.push((state.find(primary)?, EndpointSettings::default()));
    }
    let is_primary =
        |network: &NetworkRecord| network.name == primary || network.id.starts_with(primary);
    wanted.sort_by_key(|(network, _)| !is_primary(network));
    if !request.mac_address.is_empty()
        && let Some((network, settings)) = wanted.first_mut()
        && is_primary(network)
        && settings.mac_address.is_empty()
    {
        settings.mac_address.clone_from(&request.mac_address);
    }
    Ok(wanted)
}
