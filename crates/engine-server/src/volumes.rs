//! Endpoints about volumes.

use engine_api::{Result, VolumeCreate};

use super::call::Call;
use super::refused;
use super::reply::{self, Reply};

/// `GET /volumes`.
pub(super) fn list(call: &Call) -> Result<Reply> {
    reply::ok(&call.engine.volumes().list(&call.query.filters()?)?)
}

/// `POST /volumes/create`.
pub(super) async fn create(mut call: Call) -> Result<Reply> {
    let request: VolumeCreate = call.json().await?;
    if request.cluster_volume_spec.is_some() {
        return refused::no_manager();
    }
    reply::created(&call.engine.volumes().create(&request)?)
}

/// `GET /volumes/{name}`.
pub(super) fn inspect(call: &Call, name: &str) -> Result<Reply> {
    reply::ok(&call.engine.volumes().inspect(name)?)
}

/// `PUT /volumes/{name}`: for cluster volumes only, which need a swarm.
pub(super) fn update(call: &Call, name: &str) -> Result<Reply> {
    call.engine.volumes().inspect(name)?;
    refused::no_manager()
}

/// `DELETE /volumes/{name}`.
pub(super) async fn remove(call: &Call, name: &str) -> Result<Reply> {
    call.engine
        .volumes()
        .remove(name, call.query.flag("force"))
        .await?;
    reply::no_content()
}

/// `POST /volumes/prune`; only anonymous ones unless `all` is asked for, since 1.42.
pub(super) async fn prune(call: &Call) -> Result<Reply> {
    let mut filters = call.query.filters()?;
    if call.version < super::version::ApiVersion(1, 42) {
        filters.0.insert("all".to_owned(), vec!["true".to_owned()]);
    }
    let report = call.engine.volumes().prune(&filters).await?;
    call.engine.pruned("volume", report.space_reclaimed);
    reply::ok(&report)
}
