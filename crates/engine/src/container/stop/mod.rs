//! `docker stop` and `docker restart`, and the stop of everything at shutdown.

pub(super) mod kill;
pub(super) mod pause;
pub(super) mod remove;
pub(crate) mod signals;

use std::time::Duration;

use engine_api::{Error, Result};

use crate::Engine;
use crate::container::{Container, Status};

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
        let signal = signals::parse_if_given(signal)?;
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
        let signal = signals::parse_if_given(signal)?;
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
        // A negative timeout means "no limit"; a century is as good and needs no second path.
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

    /// Lets no container start any more. The first step of a shutdown.
    pub fn forbid_starts(&self) {
        self.0.shutting_down.set(true);
    }

    /// Stops containers whose names `chosen` takes, all at the same time: each gets its own signal and its own time to
    /// end, but none more than `limit`; what does not end is killed. Returns what went wrong, after `limit` and the time
    /// for a kill at the latest.
    pub async fn stop_together(
        &self,
        chosen: impl Fn(&str) -> bool,
        limit: Duration,
    ) -> Vec<String> {
        let mut running = self.all_containers();
        running.retain(|container| {
            let status = container.status();
            (status.is_alive() || status == Status::Restarting) && chosen(&container.name())
        });
        let mut stops = tokio::task::JoinSet::new();
        for container in running {
            let engine = self.clone();
            stops.spawn_local(async move { engine.stop_within(&container, limit).await });
        }
        let mut errors = Vec::new();
        while let Some(stopped) = stops.join_next().await {
            match stopped {
                Ok(error) => errors.extend(error),
                Err(panic) => errors.push(format!("stop a container: {panic}")),
            }
        }
        errors
    }

    async fn stop_within(&self, container: &Container, limit: Duration) -> Option<String> {
        let own = container.record().config.stop_timeout;
        let most = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let seconds = match own.unwrap_or(STOP_TIMEOUT) {
            // "No limit" for a client; a machine that goes down has one.
            negative if negative < 0 => most,
            seconds => seconds.min(most),
        };
        let stopping = async {
            let _turn = container.operation.lock().await;
            self.stop_locked(container, None, Some(seconds)).await
        };
        let error = match tokio::time::timeout(limit, stopping).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.message,
            Err(_) => format!("no end within {} s", limit.as_secs()),
        };
        // A signal that does not exist, a change of the container that hangs: it ends all the same.
        match self.kill_and_wait(container).await {
            Ok(()) => None,
            Err(_) => Some(format!("stop {}: {error}", container.name())),
        }
    }

    /// Stops all containers as [`Self::stop_together`] does, then gives back what the engine holds: mounts, the network
    /// child. Returns what went wrong.
    pub async fn shutdown(&self, limit: Duration) -> Vec<String> {
        self.forbid_starts();
        let mut errors = self.stop_together(|_| true, limit).await;
        for container in self.all_containers() {
            if let Err(error) = self.unmount_rootfs(&container) {
                errors.push(error.message);
            }
        }
        self.0.volumes.settle().await;
        // After the containers, whose names and ports it serves while they stop.
        self.0.networks.end_child();
        errors
    }
}
