//! Calls about networks.

use http::Method;

use super::Client;
use super::query::Target;
use super::system::filters_text;
use crate::{
    EndpointSettings, Filters, Network, NetworkConnect, NetworkCreate, NetworkCreateResponse,
    NetworkDisconnect, NetworksPruneReport, Result,
};

fn of(id: &str, rest: &str) -> Target {
    Target::of("networks", id, rest)
}

impl Client {
    /// Networks.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn network_list(&self, filters: &Filters) -> Result<Vec<Network>> {
        self.get(&Target::new("/networks").with_some("filters", filters_text(filters)))
            .await
    }

    /// One network.
    ///
    /// # Errors
    /// 404 when there is no such network.
    pub async fn network_inspect(&self, id: &str) -> Result<Network> {
        self.get(&of(id, "")).await
    }

    /// Makes a network.
    ///
    /// # Errors
    /// 400 for a wrong request, 403 when addresses overlap, 409 when the name is taken.
    pub async fn network_create(&self, request: &NetworkCreate) -> Result<NetworkCreateResponse> {
        self.post_json(&Target::new("/networks/create"), request)
            .await
    }

    /// Connects a container.
    ///
    /// # Errors
    /// 403 when it is connected already or may not be, 404 when there is no such network or container.
    pub async fn network_connect(
        &self,
        id: &str,
        container: &str,
        endpoint: Option<EndpointSettings>,
    ) -> Result<()> {
        let body = NetworkConnect {
            container: container.to_owned(),
            endpoint_config: endpoint,
        };
        self.post(&of(id, "/connect"), &body).await.map(drop)
    }

    /// Disconnects a container.
    ///
    /// # Errors
    /// 403 when it may not be, 404 when there is no such network or container.
    pub async fn network_disconnect(&self, id: &str, container: &str, force: bool) -> Result<()> {
        let body = NetworkDisconnect {
            container: container.to_owned(),
            force,
        };
        self.post(&of(id, "/disconnect"), &body).await.map(drop)
    }

    /// Removes a network.
    ///
    /// # Errors
    /// 403 for a predefined network and one in use, 404 when there is no such network.
    pub async fn network_remove(&self, id: &str) -> Result<()> {
        self.unit(Method::DELETE, &of(id, "")).await
    }

    /// Removes unused networks.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn networks_prune(&self, filters: &Filters) -> Result<NetworksPruneReport> {
        self.post_empty(&Target::new("/networks/prune").with_some("filters", filters_text(filters)))
            .await
    }
}
