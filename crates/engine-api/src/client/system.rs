//! Calls about the engine itself.

use http::{Method, header};

use super::query::Target;
use super::transport::{finish, read_json};
use super::{Client, JsonLines};
use crate::body::Body;
use crate::{
    AuthConfig, AuthResponse, DiskUsage, EngineStatus, EventMessage, Filters, Result, SystemInfo,
    SystemVersion,
};

impl Client {
    /// Whether the engine answers.
    ///
    /// # Errors
    /// Those of the Engine API, here and in all calls.
    pub async fn ping(&self) -> Result<()> {
        self.unit(Method::GET, &Target::new("/_ping")).await
    }

    /// Versions of the engine and its parts.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn version(&self) -> Result<SystemVersion> {
        self.get(&Target::new("/version")).await
    }

    /// The engine's state.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn info(&self) -> Result<SystemInfo> {
        self.get(&Target::new("/info")).await
    }

    /// What takes how much room.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn disk_usage(&self) -> Result<DiskUsage> {
        self.get(&Target::new("/system/df")).await
    }

    /// Events; `since` and `until` as Docker reads them (Unix seconds, RFC 3339, durations such as `10m`).
    ///
    /// # Errors
    /// 400 for a wrong time or an unknown filter.
    pub async fn events(
        &self,
        since: Option<&str>,
        until: Option<&str>,
        filters: &Filters,
    ) -> Result<JsonLines<EventMessage>> {
        let target = Target::new("/events")
            .with_some("since", since)
            .with_some("until", until)
            .with_some("filters", filters_text(filters));
        Ok(self.stream(Method::GET, &target).await?.json_lines())
    }

    /// The engine's program and how it was replaced; System Docker's own.
    ///
    /// # Errors
    /// 404 from the Docker Engine, which does not have it.
    pub async fn engine_status(&self) -> Result<EngineStatus> {
        self.get(&Target::new("/engine")).await
    }

    /// Replaces the engine's program by the one in `program` (its bytes), or with an empty body by itself; `wait` is how
    /// many seconds work under way may take to end. Answers with the status before it; [`Self::engine_status`] then says
    /// how it went.
    ///
    /// # Errors
    /// 400 for a program that cannot take over, 409 while something lasts longer than `wait`, 503 during boot and shutdown.
    pub async fn engine_upgrade(&self, program: Body, wait: Option<u64>) -> Result<EngineStatus> {
        let target =
            Target::new("/engine/upgrade").with_some("t", wait.map(|wait| wait.to_string()));
        let mut request = self.request(Method::POST, &target);
        if !matches!(program, Body::Empty) {
            request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        }
        read_json(self.send(finish(request, program)?).await?).await
    }

    /// Checks credentials at a registry.
    ///
    /// # Errors
    /// 401 when the registry refuses them, 500 when it cannot be reached.
    pub async fn auth(&self, auth: &AuthConfig) -> Result<AuthResponse> {
        self.post_json(&Target::new("/auth"), auth).await
    }
}

/// The text of the `filters` parameter, when there are any.
pub(crate) fn filters_text(filters: &Filters) -> Option<String> {
    (!filters.is_empty()).then(|| filters.to_json())
}
