//! Endpoints about containers that answer at once.

use engine_api::options::{ListOptions, RemoveOptions};
use engine_api::{
    ContainerUpdate, ContainerUpdateResponse, CreateRequest, Error, HostConfig, Result,
};
use http::header::TRANSFER_ENCODING;
use serde_json::Value;

use super::call::{self, Call};
use super::older;
use super::reply::{self, Reply};
use super::version::ApiVersion;
use json_reader::lenient;

/// Longest body that `POST /containers/{id}/start` tolerates, in bytes: some clients send `{}` or `null`.
const MAX_START_BODY: u64 = 7;

/// `GET /containers/json`.
pub(super) async fn list(call: &Call) -> Result<Reply> {
    let options = ListOptions {
        all: call.query.flag("all"),
        limit: call.query.number("limit")?.unwrap_or(0),
        size: call.query.flag("size"),
        filters: call.query.filters()?,
    };
    reply::ok(&call.engine.containers_list(options).await?)
}

/// `POST /containers/create`.
pub(super) async fn create(mut call: Call) -> Result<Reply> {
    let mut request = create_request(call.json_bytes().await?.as_deref())?;
    let platform = call
        .query
        .non_empty("platform")
        .filter(|_| call.version >= ApiVersion(1, 41));
    let images = call.engine.images();
    let foreign = match platform {
        Some(platform) => {
            images.check_platform(&request.config.image, platform)?;
            None
        }
        None => images.foreign_platform(&request.config.image),
    };
    let mut warnings = older::create(call.version, &mut request)?;
    warnings.extend(foreign);
    let name = call
        .query
        .non_empty("name")
        .map(|name| name.strip_prefix('/').unwrap_or(name));
    let mut answer = call.engine.container_create(name, request).await?;
    answer.warnings.extend(warnings);
    reply::created(&answer)
}

/// Reads the body of a create request; one without any configuration is refused as in Docker.
pub(super) fn create_request(bytes: Option<&[u8]>) -> Result<CreateRequest> {
    const EMPTY: &str = "config cannot be empty in order to create a container";
    let Some(bytes) = bytes else {
        return Err(Error::bad_parameter(
            "invalid JSON: got EOF while reading request body",
        ));
    };
    let Value::Object(mut fields) = call::value(bytes)? else {
        return Err(Error::bad_parameter(EMPTY));
    };
    let mut part = |name| lenient::take(&mut fields, name).unwrap_or_default();
    let (host, networking) = (part("HostConfig"), part("NetworkingConfig"));
    let cpuset = part("Cpuset");
    if fields.is_empty() {
        return Err(Error::bad_parameter(EMPTY));
    }
    // Before there was a HostConfig its fields were next to the others, and Docker still takes them from there.
    let outside: HostConfig = call::convert(Value::Object(fields.clone()))?;
    let mut host_config = match call::convert::<Option<HostConfig>>(host)? {
        None => outside,
        Some(mut host) => {
            inherit(&mut host, outside);
            host
        }
    };
    if let Value::String(cpuset) = cpuset
        && host_config.cpuset_cpus.is_empty()
    {
        host_config.cpuset_cpus = cpuset;
    }
    Ok(CreateRequest {
        host_config,
        networking_config: call::convert::<Option<_>>(networking)?.unwrap_or_default(),
        config: call::convert(Value::Object(fields))?,
        ..CreateRequest::default()
    })
}

/// Old clients put these limits next to the HostConfig; they count where it has none.
fn inherit(host: &mut HostConfig, outside: HostConfig) {
    for (own, other) in [
        (&mut host.memory, outside.memory),
        (&mut host.memory_swap, outside.memory_swap),
        (&mut host.cpu_shares, outside.cpu_shares),
    ] {
        if *own == 0 {
            *own = other;
        }
    }
    for (own, other) in [
        (&mut host.cpuset_cpus, outside.cpuset_cpus),
        (&mut host.volume_driver, outside.volume_driver),
    ] {
        if own.is_empty() {
            *own = other;
        }
    }
}

/// `GET /containers/{id}/json`.
pub(super) async fn inspect(call: &Call, id: &str) -> Result<Reply> {
    let size = call.query.flag("size");
    let mut inspect = call.engine.container_inspect(id, size).await?;
    older::container_inspect(call.version, &mut inspect);
    reply::ok(&inspect)
}

/// `GET /containers/{id}/top`.
pub(super) async fn top(call: &Call, id: &str) -> Result<Reply> {
    let arguments = call.query.non_empty("ps_args").unwrap_or("-ef");
    reply::ok(&call.engine.container_top(id, arguments).await?)
}

/// `GET /containers/{id}/changes`; null when there are none.
pub(super) async fn changes(call: &Call, id: &str) -> Result<Reply> {
    let changes = call.engine.container_changes(id).await?;
    reply::ok(&(!changes.is_empty()).then_some(changes))
}

/// `POST /containers/{id}/start`.
pub(super) async fn start(call: &Call, id: &str) -> Result<Reply> {
    if call.content_length().unwrap_or(0) > MAX_START_BODY
        || call.headers.contains_key(TRANSFER_ENCODING)
    {
        return Err(Error::bad_parameter(
            "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        ));
    }
    if call.query.non_empty("checkpoint").is_some() {
        return super::refused::checkpoints();
    }
    call.engine.container_start(id).await?;
    reply::no_content()
}

/// The signal parameter, which stop and restart have since 1.42.
fn signal(call: &Call) -> Option<&str> {
    (call.version >= ApiVersion(1, 42))
        .then(|| call.query.non_empty("signal"))
        .flatten()
}

/// `POST /containers/{id}/stop`.
pub(super) async fn stop(call: &Call, id: &str) -> Result<Reply> {
    call.engine
        .container_stop(id, signal(call), call.query.number("t")?)
        .await?;
    reply::no_content()
}

/// `POST /containers/{id}/restart`.
pub(super) async fn restart(call: &Call, id: &str) -> Result<Reply> {
    call.engine
        .container_restart(id, signal(call), call.query.number("t")?)
        .await?;
    reply::no_content()
}

/// `POST /containers/{id}/kill`.
pub(super) async fn kill(call: &Call, id: &str) -> Result<Reply> {
    call.engine
        .container_kill(id, call.query.non_empty("signal"))
        .await?;
    reply::no_content()
}

/// `POST /containers/{id}/pause`.
pub(super) async fn pause(call: &Call, id: &str) -> Result<Reply> {
    call.engine.container_pause(id).await?;
    reply::no_content()
}

/// `POST /containers/{id}/unpause`.
pub(super) async fn unpause(call: &Call, id: &str) -> Result<Reply> {
    call.engine.container_unpause(id).await?;
    reply::no_content()
}

/// `POST /containers/{id}/rename`.
pub(super) async fn rename(call: &Call, id: &str) -> Result<Reply> {
    call.engine
        .container_rename(id, call.query.text("name"))
        .await?;
    reply::no_content()
}

/// `POST /containers/{id}/resize`.
pub(super) async fn resize(call: &Call, id: &str) -> Result<Reply> {
    let (height, width) = call.query.size()?;
    call.engine.container_resize(id, height, width).await?;
    reply::empty(http::StatusCode::OK)
}

/// `POST /containers/{id}/update`.
pub(super) async fn update(mut call: Call, id: &str) -> Result<Reply> {
    let mut update: ContainerUpdate = call.json().await?;
    older::update(call.version, &mut update);
    let warnings = call.engine.container_update(id, update).await?;
    reply::ok(&ContainerUpdateResponse { warnings })
}

/// `DELETE /containers/{id}`.
pub(super) async fn remove(call: &Call, id: &str) -> Result<Reply> {
    let options = RemoveOptions {
        volumes: call.query.flag("v"),
        force: call.query.flag("force"),
        link: call.query.flag("link"),
    };
    call.engine.container_remove(id, options).await?;
    reply::no_content()
}

/// `POST /containers/prune`.
pub(super) async fn prune(call: &Call) -> Result<Reply> {
    reply::ok(&call.engine.containers_prune(&call.query.filters()?).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_create_request_needs_a_configuration() {
        for body in [&b"{}"[..], b"null", b"[]", b"{\"HostConfig\":{}}"] {
            let error = create_request(Some(body)).unwrap_err();
            assert_eq!(
                error.message,
                "config cannot be empty in order to create a container"
            );
        }
        assert!(
            create_request(None)
                .unwrap_err()
                .message
                .starts_with("invalid JSON")
        );
        let request =
            create_request(Some(br#"{"Image":"a","Cmd":"ls","HostConfig":null}"#)).unwrap();
        assert_eq!(request.config.cmd, Some(vec!["ls".to_owned()]));
        // Without volumes Docker shows null, not an empty map.
        let shown = serde_json::to_value(&request.config).unwrap();
        assert_eq!(shown["Volumes"], serde_json::Value::Null);
        let body = br#"{"Image":"a","HostConfig":{"CapAdd":"NET_ADMIN","CapDrop":["MKNOD"]}}"#;
        let host = create_request(Some(body)).unwrap().host_config;
        assert_eq!(host.cap_add, Some(vec!["NET_ADMIN".to_owned()]));
        assert_eq!(host.cap_drop, Some(vec!["MKNOD".to_owned()]));
    }

    #[test]
    fn wrong_types_are_named() {
        let error =
            create_request(Some(br#"{"Image":"a","HostConfig":{"Memory":"lots"}}"#)).unwrap_err();
        assert_eq!(error.status, 400);
        assert!(
            error.message.starts_with("invalid JSON: "),
            "{}",
            error.message
        );
    }
}
