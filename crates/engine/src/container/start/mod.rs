//! Starting a container: root file system, files, specification, process, network, go.

mod files;
mod request;

use std::rc::Rc;

use engine_api::Timestamp;
use engine_api::{Error, Result};
use network::Attachment;
use runtime::{CreateRequest, ErrorKind, Process, Runtime};
use sys::cgroup::Cgroup;
use tokio::sync::{Notify, oneshot};

use super::life::monitor::remove_bundle;
use super::{Container, Live, Status};
use crate::Engine;
use crate::io::{Descriptors, Pumps};

impl Engine {
    /// `POST /containers/{id}/start`.
    ///
    /// # Errors
    /// 304 when it runs, 404, 409 when its state forbids it, 400 when its program cannot be run.
    pub async fn container_start(&self, reference: &str) -> Result<()> {
        let container = self.find(reference)?;
        self.detached(move |engine| async move {
            let _turn = container.operation.lock().await;
            container.record().state.may_start(&container.id)?;
            container.backoff.borrow_mut().reset();
            container.wake.notify_waiters();
            container.change(|record| {
                record.manually_stopped = false;
                record.restart_count = 0;
            })?;
            engine.start_locked(&container).await
        })
        .await
    }

    /// Starts a container whose `operation` the caller holds.
    pub(super) async fn start_locked(&self, container: &Rc<Container>) -> Result<()> {
        container.record().state.may_start(&container.id)?;
        container.adopted.set(false);
        if self.is_shutting_down() {
            return Err(Error::unavailable("the engine is shutting down"));
        }
        let Err((error, code)) = self.try_start(container).await else {
            return Ok(());
        };
        self.release_sources(container);
        remove_bundle(container);
        let message = error.message.clone();
        container.note(|record| {
            record.state.error = message;
            record.state.exit_code = code;
            record.state.pid = 0;
            if record.state.status == Status::Restarting {
                record.state.status = Status::Exited;
            }
        });
        container.exits.send_modify(|exits| {
            exits.code = code;
            exits.alive = false;
        });
        if container.record().host_config.auto_remove && !container.keep.get() {
            let (engine, container) = (self.clone(), Rc::clone(container));
            let work = self
                .0
                .quiet
                .work(format!("removal of {}", container.name()));
            engine_api::tasks::spawn(async move {
                engine.auto_remove(&container).await;
                drop(work);
            });
        }
        Err(error)
    }

    async fn try_start(&self, container: &Rc<Container>) -> std::result::Result<(), (Error, i32)> {
        let failed = |error: Error| (error, 128);
        self.acquire_sources(container).await.map_err(failed)?;
        let devices = self.gather_devices(container).await.map_err(failed)?;
        self.mount_rootfs(container).map_err(failed)?;
        let files = self.write_files(container).map_err(failed)?;
        let spec = self.specification(container, &files, &devices);
        let spec = spec.map_err(failed)?;
        let (descriptors, stdio) = self.standard_streams(container).map_err(failed)?;
        // What an earlier run left (a process in the kernel) must not share limits with this one.
        // One that is still populated stays until the next start.
        let _ = Cgroup::at(&container.cgroup).delete();
        let cgroup = self.0.cgroups.present.then_some(container.cgroup.as_path());
        let request = CreateRequest {
            id: &container.id,
            bundle: &container.layout.bundle,
            spec: &spec,
            stdio,
            cgroup,
        };
        let mut process = self
            .0
            .runtime
            .create(request)
            .await
            .map_err(runtime_error)?;
        let ended = self.0.reaper.watch(process.pid);
        container.note(|record| {
            record.state.pid = process.pid;
            record.state.pid_start_time = sys::process::start_time(process.pid).unwrap_or(0);
        });
        match self.connect(container, &mut process, descriptors).await {
            Ok((attachment, pumps)) => {
                self.running(container, process, attachment, pumps, ended);
                Ok(())
            }
            Err(failure) => {
                self.abandon(container, process).await;
                Err(failure)
            }
        }
    }

    /// Connects a created process to network, log and terminal, and lets its program run.
    async fn connect(
        &self,
        container: &Rc<Container>,
        process: &mut Process,
        descriptors: Descriptors,
    ) -> std::result::Result<(Attachment, Pumps), (Error, i32)> {
        let failed = |error: Error| (error, 128);
        let attachment = self
            .attach_network(container, process.pid)
            .map_err(failed)?;
        self.announce_volumes(container);
        if let Some(log) = &container.streams.log
            && let Err(error) = log.open()
        {
            let what = format!("open log of container {}: {error}", container.id);
            if !objects::atomic_file::is_full(&error) {
                return Err(failed(Error::server(what)));
            }
            // The machine's own services must start on a full disk, too: what this run says is not kept.
            crate::report(&what);
        }
        let pumps = match process.console.take() {
            Some(master) => {
                let size = container
                    .record()
                    .host_config
                    .console_size
                    .map(|cells| u16::try_from(cells).unwrap_or(0));
                if size.iter().all(|cells| *cells > 0) {
                    // A terminal may have the default size: the start goes on.
                    let _ = sys::tty::set_winsize(&master, size[0], size[1]);
                }
                Pumps::over_terminal(&container.streams, master)
            }
            None => Pumps::over_pipes(&container.streams, descriptors),
        };
        let pumps = pumps.map_err(|error| {
            failed(Error::server(format!(
                "watch streams of container {}: {error}",
                container.id
            )))
        })?;
        self.0.runtime.start(process).await.map_err(runtime_error)?;
        Ok((attachment, pumps))
    }

    /// Notes that the container runs, and watches it.
    fn running(
        &self,
        container: &Rc<Container>,
        process: Process,
        attachment: Attachment,
        pumps: Pumps,
        ended: oneshot::Receiver<sys::process::ExitStatus>,
    ) {
        *container.live.borrow_mut() = Some(Live {
            process: Rc::new(process),
            terminal: pumps.terminal(),
            ends: pumps.ends(),
            ports: attachment.ports,
            sandbox: (attachment.sandbox_id, attachment.sandbox_key),
            ended: Rc::new(Notify::new()),
        });
        let order = self.0.start_counter.get() + 1;
        self.0.start_counter.set(order);
        container.oom_kills.set(0);
        container.note(|record| {
            record.state.status = Status::Running;
            record.state.error.clear();
            record.state.oom_killed = false;
            record.state.exit_code = 0;
            record.state.started_at = Timestamp::now();
            record.start_order = order;
            if !attachment.networks.is_empty() {
                record.endpoints = attachment.networks;
            }
        });
        container.exits.send_modify(|exits| {
            exits.alive = true;
            exits.error.clear();
        });
        self.publish(container, "start");
        let (engine, watched) = (self.clone(), Rc::clone(container));
        engine_api::tasks::spawn(async move { engine.monitor(watched, ended, pumps).await });
        self.watch_memory(container);
        self.start_health_checks(container);
    }

    /// Undoes a start that failed after the process was made.
    async fn abandon(&self, container: &Rc<Container>, process: Process) {
        // It may have ended by itself.
        let _ = process.pidfd.send_signal(sys::process::Signal::KILL);
        drop(process);
        for error in self.0.networks.detach(&container.id) {
            crate::report(&error);
        }
        if self.0.cgroups.present
            && let Err(error) = self.0.runtime.delete(&container.cgroup).await
        {
            crate::report(&format!("clean up container {}: {error}", container.id));
        }
        if let Some(log) = &container.streams.log {
            log.close();
        }
        container.streams.finish();
        container.note(|record| record.state.pid = 0);
    }
}

/// The API's error for a process that could not be started, and the exit code the container gets.
fn runtime_error(error: runtime::Error) -> (Error, i32) {
    let code = error.exit_code();
    if error.kind == ErrorKind::Account {
        // In Docker the daemon itself looks it up.
        return (Error::server(error.message), code);
    }
    let message = format!(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: unable to start container process: {error}: unknown"
    );
    if code == 126 || code == 127 {
        (Error::bad_parameter(message), code)
    } else {
        (Error::server(message), code)
    }
}
