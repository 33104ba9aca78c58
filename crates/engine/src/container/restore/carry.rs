//! Containers over an upgrade: what the next program is told of them, and how it takes them over.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};
use runtime::Process;
use tokio::sync::Notify;

use crate::Engine;
use crate::container::{Container, Layout, Live, Status};
use crate::upgrade::{ContainerState, Inheritance, Kept, RunState, carry, revive};

impl Engine {
    /// A container that something happens to in this moment.
    pub(crate) fn unsettled_container(&self) -> Option<String> {
        let unsettled = |container: &Rc<Container>| {
            // A process whose end the reaper has seen, and whose monitor has not.
            let ending = container
                .live
                .borrow()
                .as_ref()
                .is_some_and(|live| !self.0.reaper.is_watched(live.process.pid));
            ending || container.operation.try_lock().is_err()
        };
        let containers = self.0.containers.borrow();
        let found = containers.values().find(|container| unsettled(container))?;
        Some(format!("a change of {}", found.name()))
    }

    /// All containers as the next program needs them.
    pub(crate) fn carry_containers(&self, kept: &mut Kept) -> BTreeMap<String, ContainerState> {
        let containers = self.0.containers.borrow();
        containers
            .values()
            .map(|container| (container.id.clone(), container.carry(kept)))
            .collect()
    }

    /// Takes a container over.
    pub(crate) fn adopt_container(
        &self,
        state: &ContainerState,
        inheritance: &Inheritance,
    ) -> Result<()> {
        let record = state.record.as_ref().clone();
        let layout = Layout::new(&self.0.root, &self.0.run, &record.id);
        let custom = &record.host_config.cgroup_parent;
        let cgroup = self.0.cgroups.of(&record.id, custom);
        let container = Rc::new(Container::new(record, layout, cgroup));
        let mounted = sys::mount::is_mount_point(&container.layout.rootfs).unwrap_or(false);
        container.mounted.set(mounted);
        container.backoff.replace(state.backoff);
        container.volumes.replace(state.volumes.clone());
        self.0.volumes.hold(&state.volumes);
        container
            .execs
            .replace(state.execs.iter().cloned().collect());
        self.0
            .names
            .borrow_mut()
            .insert(container.name(), container.id.clone());
        self.0
            .containers
            .borrow_mut()
            .insert(container.id.clone(), Rc::clone(&container));
        if let Some(run) = &state.run {
            return self.adopt_run(&container, state, run, inheritance);
        }
        if container.status() == Status::Restarting {
            let at = Duration::from_millis(state.restart_at_ms.unwrap_or(0));
            self.restart_later(&container, at.saturating_sub(sys::clock::boottime()));
        }
        Ok(())
    }

    fn adopt_run(
        &self,
        container: &Rc<Container>,
        state: &ContainerState,
        run: &RunState,
        inheritance: &Inheritance,
    ) -> Result<()> {
        let process = Process::adopt(run.pid).map_err(|error| {
            Error::server(format!("take over container {}: {error}", container.id))
        })?;
        let ended = self.0.reaper.adopt(run.pid);
        let pumps = revive(&run.streams, &container.streams, inheritance)
            .map_err(|error| error.context(&format!("container {}", container.id)))?;
        let attachment = self
            .0
            .networks
            .attachment(&container.id)
            .unwrap_or_default();
        *container.live.borrow_mut() = Some(Live {
            process: Rc::new(process),
            terminal: pumps.terminal(),
            ends: pumps.ends(),
            ports: attachment.ports,
            sandbox: (attachment.sandbox_id, attachment.sandbox_key),
            ended: Rc::new(Notify::new()),
        });
        container.exits.send_modify(|exits| exits.alive = true);
        let (engine, watched) = (self.clone(), Rc::clone(container));
        engine_api::tasks::spawn(async move { engine.monitor(watched, ended, pumps).await });
        container.oom_kills.set(state.oom_kills);
        self.watch_memory(container);
        let due = state
            .probe_at_ms
            .map_or_else(sys::clock::boottime, Duration::from_millis);
        self.resume_health_checks(container, due);
        Ok(())
    }
}

impl Container {
    fn carry(&self, kept: &mut Kept) -> ContainerState {
        let run = self.live.borrow().as_ref().map(|live| RunState {
            pid: live.process.pid,
            streams: carry(&self.streams, &live.ends, kept),
        });
        ContainerState {
            record: Box::new(self.record().clone()),
            run,
            volumes: self.volumes.borrow().clone(),
            backoff: *self.backoff.borrow(),
            oom_kills: self.oom_kills.get(),
            restart_at_ms: self.restart_at.get().map(milliseconds),
            probe_at_ms: self.probe_at.get().map(milliseconds),
            execs: self.execs.borrow().iter().cloned().collect(),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
