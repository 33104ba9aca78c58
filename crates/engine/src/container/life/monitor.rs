//! What follows the end of a container's first process: cleaning up, the restart policy, automatic removal.

use std::rc::Rc;
use std::time::Duration;

use engine_api::Timestamp;
use engine_api::options::RemoveOptions;
use runtime::Runtime;
use sys::process::ExitStatus;
use tokio::sync::oneshot;

use crate::Engine;
use crate::container::life::restart::Exit;
use crate::container::{Container, Status};
use crate::io::Pumps;
use crate::reaper::exit_code;

impl Engine {
    /// Waits for the end of a run and draws the consequences.
    pub(in crate::container) async fn monitor(
        &self,
        container: Rc<Container>,
        ended: oneshot::Receiver<ExitStatus>,
        pumps: Pumps,
    ) {
        // The reaper lives as long as the engine; without it nothing is known of the end but that it came.
        let code = ended.await.map_or(128, exit_code);
        let _work = self
            .0
            .quiet
            .work(format!("the end of {}", container.name()));
        pumps.drain().await;
        self.run_ended(&container, code).await;
    }

    async fn run_ended(&self, container: &Rc<Container>, code: i32) {
        // Before `die`, as in Docker.
        self.tell_oom_kills(container);
        if let Some(live) = container.live.borrow_mut().take() {
            live.ended.notify_waiters();
        }
        for error in self.0.networks.detach(&container.id) {
            crate::report(&format!(
                "network of container {}: {error}",
                container.name()
            ));
        }
        if self.0.cgroups.present
            && let Err(error) = self.0.runtime.delete(&container.cgroup).await
        {
            crate::report(&format!(
                "cgroup of container {}: {error}",
                container.name()
            ));
        }
        if let Some(log) = &container.streams.log {
            log.close();
        }
        container.streams.finish();
        self.release_sources(container);
        remove_bundle(container);

        let ran_for = Timestamp::now().since(container.record().state.started_at);
        let wait = self.wait_before_restart(container, code, ran_for);
        container.note(|record| {
            record.state.status = if wait.is_some() {
                Status::Restarting
            } else {
                Status::Exited
            };
            record.state.pid = 0;
            record.state.pid_start_time = 0;
            record.state.exit_code = code;
            record.state.finished_at = Timestamp::now();
            if let Some(health) = &mut record.health {
                "unhealthy".clone_into(&mut health.status);
            }
        });
        self.forget_execs(container, false);
        self.publish_exit(container, code);
        container.exits.send_modify(|exits| {
            exits.count += 1;
            exits.code = code;
            exits.alive = false;
        });
        match wait {
            Some(wait) => self.restart_later(container, wait),
            None => self.after_last_run(container).await,
        }
    }

    fn wait_before_restart(
        &self,
        container: &Container,
        code: i32,
        ran_for: Duration,
    ) -> Option<Duration> {
        let record = container.record();
        let exit = Exit {
            code,
            ran_for,
            restarts: record.restart_count,
            manually_stopped: record.manually_stopped || self.is_shutting_down(),
        };
        if self.is_shutting_down() {
            return None;
        }
        container
            .backoff
            .borrow_mut()
            .after_exit(&record.host_config.restart_policy, exit)
    }

    fn publish_exit(&self, container: &Container, code: i32) {
        let mut attributes = container.event_attributes();
        attributes.insert("exitCode".to_owned(), code.to_string());
        let ran_for = Timestamp::now().since(container.record().state.started_at);
        attributes.insert("execDuration".to_owned(), ran_for.as_secs().to_string());
        self.0
            .events
            .publish("container", "die", &container.id, attributes);
    }

    async fn after_last_run(&self, container: &Rc<Container>) {
        let auto_remove = container.record().host_config.auto_remove;
        if auto_remove && !container.keep.get() && !self.is_shutting_down() {
            self.auto_remove(container).await;
        }
    }

    /// Removes a container that was made with `--rm`.
    pub(in crate::container) async fn auto_remove(&self, container: &Rc<Container>) {
        let _turn = container.operation.lock().await;
        if container.status().is_alive() || container.status() == Status::Removing {
            return;
        }
        let options = RemoveOptions {
            volumes: true,
            force: true,
            link: false,
        };
        if let Err(error) = self.remove_locked(container, options).await {
            crate::report(&format!("remove container {}: {error}", container.name()));
        }
    }

    /// Starts the container again after a wait, unless a stop comes first. A failed start counts as another exit.
    pub(in crate::container) fn restart_later(&self, container: &Rc<Container>, wait: Duration) {
        let (engine, container) = (self.clone(), Rc::clone(container));
        let due_in = |wait| Some(sys::clock::boottime() + wait);
        // Now, not in the task: a program that takes over before the task's first turn must know it too.
        container.restart_at.set(due_in(wait));
        engine_api::tasks::spawn(async move {
            let mut wait = wait;
            loop {
                container.restart_at.set(due_in(wait));
                let due = async {
                    tokio::time::sleep(wait).await;
                    engine.0.quiet.open().await;
                };
                tokio::select! {
                    () = due => {}
                    // Stopped, removed or started by hand.
                    () = container.wake.notified() => {
                        container.restart_at.set(None);
                        return;
                    }
                }
                let _work = engine
                    .0
                    .quiet
                    .work(format!("restart of {}", container.name()));
                container.restart_at.set(None);
                let _turn = container.operation.lock().await;
                if container.status() != Status::Restarting {
                    return;
                }
                container.note(|record| record.restart_count += 1);
                let Err(error) = engine.start_locked(&container).await else {
                    return;
                };
                crate::report(&format!("restart container {}: {error}", container.name()));
                let code = container.record().state.exit_code;
                // It has not run: `started_at` is of the run before, however long ago.
                match engine.wait_before_restart(&container, code, Duration::ZERO) {
                    Some(longer) => wait = longer,
                    None => return,
                }
                container.note(|record| {
                    record.state.status = Status::Restarting;
                    record.state.finished_at = Timestamp::now();
                });
            }
        });
    }

    /// A container that waited for its restart stays where it is.
    pub(in crate::container) fn give_up_restart(&self, container: &Container) {
        container.note(|record| record.state.status = Status::Exited);
        container.exits.send_modify(|exits| exits.count += 1);
        self.publish(container, "stop");
    }
}

/// Each start writes it again; /run is in RAM, and thousands of containers may have ended.
pub(in crate::container) fn remove_bundle(container: &Container) {
    let _ = std::fs::remove_dir_all(&container.layout.bundle);
}
