//! `DELETE /networks/{id}` and `POST /networks/prune`.

use std::collections::BTreeMap;

use engine_api::Timestamp;

use engine_api::{Error, Filters, NetworksPruneReport, Result};

use super::record::NetworkRecord;
use super::{Networks, create};

impl Networks {
    /// Removes a network that nobody uses.
    ///
    /// # Errors
    /// 403 for predefined networks and networks with running containers, 404 when there is none.
    pub fn remove(&self, wanted: &str) -> Result<()> {
        let record = {
            let mut state = self.0.state.borrow_mut();
            let record = state.find(wanted)?.clone();
            if record.is_predefined() {
                return Err(Error::forbidden(format!(
                    "{} is a pre-defined network and cannot be removed",
                    record.name
                )));
            }
            if state.in_use(&record.id) {
                return Err(Error::forbidden(format!(
                    "error while removing network: network {} id {} has active endpoints",
                    record.name, record.id
                )));
            }
            self.forget_network(&record.id)?;
            state.networks.remove(&record.id);
            create::uninstall(&mut state, &record);
            record
        };
        self.event("destroy", &record, BTreeMap::new());
        Ok(())
    }

    /// Removes every user-defined network without running containers that passes the filters
    /// (`label`, `label!`, `until`).
    ///
    /// # Errors
    /// 400 for unknown filters. What cannot be removed is left.
    pub fn prune(&self, filters: &Filters) -> Result<NetworksPruneReport> {
        filters.validate(&["label", "label!", "until"])?;
        let until = match filters.get("until") {
            [] => None,
            [text] => Some(
                Timestamp::parse_any(text, Timestamp::now())
                    .ok_or_else(|| filters.invalid("until"))?,
            ),
            _ => return Err(Error::bad_parameter("more than one until filter specified")),
        };
        let candidates: Vec<NetworkRecord> = {
            let state = self.0.state.borrow();
            let unused = state
                .networks
                .values()
                .filter(|n| !n.is_predefined() && !state.in_use(&n.id));
            unused
                .filter(|network| filters.matches_labels(&network.labels))
                .cloned()
                .collect()
        };
        let old_enough = |network: &&NetworkRecord| {
            let created = Timestamp::parse_rfc3339(&network.created);
            until.is_none_or(|until| created.is_some_and(|created| created <= until))
        };
        let mut deleted = Vec::new();
        for network in candidates.iter().filter(old_enough) {
            if self.remove(&network.id).is_ok() {
                deleted.push(network.name.clone());
            }
        }
        Ok(NetworksPruneReport {
            networks_deleted: (!deleted.is_empty()).then_some(deleted),
        })
    }
}
