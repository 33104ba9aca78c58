//! The start of an engine: reads what an earlier one left and makes it true again, however that one ended.

use std::fs;
use std::rc::Rc;

use engine_api::{Error, Result};

use super::restart::{Exit, wants_restart};
use super::{Container, Layout, Record, Status};
use crate::Engine;
use crate::timestamp::Timestamp;

/// Exit code of a container that went down with its engine: killed.
const LOST: i32 = 137;

impl Engine {
    /// Reads all containers. Processes of an earlier engine are killed: their streams are lost. What is damaged is
    /// reported and left where it is.
    ///
    /// # Errors
    /// When the directory of containers cannot be made or read.
    pub(crate) fn restore(&self) -> Result<()> {
        let directory = self.0.root.join("containers");
        fs::create_dir_all(&directory)?;
        for entry in fs::read_dir(&directory)?.flatten() {
            let path = entry.path();
            match Record::load(&path) {
                Ok(record) => self.adopt(record),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    // Its creation or removal was cut short before (or after) it counted.
                    if let Err(error) = fs::remove_dir_all(&path) {
                        crate::report(&format!("clear {}: {error}", path.display()));
                    }
                }
                Err(error) => crate::report(&format!(
                    "read state of container {}: {error}",
                    path.display()
                )),
            }
        }
        Ok(())
    }

    fn adopt(&self, mut record: Record) {
        let layout = Layout::new(&self.0.root, &self.0.run, &record.id);
        let cgroup = self
            .0
            .cgroups
            .of(&record.id, &record.host_config.cgroup_parent);
        end_leftovers(&record, &cgroup);
        let was_alive = record.state.status.is_alive() || record.state.pid > 0;
        if was_alive {
            record.state.status = Status::Exited;
            record.state.exit_code = LOST;
            record.state.finished_at = Timestamp::now();
        }
        record.state.pid = 0;
        record.state.pid_start_time = 0;
        self.0
            .start_counter
            .set(self.0.start_counter.get().max(record.start_order));
        let name = match self
            .reserve_name(Some(&record.name), &record.id)
            .or_else(|_| self.reserve_name(None, &record.id))
        {
            Ok(name) => name,
            Err(error) => {
                return crate::report(&format!("name of container {}: {error}", record.id));
            }
        };
        record.name = name;
        let container = Rc::new(Container::new(record, layout, cgroup));
        container.adopted.set(true);
        container
            .mounted
            .set(crate::storage::is_mounted(&container.layout.rootfs));
        container.note(|_| {});
        self.0
            .containers
            .borrow_mut()
            .insert(container.id.clone(), container);
    }

    /// Starts what an earlier engine left and should run, by restart policy, and finishes removals that were cut short.
    /// In the order of the last starts, so that a container that others join comes first.
    pub fn resume(&self) {
        let mut containers = self.all_containers();
        containers.retain(|container| container.adopted.get());
        containers.sort_by_key(|container| container.record().start_order);
        let engine = self.clone();
        let work = self.0.quiet.work("the start of containers");
        tokio::task::spawn_local(async move {
            let _work = work;
            for container in containers {
                if let Err(error) = engine.resume_one(&container).await {
                    crate::report(&format!("resume container {}: {error}", container.name()));
                }
            }
        });
    }

    async fn resume_one(&self, container: &Rc<Container>) -> std::result::Result<(), Error> {
        let (status, auto_remove, policy, exit) = {
            let record = container.record();
            let exit = Exit {
                code: record.state.exit_code,
                ran_for: record.state.finished_at.since(record.state.started_at),
                restarts: record.restart_count,
                manually_stopped: record.manually_stopped,
            };
            (
                record.state.status,
                record.host_config.auto_remove,
                record.host_config.restart_policy.clone(),
                exit,
            )
        };
        if matches!(status, Status::Removing | Status::Dead)
            || (auto_remove && status != Status::Created)
        {
            let _turn = container.operation.lock().await;
            let options = crate::options::RemoveOptions {
                volumes: auto_remove,
                force: true,
                link: false,
            };
            return self.remove_locked(container, options).await;
        }
        let started_before = !container.record().state.started_at.is_zero();
        if started_before && (status == Status::Restarting || wants_restart(&policy, exit)) {
            let _turn = container.operation.lock().await;
            if !container.adopted.get() {
                return Ok(()); // a client started it while this waited for its turn
            }
            container.note(|record| record.state.status = Status::Restarting);
            return self.start_locked(container).await;
        }
        Ok(())
    }
}

/// Kills what an earlier engine's container left running: by its cgroup, and by pid when that still means the same
/// process.
fn end_leftovers(record: &Record, cgroup: &std::path::Path) {
    if crate::cgroup::is_populated(cgroup) {
        // Without cgroup.kill the process below is all that can be reached.
        let _ = crate::cgroup::thaw(cgroup);
        let _ = crate::cgroup::kill(cgroup);
    }
    let pid = record.state.pid;
    if pid > 0
        && crate::system::start_time(pid) == Some(record.state.pid_start_time)
        && let Ok(process) = sys::process::Pidfd::open(pid)
        && crate::system::start_time(pid) == Some(record.state.pid_start_time)
    {
        // It may have ended meanwhile.
        let _ = process.send_signal(sys::process::Signal::KILL);
        let _ = process.wait_ended(Some(std::time::Duration::from_secs(2)));
    }
}
