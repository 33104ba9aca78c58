//! `docker stop` and `docker restart`, and the stop of everything at shutdown.

use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};

use super::{Container, Status, signals};
use crate::Engine;

/// Seconds a container has to stop by itself, unless it says otherwise.
const STOP_TIMEOUT: i64 = 10;

impl Engine {
    /// `POST /containers/{id}/stop`; a negative timeout waits without end.
    ///
    /// # Errors
    /// 304 when it does not run, 400 for no signal, 404, 500 when it cannot be killed.
    pub async fn container_stop(
        &self,
        reference: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let signal = signal
            .filter(|text| !text.is_empty())
            .map(signals::parse)
            .transpose()?;
        self.detached(move |engine| async move {
            if !container.status().is_alive() && container.status() != Status::Restarting {
                return Err(Error::not_modified("container is already stopped"));
            }
            let _turn = container.operation.lock().await;
            engine.stop_locked(&container, signal, timeout).await
        })
        .await
    }

    /// `POST /containers/{id}/restart`.
    ///
    /// # Errors
    /// As stop and start.
    pub async fn container_restart(
        &self,
        reference: &str,
        signal: Option<&str>,
        timeout: Option<i64>,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let signal = signal
            .filter(|text| !text.is_empty())
            .map(signals::parse)
            .transpose()?;
        self.detached(move |engine| async move {
            let _turn = container.operation.lock().await;
            if container.status() == Status::Removing || container.status() == Status::Dead {
                return Err(Error::conflict(format!(
                    "container {} is marked for removal",
                    container.id
                )));
            }
            container.keep.set(true);
            let stopped = engine.stop_locked(&container, signal, timeout).await;
            container.keep.set(false);
            stopped.map_err(|error| {
                error.context(&format!("Cannot restart container {}", container.id))
            })?;
            container.backoff.borrow_mut().reset();
            container.note(|record| record.manually_stopped = false);
            engine.start_locked(&container).await?;
            engine.publish(&container, "restart");
            Ok(())
        })
        .await
    }

    /// Stops a container whose `operation` the caller holds; one that does not run is fine.
    pub(super) async fn stop_locked(
        &self,
        container: &Container,
        signal: Option<i32>,
        timeout: Option<i64>,
    ) -> Result<()> {
        container.backoff.borrow_mut().cancel();
        container.wake.notify_waiters();
        if !self.is_shutting_down() {
            // A full disk does not keep a container from being stopped.
            container.note(|record| record.manually_stopped = true);
        }
        if container.status() == Status::Restarting {
            self.give_up_restart(container);
            return Ok(());
        }
        if !container.status().is_alive() {
            return Ok(());
        }
        let (own_signal, own_timeout) = {
            let record = container.record();
            (
                record.config.stop_signal.clone(),
                record.config.stop_timeout,
            )
        };
        let number = match signal {
            Some(number) => number,
            None if own_signal.is_empty() => signals::TERM,
            None => signals::parse(&own_signal)?,
        };
        self.signal(container, number)?;
        if container.status() == Status::Paused {
            self.thaw(container)?;
        }
        let seconds = timeout.or(own_timeout).unwrap_or(STOP_TIMEOUT);
        // A negative timeout is "no limit"; a century is as good and needs no second path.
        let limit = u64::try_from(seconds).map_or(
            Duration::from_secs(u64::from(u32::MAX)),
            Duration::from_secs,
        );
        if self.await_exit(container, limit).await.is_err() {
            self.kill_and_wait(container).await?;
        }
        self.publish(container, "stop");
        Ok(())
    }

    /// Stops all containers, the last started first, each with its own timeout but none longer than `limit`.
    /// Containers named in `last` are left to the end, in that order. Never hangs; returns what went wrong.
    pub async fn shutdown(&self, last: Vec<String>, limit: Duration) -> Vec<String> {
        self.0.shutting_down.set(true);
        let rank = |container: &Container| {
            last.iter()
                .position(|name| *name == container.name())
                .map_or(0, |at| at + 1)
        };
        let mut running: Vec<Rc<Container>> = self.all_containers();
        running.retain(|container| {
            container.status().is_alive() || container.status() == Status::Restarting
        });
        running.sort_by_key(|container| {
            (
                rank(container),
                std::cmp::Reverse(container.record().start_order),
            )
        });
        let mut errors = Vec::new();
        for container in running {
            let own = container
                .record()
                .config
                .stop_timeout
                .unwrap_or(STOP_TIMEOUT);
            let seconds = own.clamp(0, i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
            let stopping = async {
                let _turn = tokio::time::timeout(limit, container.operation.lock()).await;
                self.stop_locked(&container, None, Some(seconds)).await
            };
            // The stop itself ends in a kill with its own deadline; twice the limit bounds everything else.
            match tokio::time::timeout(limit * 2 + Duration::from_secs(15), stopping).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => errors.push(format!("stop {}: {error}", container.name())),
                Err(_) => errors.push(format!("stop {}: no answer", container.name())),
            }
        }
        for container in self.all_containers() {
            if let Err(error) = self.unmount_rootfs(&container) {
                errors.push(error.message);
            }
        }
        // After the containers, whose names and ports it serves while they stop.
        self.0.networks.end_child();
        errors
    }
}
