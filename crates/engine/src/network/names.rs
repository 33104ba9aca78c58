//! What the embedded DNS server of a container answers with: the containers on its networks.

use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};

use super::dns::{self, Directory};
use super::files::ResolverConfig;
use super::record::{EndpointRecord, SandboxRecord};
use super::{Inner, Networks, State};

/// The view of one container.
struct View {
    networks: Weak<Inner>,
    container_id: String,
}

impl Networks {
    /// The names that the container with this id resolves.
    pub(super) fn directory(&self, container_id: &str) -> Rc<dyn Directory> {
        Rc::new(View {
            networks: Rc::downgrade(&self.0),
            container_id: container_id.to_owned(),
        })
    }
}

impl View {
    /// Calls `read` with the state and this container's record; the borrow ends with the call.
    fn with<T>(&self, read: impl FnOnce(&State, &SandboxRecord) -> Option<T>) -> Option<T> {
        let inner = self.networks.upgrade()?;
        let state = inner.state.borrow();
        let sandbox = state.sandboxes.get(&self.container_id)?;
        read(&state, &sandbox.record)
    }
}

/// Endpoints on the networks of `asker` that have names, its own included.
fn neighbours<'a>(
    state: &'a State,
    asker: &'a SandboxRecord,
) -> impl Iterator<Item = &'a EndpointRecord> {
    let shares = |endpoint: &EndpointRecord| {
        let named = state
            .networks
            .get(&endpoint.network_id)
            .is_some_and(|network| network.has_dns());
        named
            && asker
                .endpoints
                .iter()
                .any(|own| own.network_id == endpoint.network_id)
    };
    state
        .sandboxes
        .values()
        .flat_map(|sandbox| &sandbox.record.endpoints)
        .filter(move |endpoint| shares(endpoint))
}

fn has_name(endpoint: &EndpointRecord, name: &str) -> bool {
    let short = name
        .len()
        .checked_sub(endpoint.network_name.len() + 1)
        .filter(|at| name.is_char_boundary(*at))
        .map(|at| name.split_at(at))
        .filter(|(_, rest)| {
            rest.strip_prefix('.')
                .is_some_and(|n| n.eq_ignore_ascii_case(&endpoint.network_name))
        })
        .map(|(short, _)| short);
    endpoint.dns_names.iter().any(|known| {
        known.eq_ignore_ascii_case(name)
            || short.is_some_and(|short| known.eq_ignore_ascii_case(short))
    })
}

impl Directory for View {
    fn lookup(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.with(|state, asker| {
            let matching = neighbours(state, asker).filter(|endpoint| has_name(endpoint, name));
            let addresses: Vec<IpAddr> = matching.flat_map(EndpointRecord::addresses).collect();
            (!addresses.is_empty()).then_some(addresses)
        })
    }

    fn reverse(&self, address: IpAddr) -> Option<String> {
        self.with(|state, asker| {
            let endpoint = neighbours(state, asker)
                .find(|endpoint| endpoint.addresses().any(|own| own == address))?;
            Some(format!(
                "{}.{}",
                endpoint.dns_names.first()?,
                endpoint.network_name
            ))
        })
    }

    fn upstreams(&self) -> Vec<SocketAddr> {
        let servers = self.with(|state, asker| {
            let outside = asker.endpoints.iter().any(|endpoint| {
                state
                    .networks
                    .get(&endpoint.network_id)
                    .is_some_and(|network| !network.internal)
            });
            // On internal networks only, questions must not leak out (CVE-2024-29018).
            outside.then(|| asker.dns.clone())
        });
        let Some(mut servers) = servers else {
            return Vec::new();
        };
        if servers.is_empty()
            && let Some(inner) = self.networks.upgrade()
        {
            servers = ResolverConfig::read(&inner.options.resolv_conf).servers;
        }
        let addresses = servers
            .iter()
            .filter_map(|text| text.parse::<IpAddr>().ok());
        addresses
            .filter(|address| *address != dns::ADDRESS)
            .map(|address| SocketAddr::new(address, dns::PORT))
            .collect()
    }
}
