//! `GET /networks` and `GET /networks/{id}`; finding a network by name or id.

use objects::Patterns;

use engine_api::{Error, Filters, Network, Result};

use super::record::NetworkRecord;
use super::{Networks, State};

/// Filters that the list knows.
pub const FILTERS: &[&str] = &["dangling", "driver", "id", "label", "name", "scope", "type"];

impl State {
    /// The network with this name, id, or unambiguous start of an id.
    pub(super) fn find(&self, wanted: &str) -> Result<&NetworkRecord> {
        if let Some(record) = self.networks.get(wanted) {
            return Ok(record);
        }
        if let Some(record) = self
            .networks
            .values()
            .find(|network| network.name == wanted)
        {
            return Ok(record);
        }
        let mut starting = self
            .networks
            .values()
            .filter(|network| !wanted.is_empty() && network.id.starts_with(wanted));
        match (starting.next(), starting.count()) {
            (None, _) => Err(Error::not_found(format!("network {wanted} not found"))),
            (Some(record), 0) => Ok(record),
            (Some(_), more) => Err(Error::bad_parameter(format!(
                "network {wanted} is ambiguous ({} matches found based on ID prefix)",
                more + 1
            ))),
        }
    }

    /// True when a running container is on the network.
    pub(super) fn in_use(&self, id: &str) -> bool {
        self.sandboxes.values().any(|s| {
            s.record
                .endpoints
                .iter()
                .any(|endpoint| endpoint.network_id == id)
        })
    }

    fn with_containers(&self, record: &NetworkRecord) -> Network {
        let mut network = record.to_api();
        for sandbox in self.sandboxes.values() {
            let endpoint = sandbox
                .record
                .endpoints
                .iter()
                .find(|endpoint| endpoint.network_id == record.id);
            if let Some(endpoint) = endpoint {
                let shown = endpoint.to_network_container(&sandbox.record.container_name);
                network
                    .containers
                    .insert(sandbox.record.container_id.clone(), shown);
            }
        }
        network
    }
}

impl Networks {
    /// Networks that pass the filters, by name; as in Docker the list names no containers.
    ///
    /// # Errors
    /// 400 for unknown filters or values.
    pub fn list(&self, filters: &Filters) -> Result<Vec<Network>> {
        filters.validate(FILTERS)?;
        let dangling = filters.flag("dangling")?;
        let kinds = filters.get("type");
        if let Some(unknown) = kinds
            .iter()
            .find(|kind| !matches!(kind.as_str(), "custom" | "builtin"))
        {
            return Err(Error::bad_parameter(format!(
                "invalid filter: 'type'='{unknown}'"
            )));
        }
        let [names, ids] = ["name", "id"].map(|key| Patterns::new(filters.get(key)));
        let state = self.0.state.borrow();
        let mut found: Vec<Network> = state
            .networks
            .values()
            .filter(|record| passes(record, filters, &names, &ids))
            .filter(|record| {
                dangling.is_none_or(|wanted| {
                    wanted == (!record.is_predefined() && !state.in_use(&record.id))
                })
            })
            .map(NetworkRecord::to_api)
            .collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// One network with its containers.
    ///
    /// # Errors
    /// 404 when there is none, 400 when several ids start so.
    pub fn inspect(&self, wanted: &str) -> Result<Network> {
        let state = self.0.state.borrow();
        Ok(state.with_containers(state.find(wanted)?))
    }

    /// The id of the network with this name, id, or start of an id.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub fn resolve(&self, wanted: &str) -> Result<String> {
        Ok(self.0.state.borrow().find(wanted)?.id.clone())
    }

    /// The name of the network with this name, id, or start of an id.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub fn name_of(&self, wanted: &str) -> Result<String> {
        Ok(self.0.state.borrow().find(wanted)?.name.clone())
    }
}

fn passes(record: &NetworkRecord, filters: &Filters, names: &Patterns, ids: &Patterns) -> bool {
    let any = |key: &str, test: &dyn Fn(&str) -> bool| {
        !filters.contains(key) || filters.get(key).iter().any(|value| test(value))
    };
    names.match_any(&record.name)
        && ids.match_any(&record.id)
        && any("driver", &|value| record.driver == value)
        && any("scope", &|value| value == "local")
        && any("type", &|value| {
            (value == "builtin") == record.is_predefined()
        })
        && filters.matches_labels(&record.labels)
}
