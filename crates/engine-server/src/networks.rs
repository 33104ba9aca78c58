//! Endpoints about networks.

use engine_api::{Error, NetworkConnect, NetworkCreate, NetworkDisconnect, Result};
use http::StatusCode;

use super::call::Call;
use super::reply::{self, Reply};
use super::version::ApiVersion;

/// `GET /networks`.
pub(super) fn list(call: &Call) -> Result<Reply> {
    let mut networks = call.engine.networks().list(&call.query.filters()?)?;
    if call.version >= ApiVersion(1, 28) {
        // Lists name no containers since then.
        for network in &mut networks {
            network.containers.clear();
        }
    }
    reply::ok(&networks)
}

/// `GET /networks/{id}`.
pub(super) fn inspect(call: &Call, id: &str) -> Result<Reply> {
    let network = call.engine.networks().inspect(id)?;
    match call.query.text("scope") {
        "" | "local" => reply::ok(&network),
        _ => Err(Error::not_found(format!("network {id} not found"))),
    }
}

/// `POST /networks/create`.
pub(super) async fn create(mut call: Call) -> Result<Reply> {
    let request: NetworkCreate = call.json().await?;
    reply::created(&call.engine.networks().create(&request)?)
}

/// `POST /networks/{id}/connect`.
pub(super) async fn connect(mut call: Call, id: &str) -> Result<Reply> {
    let request: NetworkConnect = call.json().await?;
    let endpoint = request.endpoint_config.unwrap_or_default();
    call.engine
        .network_connect(id, &request.container, &endpoint)
        .await?;
    reply::empty(StatusCode::OK)
}

/// `POST /networks/{id}/disconnect`.
pub(super) async fn disconnect(mut call: Call, id: &str) -> Result<Reply> {
    let request: NetworkDisconnect = call.json().await?;
    call.engine
        .network_disconnect(id, &request.container, request.force)
        .await?;
    reply::empty(StatusCode::OK)
}

/// `DELETE /networks/{id}`.
pub(super) fn remove(call: &Call, id: &str) -> Result<Reply> {
    call.engine.networks().remove(id)?;
    reply::no_content()
}

/// `POST /networks/prune`.
pub(super) fn prune(call: &Call) -> Result<Reply> {
    let report = call.engine.networks().prune(&call.query.filters()?)?;
    call.engine.pruned("network", 0);
    reply::ok(&report)
}
