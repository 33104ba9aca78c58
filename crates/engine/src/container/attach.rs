//! `docker attach`, `docker logs`, terminal size.

use engine_api::options::{AttachOptions, AttachSession, LogSession, LogsOptions, STREAM_DEPTH};
use engine_api::{Error, Result};
use tokio::sync::mpsc;

use super::Status;
use crate::Engine;
use crate::io::Wanted;

impl Engine {
    /// `POST /containers/{id}/attach`.
    ///
    /// # Errors
    /// 400 for bad detach keys, 404, 409 when it is paused or restarting.
    pub async fn container_attach(
        &self,
        reference: &str,
        options: AttachOptions,
    ) -> Result<AttachSession> {
        let container = self.find(reference)?;
        match container.status() {
            Status::Paused => {
                return Err(Error::conflict(format!(
                    "container {} is paused, unpause the container before attach",
                    container.id
                )));
            }
            Status::Restarting => {
                return Err(Error::conflict(format!(
                    "container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            Status::Removing | Status::Dead => {
                return Err(Error::conflict(format!(
                    "container {} is marked for removal",
                    container.id
                )));
            }
            _ => {}
        }
        let wanted = Wanted {
            stdin: options.stdin && options.stream,
            stdout: options.stdout && options.stream,
            stderr: options.stderr && options.stream,
            detach_keys: options.detach_keys,
        };
        // Subscribing comes first, so that nothing is lost between the replay and the stream.
        let mut session = container.streams.attach(&wanted)?;
        if options.logs
            && let Some(log) = &container.streams.log
        {
            let past = LogsOptions {
                stdout: options.stdout,
                stderr: options.stderr,
                ..LogsOptions::default()
            };
            let past = log.read(past);
            session.output = chain(past, options.stream.then_some(session.output));
        } else if !options.stream {
            session.output = mpsc::channel(1).1;
        }
        self.publish(&container, "attach");
        Ok(session)
    }

    /// `GET /containers/{id}/logs`.
    ///
    /// # Errors
    /// 400 without a stream, 404, 501 when the container keeps no log.
    pub async fn container_logs(
        &self,
        reference: &str,
        options: LogsOptions,
    ) -> Result<LogSession> {
        let container = self.find(reference)?;
        if !options.stdout && !options.stderr {
            return Err(Error::bad_parameter("You must choose at least one stream"));
        }
        let log = container.streams.log.as_ref().ok_or_else(|| {
            Error::not_implemented("configured logging driver does not support reading")
        })?;
        Ok(LogSession {
            output: log.read(options),
            tty: container.streams.tty(),
        })
    }

    /// `POST /containers/{id}/resize`.
    ///
    /// # Errors
    /// 404, 409 when it does not run.
    pub async fn container_resize(&self, reference: &str, height: u16, width: u16) -> Result<()> {
        let container = self.find(reference)?;
        if !container.status().is_alive() {
            return Err(Error::conflict(format!(
                "container {} is not running",
                container.id
            )));
        }
        let terminal = container
            .live
            .borrow()
            .as_ref()
            .and_then(|live| live.terminal.clone());
        let Some(terminal) = terminal else {
            return Ok(());
        };
        sys::tty::set_winsize(&*terminal, height, width)
            .map_err(|error| Error::server(error.to_string()))?;
        let mut attributes = container.event_attributes();
        attributes.insert("height".to_owned(), height.to_string());
        attributes.insert("width".to_owned(), width.to_string());
        self.0
            .events
            .publish("container", "resize", &container.id, attributes);
        Ok(())
    }
}

/// First all of `past`, then `live`.
fn chain(
    mut past: mpsc::Receiver<engine_api::options::OutputChunk>,
    live: Option<mpsc::Receiver<engine_api::options::OutputChunk>>,
) -> mpsc::Receiver<engine_api::options::OutputChunk> {
    let (sender, receiver) = mpsc::channel(STREAM_DEPTH);
    engine_api::tasks::spawn(async move {
        while let Some(chunk) = past.recv().await {
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
        let Some(mut live) = live else { return };
        loop {
            let chunk = tokio::select! {
                chunk = live.recv() => chunk,
                () = sender.closed() => return,
            };
            let Some(chunk) = chunk else { return };
            if sender.send(chunk).await.is_err() {
                return;
            }
        }
    });
    receiver
}
