//! Endpoints about processes in running containers.

use bytes::Bytes;
use engine_api::options::{AttachSession, StreamKind};
use engine_api::{Error, ExecConfig, ExecStartConfig, IdResponse, Result};
use tokio::sync::mpsc;

use super::call::Call;
use super::hijack;
use super::reply::{self, Reply};
use super::version::ApiVersion;

/// First version with a size of the terminal.
const CONSOLE_SIZE: ApiVersion = ApiVersion(1, 42);

/// `POST /containers/{id}/exec`.
pub(super) async fn create(mut call: Call, id: &str) -> Result<Reply> {
    let mut config: ExecConfig = call.json().await?;
    if call.version < CONSOLE_SIZE {
        config.console_size = None;
    }
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::bad_parameter("No exec command specified"));
    }
    let id = call.engine.exec_create(id, config).await?;
    reply::created(&IdResponse { id })
}

/// `POST /exec/{id}/start`.
pub(super) async fn start(mut call: Call, id: &str) -> Result<Reply> {
    let mut config: ExecStartConfig = call.json().await?;
    call.engine.exec_inspect(id).await?;
    if call.version < CONSOLE_SIZE || !config.tty {
        config.console_size = None;
    }
    if config.detach {
        call.engine.exec_start(id, config).await?;
        return reply::empty(http::StatusCode::OK);
    }
    // As in Docker, this request says whether there are frames, not the one that made the exec.
    let tty = config.tty;
    let (engine, id) = (call.engine.clone(), id.to_owned());
    hijack::start_with(call, tty, async move {
        match engine.exec_start(&id, config).await {
            Ok(Some(session)) => AttachSession { tty, ..session },
            Ok(None) => ended(tty, None),
            // The connection is handed over: the client reads the reason as output, the code by inspect.
            Err(error) => ended(tty, Some(&error)),
        }
    })
}

/// A session that says one thing, or nothing, and ends.
fn ended(tty: bool, error: Option<&Error>) -> AttachSession {
    let (sender, output) = mpsc::channel(1);
    if let Some(error) = error {
        let text = format!("{}\r\n", error.message);
        // The channel has room for one.
        let _ = sender.try_send((StreamKind::Stdout, Bytes::from(text)));
    }
    AttachSession {
        input: None,
        output,
        tty,
    }
}

/// `POST /exec/{id}/resize`.
pub(super) async fn resize(call: &Call, id: &str) -> Result<Reply> {
    let (height, width) = call.query.size()?;
    call.engine.exec_resize(id, height, width).await?;
    reply::empty(http::StatusCode::OK)
}

/// `GET /exec/{id}/json`.
pub(super) async fn inspect(call: &Call, id: &str) -> Result<Reply> {
    reply::ok(&call.engine.exec_inspect(id).await?)
}
