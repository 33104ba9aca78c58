//! Signals to a container's processes.

use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};
use sys::cgroup::Cgroup;
use sys::process::Signal;

use crate::Engine;
use crate::container::stop::signals;
use crate::container::{Container, Status};

/// How long a killed container may take to be gone; longer means that a process hangs in the kernel.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

impl Engine {
    /// `POST /containers/{id}/kill`.
    ///
    /// # Errors
    /// 400 for no signal, 404, 409 when it does not run.
    pub async fn container_kill(&self, reference: &str, signal: Option<&str>) -> Result<()> {
        let killed = self.try_kill(reference, signal).await;
        killed.map_err(|error| error.context(&format!("cannot kill container: {reference}")))
    }

    async fn try_kill(&self, reference: &str, signal: Option<&str>) -> Result<()> {
        let number = signal
            .filter(|text| !text.is_empty())
            .map_or(Ok(signals::KILL), signals::parse)?;
        let container = self.find(reference)?;
        let alive = container.status().is_alive();
        if !alive && container.status() != Status::Restarting {
            return Err(Error::conflict(format!(
                "container {} is not running",
                container.id
            )));
        }
        self.before_signal(&container, number);
        if alive {
            self.signal(&container, number)?;
        } else {
            self.give_up_restart(&container);
        }
        if number == signals::KILL && alive {
            self.await_exit(&container, KILL_DEADLINE).await?;
        }
        Ok(())
    }

    /// A signal that is meant to end the container takes it out of its restart policy's hands.
    fn before_signal(&self, container: &Container, number: i32) {
        let stop_signal = container.record().config.stop_signal.clone();
        let ends = number == signals::KILL
            || stop_signal.is_empty()
            || signals::parse(&stop_signal) == Ok(number);
        if ends {
            container.backoff.borrow_mut().cancel();
            container.wake.notify_waiters();
            container.note(|record| record.manually_stopped = true);
        }
    }

    /// Sends a signal to the first process; SIGKILL goes to all.
    pub(in crate::container) fn signal(&self, container: &Container, number: i32) -> Result<()> {
        let signal = Signal::from_raw(number)
            .ok_or_else(|| Error::bad_parameter(format!("invalid signal: {number}")))?;
        let process = container
            .live
            .borrow()
            .as_ref()
            .map(|live| Rc::clone(&live.process));
        let process = process
            .ok_or_else(|| Error::conflict(format!("container {} is not running", container.id)))?;
        if number == signals::KILL {
            // A missing cgroup.kill (no cgroup v2 here) leaves the first process, whose end takes its namespace along.
            let _ = Cgroup::at(&container.cgroup).kill();
        }
        match process.pidfd.send_signal(signal) {
            Err(error) if error.errno() != Some(ESRCH) => {
                return Err(Error::server(format!(
                    "send signal {number} to container {}: {error}",
                    container.id
                )));
            }
            _ => {}
        }
        let mut attributes = container.event_attributes();
        attributes.insert("signal".to_owned(), number.to_string());
        self.0
            .events
            .publish("container", "kill", &container.id, attributes);
        Ok(())
    }

    /// Kills all its processes and waits until it is gone.
    pub(in crate::container) async fn kill_and_wait(&self, container: &Container) -> Result<()> {
        if container.status().is_alive() {
            self.signal(container, signals::KILL)?;
            self.await_exit(container, KILL_DEADLINE).await?;
        }
        Ok(())
    }

    /// Waits for the end of the present run.
    pub(in crate::container) async fn await_exit(
        &self,
        container: &Container,
        deadline: Duration,
    ) -> Result<()> {
        let mut watch = container.exits.subscribe();
        let gone = watch.wait_for(|exits| !exits.alive);
        match tokio::time::timeout(deadline, gone).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Error::server(format!(
                "tried to kill container {}, but did not receive an exit event within {} s",
                container.id,
                deadline.as_secs()
            ))),
        }
    }
}

/// No such process: it ended meanwhile.
const ESRCH: i32 = 3;
