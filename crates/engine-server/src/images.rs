//! Endpoints about images.

use engine::CommitRequest;
use engine_api::{
    AuthConfig, AuthResponse, Body, ContainerConfig, Error, IdResponse, ProgressMessage, Result,
};
use images::{ImageListOptions, ImportOptions, ProgressStream};
use serde_json::Value;

use super::call::{self, Call};
use super::reply::{self, Reply};
use super::version::ApiVersion;
use super::{older, streams};

/// `GET /images/json`.
pub(super) fn list(call: &Call) -> Result<Reply> {
    let mut filters = call.query.filters()?;
    if call.version < ApiVersion(1, 41)
        && let Some(pattern) = call.query.non_empty("filter")
    {
        filters = filters.with("reference", pattern);
    }
    let options = ImageListOptions {
        all: call.query.flag("all"),
        shared_size: call.version >= ApiVersion(1, 42) && call.query.flag("shared-size"),
        filters,
    };
    let mut images = call.engine.images().list(&options)?;
    older::image_list(call.version, &mut images);
    reply::ok(&images)
}

/// `GET /images/{name}/json`.
pub(super) fn inspect(call: &Call, name: &str) -> Result<Reply> {
    let mut image = call.engine.images().inspect(name)?;
    older::image_inspect(call.version, &mut image);
    reply::ok(&image)
}

/// `GET /images/{name}/history`.
pub(super) fn history(call: &Call, name: &str) -> Result<Reply> {
    reply::ok(&call.engine.images().history(name)?)
}

/// `GET /images/search`.
pub(super) async fn search(call: &Call) -> Result<Reply> {
    let limit = call.query.number("limit")?.unwrap_or_default();
    if limit < 0 {
        return Err(Error::bad_parameter("invalid limit specified"));
    }
    let (term, filters) = (call.query.text("term"), call.query.filters()?);
    let images = call.engine.images();
    let found = images.search(term, limit, &filters, call.registry_auth());
    reply::ok(&found.await?)
}

/// `GET /distribution/{name}/json`.
pub(super) async fn distribution(call: &Call, name: &str) -> Result<Reply> {
    let auth = call.registry_auth();
    reply::ok(&call.engine.images().distribution(name, auth).await?)
}

/// `POST /images/create`: pull or import.
pub(super) async fn create(call: Call) -> Result<Reply> {
    let query = &call.query;
    let platform = query
        .non_empty("platform")
        .filter(|_| call.version >= ApiVersion(1, 32));
    if let Some(image) = query.non_empty("fromImage") {
        // `:` at the end of the name is what `pull -a` sends.
        let image = image.strip_suffix(':').unwrap_or(image);
        return progress(
            call.engine
                .images()
                .pull_or_all(image, query.text("tag"), platform, call.registry_auth())
                .await?,
        );
    }
    let mut config = ContainerConfig::default();
    engine::apply_changes(&mut config, &query.all("changes"))?;
    let options = ImportOptions {
        repository: query.text("repo").to_owned(),
        tag: query.text("tag").to_owned(),
        message: query.text("message").to_owned(),
        source: query.text("fromSrc").to_owned(),
        platform: platform.map(str::to_owned),
        config,
    };
    let engine = call.engine.clone();
    progress(engine.images().import(options, call.upload()).await?)
}

/// `POST /images/load`.
pub(super) async fn load(call: Call) -> Result<Reply> {
    let quiet = call.query.flag("quiet");
    let engine = call.engine.clone();
    progress(engine.images().load(call.upload(), quiet).await?)
}

/// `GET /images/get` and `GET /images/{name}/get`.
pub(super) async fn save(call: &Call, names: Vec<String>) -> Result<Reply> {
    let archive = call.engine.images().save(&names).await?;
    Ok(reply::stream("application/x-tar", Body::Stream(archive)))
}

/// `POST /images/{name}/push`.
pub(super) async fn push(call: &Call, name: &str) -> Result<Reply> {
    progress(
        call.engine
            .images()
            .push(name, call.query.text("tag"), call.registry_auth())
            .await?,
    )
}

/// `POST /images/{name}/tag`.
pub(super) fn tag(call: &Call, name: &str) -> Result<Reply> {
    call.engine
        .images()
        .tag(name, call.query.text("repo"), call.query.text("tag"))?;
    reply::empty(http::StatusCode::CREATED)
}

/// `DELETE /images/{name}`.
pub(super) async fn remove(call: &Call, name: &str) -> Result<Reply> {
    if name.trim().is_empty() {
        return Err(Error::bad_parameter("image name cannot be blank"));
    }
    let (images, force) = (call.engine.images(), call.query.flag("force"));
    reply::ok(&if call.query.flag("noprune") {
        images.remove_only(name, force).await?
    } else {
        images.remove(name, force).await?
    })
}

/// `POST /images/prune`.
pub(super) async fn prune(call: &Call) -> Result<Reply> {
    let filters = call.query.filters()?;
    let report = call.engine.images().prune(&filters).await?;
    call.engine.pruned("image", report.space_reclaimed);
    reply::ok(&report)
}

/// `POST /commit`.
pub(super) async fn commit(mut call: Call) -> Result<Reply> {
    let config = commit_config(call.json_bytes().await?.as_deref())?;
    let query = &call.query;
    let request = CommitRequest {
        repository: query.text("repo").to_owned(),
        tag: query.text("tag").to_owned(),
        comment: query.text("comment").to_owned(),
        author: query.text("author").to_owned(),
        pause: query.flag_or("pause", true),
        changes: query.all("changes"),
        config,
    };
    let id = call
        .engine
        .container_commit(query.text("container"), request)
        .await?;
    reply::created(&IdResponse { id })
}

/// The configuration in the body of a commit. One that is empty means the container's own, as in Docker.
fn commit_config(body: Option<&[u8]>) -> Result<Option<ContainerConfig>> {
    match body.map(call::value).transpose()? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(fields)) if fields.is_empty() => Ok(None),
        Some(config) => call::convert(config).map(Some),
    }
}

/// `POST /auth`.
pub(super) async fn auth(mut call: Call) -> Result<Reply> {
    let auth: AuthConfig = call.json().await?;
    call.engine.images().login(auth).await?;
    reply::ok(&AuthResponse {
        status: "Login Succeeded".to_owned(),
        identity_token: String::new(),
    })
}

/// The answer of a transfer. What fails before the first report is an ordinary error; later it is the stream's last line.
fn progress(mut reports: ProgressStream) -> Result<Reply> {
    let (sender, body) = streams::channel();
    engine_api::tasks::spawn(async move {
        loop {
            let report = tokio::select! {
                biased;
                report = reports.recv() => report,
                // Dropping the reports ends the transfer, as in Docker.
                () = sender.closed() => return,
            };
            let Some(report) = report else { return };
            if sender.send(line(&report)).await.is_err() {
                return;
            }
        }
    });
    Ok(reply::stream("application/json", body))
}

/// Progress lines end as Docker's do.
fn line(message: &ProgressMessage) -> std::io::Result<bytes::Bytes> {
    let mut text = serde_json::to_vec(message)?;
    text.extend_from_slice(b"\r\n");
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use engine_api::ErrorDetail;

    use super::*;

    #[test]
    fn a_failure_is_docker_s_last_line() {
        let message = "no such host".to_owned();
        let detail = ErrorDetail {
            code: 0,
            message: message.clone(),
        };
        let report = ProgressMessage {
            error_detail: Some(detail),
            error: message,
            ..ProgressMessage::default()
        };
        let text = line(&report).unwrap();
        assert_eq!(
            &text[..],
            b"{\"errorDetail\":{\"message\":\"no such host\"},\"error\":\"no such host\"}\r\n"
        );
    }
    #[test]
    fn a_commit_without_a_configuration_takes_the_containers() {
        for body in [None, Some(&b"null"[..]), Some(b"{}")] {
            assert_eq!(commit_config(body), Ok(None));
        }
        let config = commit_config(Some(br#"{"Env":["A=b"]}"#)).unwrap().unwrap();
        assert_eq!(config.env, ["A=b"]);
        assert!(commit_config(Some(b"[]")).is_err());
    }
}
