//! Calls about containers.

use http::{Method, header};

use super::query::Target;
use super::system::filters_text;
use super::transport::finish;
use super::{ByteStream, Client, Hijacked, JsonLines};
use crate::body::Body;
use crate::options::ArchivePutOptions;
use crate::{
    ContainerCreateResponse, ContainerInspect, ContainerSummary, ContainerTop, ContainerUpdate,
    ContainerUpdateResponse, ContainersPruneReport, CreateRequest, Error, FilesystemChange,
    Filters, PathStat, Result, Stats, WaitResponse, base64,
};

/// Parameters of attach.
#[derive(Debug, Clone, Default)]
pub struct AttachQuery {
    /// Follow what comes from now on.
    pub stream: bool,
    /// Attach standard input.
    pub stdin: bool,
    /// Attach standard output.
    pub stdout: bool,
    /// Attach standard error.
    pub stderr: bool,
    /// Replay the log first.
    pub logs: bool,
    /// Keys that detach.
    pub detach_keys: Option<String>,
}

/// Parameters of logs.
#[derive(Debug, Clone, Default)]
pub struct LogsQuery {
    /// Follow.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Only since then.
    pub since: Option<String>,
    /// Only until then.
    pub until: Option<String>,
    /// A time before each line.
    pub timestamps: bool,
    /// Attributes before each line.
    pub details: bool,
    /// The last so many lines; none means all.
    pub tail: Option<u64>,
}

fn of(id: &str, rest: &str) -> Target {
    Target::of("containers", id, rest)
}

impl Client {
    /// Containers, those that do not run too when `all`.
    ///
    /// # Errors
    /// 400 for an unknown filter.
    pub async fn container_list(
        &self,
        all: bool,
        size: bool,
        filters: &Filters,
    ) -> Result<Vec<ContainerSummary>> {
        let target = Target::new("/containers/json")
            .flag("all", all)
            .flag("size", size)
            .with_some("filters", filters_text(filters));
        self.get(&target).await
    }

    /// Makes a container; the engine names it when `name` is none. With `platform` (`os[/architecture[/variant]]`) its image
    /// must be for that one.
    ///
    /// # Errors
    /// 400 for a wrong request, 404 when the image is not there, 409 when the name is taken.
    pub async fn container_create(
        &self,
        name: Option<&str>,
        platform: Option<&str>,
        request: &CreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let target = Target::new("/containers/create")
            .with_some("name", name)
            .with_some("platform", platform);
        self.post_json(&target, request).await
    }

    /// One container.
    ///
    /// # Errors
    /// 404 when there is no such container.
    pub async fn container_inspect(&self, id: &str, size: bool) -> Result<ContainerInspect> {
        self.get(&of(id, "/json").flag("size", size)).await
    }

    /// Its processes as `ps` with `ps_args` shows them.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it does not run.
    pub async fn container_top(&self, id: &str, ps_args: Option<&str>) -> Result<ContainerTop> {
        self.get(&of(id, "/top").with_some("ps_args", ps_args))
            .await
    }

    /// Its output so far, framed unless it has a terminal.
    ///
    /// # Errors
    /// 404 when there is no such container.
    pub async fn container_logs(&self, id: &str, query: &LogsQuery) -> Result<ByteStream> {
        let target = of(id, "/logs")
            .flag("follow", query.follow)
            .flag("stdout", query.stdout)
            .flag("stderr", query.stderr)
            .flag("timestamps", query.timestamps)
            .flag("details", query.details)
            .with_some("since", query.since.as_deref())
            .with_some("until", query.until.as_deref())
            .with_some("tail", query.tail.map(|lines| lines.to_string()));
        self.stream(Method::GET, &target).await
    }

    /// What it changed in its root file system; null means nothing.
    ///
    /// # Errors
    /// 404 when there is no such container.
    pub async fn container_changes(&self, id: &str) -> Result<Vec<FilesystemChange>> {
        let changes: Option<Vec<FilesystemChange>> = self.get(&of(id, "/changes")).await?;
        Ok(changes.unwrap_or_default())
    }

    /// Its root file system as a tar archive.
    ///
    /// # Errors
    /// 404 when there is no such container. An archive that is cut short ends in an error.
    pub async fn container_export(&self, id: &str) -> Result<ByteStream> {
        self.stream(Method::GET, &of(id, "/export")).await
    }

    /// Its use of resources: one sample, or one per second until dropped.
    ///
    /// # Errors
    /// 404 when there is no such container.
    pub async fn container_stats(
        &self,
        id: &str,
        stream: bool,
        one_shot: bool,
    ) -> Result<JsonLines<Stats>> {
        let target = of(id, "/stats")
            .with("stream", if stream { "1" } else { "0" })
            .flag("one-shot", one_shot);
        Ok(self.stream(Method::GET, &target).await?.json_lines())
    }

    /// Sets its terminal's size in characters.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it does not run.
    pub async fn container_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let target = of(id, "/resize")
            .with("h", height.to_string())
            .with("w", width.to_string());
        self.unit(Method::POST, &target).await
    }

    /// Starts it; fails with 304 when it runs.
    ///
    /// # Errors
    /// 304 when it runs already, 404 when there is no such container, 409 when its state forbids it, 500 when the program cannot be started.
    pub async fn container_start(&self, id: &str) -> Result<()> {
        self.unit(Method::POST, &of(id, "/start")).await
    }

    /// Stops it; fails with 304 when it does not run.
    ///
    /// # Errors
    /// 304 when it does not run, 404 when there is no such container.
    pub async fn container_stop(
        &self,
        id: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let target = of(id, "/stop")
            .with_some("signal", signal)
            .with_some("t", timeout.map(|t| t.to_string()));
        self.unit(Method::POST, &target).await
    }

    /// Stops and starts it.
    ///
    /// # Errors
    /// 404 when there is no such container, 500 when it does not start again.
    pub async fn container_restart(
        &self,
        id: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let target = of(id, "/restart")
            .with_some("signal", signal)
            .with_some("t", timeout.map(|t| t.to_string()));
        self.unit(Method::POST, &target).await
    }

    /// Sends it a signal; none means SIGKILL.
    ///
    /// # Errors
    /// 400 for an unknown signal, 404 when there is no such container, 409 when it does not run.
    pub async fn container_kill(&self, id: &str, signal: Option<&str>) -> Result<()> {
        self.unit(Method::POST, &of(id, "/kill").with_some("signal", signal))
            .await
    }

    /// Changes limits and restart policy.
    ///
    /// # Errors
    /// 400 for wrong limits, 404 when there is no such container.
    pub async fn container_update(
        &self,
        id: &str,
        update: &ContainerUpdate,
    ) -> Result<ContainerUpdateResponse> {
        self.post_json(&of(id, "/update"), update).await
    }

    /// Renames it.
    ///
    /// # Errors
    /// 400 for a wrong name, 404 when there is no such container, 409 when the name is taken.
    pub async fn container_rename(&self, id: &str, name: &str) -> Result<()> {
        self.unit(Method::POST, &of(id, "/rename").with("name", name))
            .await
    }

    /// Freezes it.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it does not run or is paused.
    pub async fn container_pause(&self, id: &str) -> Result<()> {
        self.unit(Method::POST, &of(id, "/pause")).await
    }

    /// Thaws it.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it is not paused.
    pub async fn container_unpause(&self, id: &str) -> Result<()> {
        self.unit(Method::POST, &of(id, "/unpause")).await
    }

    /// Attaches to its streams.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it is paused or restarts.
    pub async fn container_attach(&self, id: &str, query: &AttachQuery) -> Result<Hijacked> {
        let target = of(id, "/attach")
            .flag("stream", query.stream)
            .flag("stdin", query.stdin)
            .flag("stdout", query.stdout)
            .flag("stderr", query.stderr)
            .flag("logs", query.logs)
            .with_some("detachKeys", query.detach_keys.as_deref());
        self.hijack::<()>(&target, None).await
    }

    /// Begins to wait for it; the condition is `not-running`, `next-exit` or `removed`. When this has returned, the
    /// engine watches: start the container, then read the one value.
    ///
    /// # Errors
    /// 400 for an unknown condition, 404 when there is no such container.
    pub async fn container_wait(
        &self,
        id: &str,
        condition: Option<&str>,
    ) -> Result<JsonLines<WaitResponse>> {
        Ok(self
            .stream(
                Method::POST,
                &of(id, "/wait").with_some("condition", condition),
            )
            .await?
            .json_lines())
    }

    /// Removes it, with its anonymous volumes when `volumes`, running or not when `force`.
    ///
    /// # Errors
    /// 404 when there is no such container, 409 when it runs and `force` is not given.
    pub async fn container_remove(&self, id: &str, volumes: bool, force: bool) -> Result<()> {
        self.unit(
            Method::DELETE,
            &of(id, "").flag("v", volumes).flag("force", force),
        )
        .await
    }

    /// Removes those that do not run.
    ///
    /// # Errors
    /// 400 for an unknown filter, 409 while another prune is under way.
    pub async fn containers_prune(&self, filters: &Filters) -> Result<ContainersPruneReport> {
        self.post_empty(
            &Target::new("/containers/prune").with_some("filters", filters_text(filters)),
        )
        .await
    }

    /// What is at a path in it.
    ///
    /// # Errors
    /// 404 when there is no such container or path.
    pub async fn archive_stat(&self, id: &str, path: &str) -> Result<PathStat> {
        let response = self
            .call(Method::HEAD, &of(id, "/archive").with("path", path))
            .await?;
        path_stat(response.headers())
    }

    /// A path in it as a tar archive.
    ///
    /// # Errors
    /// 404 when there is no such container or path. An archive that is cut short ends in an error.
    pub async fn archive_get(&self, id: &str, path: &str) -> Result<(PathStat, ByteStream)> {
        let response = self
            .call(Method::GET, &of(id, "/archive").with("path", path))
            .await?;
        let stat = path_stat(response.headers())?;
        Ok((stat, ByteStream::new(response.into_body())))
    }

    /// Unpacks a tar archive into a directory in it.
    ///
    /// # Errors
    /// 400 when the path is not a directory or the archive is damaged, 404 when there is no such container or path.
    pub async fn archive_put(
        &self,
        id: &str,
        options: &ArchivePutOptions,
        archive: Body,
    ) -> Result<()> {
        let target = of(id, "/archive")
            .with("path", options.path.to_string_lossy())
            .flag("noOverwriteDirNonDir", options.no_overwrite_dir_non_dir)
            .flag("copyUIDGID", options.copy_uid_gid);
        let request = self
            .request(Method::PUT, &target)
            .header(header::CONTENT_TYPE, "application/x-tar");
        self.send(finish(request, archive)?).await.map(drop)
    }
}

fn path_stat(headers: &http::HeaderMap) -> Result<PathStat> {
    let text = headers
        .get("x-docker-container-path-stat")
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Error::server("engine's answer has no path stat"))?;
    Ok(json_reader::from_slice(&base64::decode(text)?)?)
}
