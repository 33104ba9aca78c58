//! Processes that the kernel kills because memory ran out while their container goes on: an event `oom` at once, and
//! `OOMKilled` in inspect, as Docker has both with cgroup v2.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::time::Duration;

use sys::cgroup::Cgroup;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::Engine;
use crate::container::Container;

/// Counts what happened to a cgroup's memory; its readers are woken at each change (the kernel's admin-guide/cgroup-v2,
/// "memory.events").
const EVENTS: &str = "memory.events";
/// Pause after each look: a container at its limit changes the file a hundred times a second.
const PAUSE: Duration = Duration::from_millis(100);

impl Engine {
    /// Watches the memory of a container that runs, until the run ends. Without a memory controller there is nothing to
    /// be watched.
    pub(in crate::container) fn watch_memory(&self, container: &Rc<Container>) {
        let live = container.live.borrow();
        let Some(ended) = live.as_ref().map(|live| Rc::clone(&live.ended)) else {
            return;
        };
        let Ok(file) = File::open(container.cgroup.join(EVENTS)) else {
            return;
        };
        let watched = match sys::readiness::watch(file, Interest::PRIORITY) {
            Ok(watched) => watched,
            Err(error) => {
                return crate::report(&format!(
                    "watch the memory of container {}: {error}",
                    container.name()
                ));
            }
        };
        let (engine, container) = (self.clone(), Rc::clone(container));
        engine_api::tasks::spawn(async move {
            tokio::select! {
                () = engine.tell_each(&container, &watched) => {}
                () = ended.notified() => {}
            }
        });
    }

    /// The first look is at once: a file that was not read yet counts as changed.
    async fn tell_each(&self, container: &Container, watched: &AsyncFd<File>) {
        loop {
            match watched.ready(Interest::PRIORITY).await {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            }
            // The kernel tells of the next change only after this one was read on the same file.
            let mut text = [0; 512];
            if watched.get_ref().read_at(&mut text, 0).is_err() {
                return; // the cgroup is gone
            }
            self.tell_oom_kills(container);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Tells of the kills since the last look.
    pub(in crate::container) fn tell_oom_kills(&self, container: &Container) {
        let kills = Cgroup::at(&container.cgroup).value("memory.events", "oom_kill");
        if kills <= container.oom_kills.get() {
            return;
        }
        container.oom_kills.set(kills);
        container.note(|record| record.state.oom_killed = true);
        self.publish(container, "oom");
    }
}
