//! The start of an engine: reads what an earlier one left and makes it true again, however that one ended.

pub(super) mod carry;

use std::fs;
use std::path::Path;
use std::rc::Rc;

use engine_api::Timestamp;
use objects::Damage;

use engine_api::Error;
use sys::cgroup::Cgroup;

use super::networks::resolver;
use crate::Engine;
use crate::container::life::restart::{Exit, wants_restart};
use crate::container::record::DOOMED;
use crate::container::{Container, Layout, Record, Status};

/// Exit code of a container that went down with its engine: killed.
const LOST: i32 = 137;

impl Engine {
    /// Reads all containers. Processes of an earlier engine are killed: their streams are lost. What is damaged is set
    /// aside, and costs no other container anything.
    pub(crate) fn restore(&self) {
        let damage = &self.0.damage;
        // What was kept in memory ends with its engine, as it would with the machine.
        let in_memory = Layout::in_memory(&self.0.run);
        if sys::mount::is_mount_point(&in_memory).unwrap_or(false) {
            // Detached: what still uses it is ended below.
            let _ = sys::mount::unmount(&in_memory, sys::mount::UnmountFlags::DETACH);
        }
        clear(&in_memory);
        let directory = self.0.root.join("containers");
        damage.directory(&directory, 0o711);
        for path in damage.entries(&directory) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(DOOMED) {
                // Its removal was cut short.
                clear(&path);
            } else if !path.is_dir() {
                damage.set_aside(&path, "not a directory");
            } else if let Some(record) = Record::load(&path, damage) {
                self.restore_one(record, &path);
            } else if path.join("upper").exists() {
                // Without its record nobody knows how to run it; what it wrote is there.
                self.end_unknown(&name);
                damage.set_aside(&path, "a container without its record");
            } else {
                // Its creation was cut short before it counted.
                clear(&path);
            }
        }
    }

    fn restore_one(&self, record: Record, directory: &Path) {
        if record.version > Record::version() {
            return self.0.damage.say(format!(
                "container {} was made by a later engine: its record has version {}, this engine knows {}",
                record.name,
                record.version,
                Record::version()
            ));
        }
        check_files(directory, &record.id, &self.0.damage);
        self.adopt(record);
    }

    /// Ends what a container without a record may have left running.
    fn end_unknown(&self, id: &str) {
        let cgroup = Cgroup::at(self.0.cgroups.of(id, ""));
        if cgroup.is_populated().unwrap_or(false) {
            // What cannot be killed stays in its group, which no other container gets.
            let _ = cgroup.kill();
        }
    }

    fn adopt(&self, mut record: Record) {
        let layout = Layout::new(&self.0.root, &self.0.run, &record.id);
        let cgroup = self
            .0
            .cgroups
            .of(&record.id, &record.host_config.cgroup_parent);
        end_leftovers(&record, &cgroup);
        let before = (record.name.clone(), record.state.pid);
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
            .set(sys::mount::is_mount_point(&container.layout.rootfs).unwrap_or(false));
        // A disk that takes nothing is not asked to where nothing has changed.
        if was_alive || before != (container.name(), 0) {
            container.note(|_| {});
        }
        self.0
            .containers
            .borrow_mut()
            .insert(container.id.clone(), container);
    }

    /// Starts what an earlier engine left and should run, by restart policy, and finishes removals that were cut short.
    /// In the order of the last starts, but a container that another one needs comes before it.
    pub fn resume(&self) {
        let mut containers = self.all_containers();
        containers.retain(|container| container.adopted.get());
        containers.sort_by_key(|container| container.record().start_order);
        let containers = self.in_order(containers);
        let engine = self.clone();
        let work = self.0.quiet.work("the start of containers");
        engine_api::tasks::spawn(async move {
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
            let options = engine_api::options::RemoveOptions {
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

fn clear(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        crate::report(&format!(
            "clear {}: {}",
            path.display(),
            engine_api::cause(&error)
        ));
    }
}

/// Sets aside what is not what a start expects: it would fail, or block on a named pipe.
fn check_files(directory: &Path, id: &str, damage: &Damage) {
    let is = |path: &Path| fs::metadata(path).map(|metadata| metadata.file_type());
    for name in ["upper", "work", "init"] {
        let path = directory.join(name);
        if is(&path).is_ok_and(|kind| !kind.is_dir()) {
            damage.set_aside(&path, "not a directory");
        }
    }
    let own = ["hosts", "hostname", resolver::FILE, resolver::HASH];
    let own = own.map(|name| directory.join(name));
    let logs = damage.entries(directory).into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{id}-json.log")) && !name.ends_with(".damaged")
    });
    for path in own.into_iter().chain(logs) {
        match is(&path) {
            Ok(kind) if kind.is_file() => {}
            Ok(_) => damage.set_aside(&path, "not a regular file"),
            Err(error) if fs::symlink_metadata(&path).is_ok() => {
                damage.set_aside(&path, &engine_api::cause(&error));
            }
            Err(_) => {}
        }
    }
}

/// Kills what an earlier engine's container left running: by its cgroup, and by pid when that still means the same
/// process.
fn end_leftovers(record: &Record, cgroup: &std::path::Path) {
    let cgroup = Cgroup::at(cgroup);
    if cgroup.is_populated().unwrap_or(false) {
        // What fails here leaves the process below, whose end takes its namespace along.
        let _ = cgroup.thaw();
        let _ = cgroup.kill();
    }
    let pid = record.state.pid;
    if pid > 0
        && sys::process::start_time(pid) == Some(record.state.pid_start_time)
        && let Ok(process) = sys::process::Pidfd::open(pid)
        && sys::process::start_time(pid) == Some(record.state.pid_start_time)
    {
        // It may have ended meanwhile.
        let _ = process.send_signal(sys::process::Signal::KILL);
        let _ = process.wait_ended(Some(std::time::Duration::from_secs(2)));
    }
}
