//! A child that was started and is not a container's process yet: the conversation up to `created`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use sys::cgroup::Cgroup;
use sys::process::{Pidfd, Signal, Spawned};
use sys::readiness::watch;
use tokio::io::Interest;
use tokio::time::timeout;

use super::KILL_DEADLINE;
use super::control::Control;
use super::namespaces::is_new;
use crate::oci::{IdMapping, Linux, NamespaceType};
use crate::protocol::{GO, Report};
use crate::{Error, Process, Result};

/// How long the set-up of a container may take: mounts of a slow disk, an emulated processor.
const SETUP_DEADLINE: Duration = Duration::from_secs(60);

/// A child that is killed and reaped unless it is handed on.
pub(super) struct Launched {
    pub(super) child: Spawned,
    pub(super) control: Control,
    /// The cgroup that the child itself could not be started in.
    pub(super) to_move: Option<Cgroup>,
}

impl Launched {
    /// Writes what the child waits for, and says so.
    fn prepare(&mut self, linux: Option<&Linux>) -> Result<bool> {
        let userns = linux.filter(|linux| is_new(linux, NamespaceType::User));
        if let Some(group) = &self.to_move {
            group.add_process(self.child.pid)?;
        }
        if let Some(linux) = userns {
            write_map(self.child.pid, "uid_map", &linux.uid_mappings)?;
            write_map(self.child.pid, "gid_map", &linux.gid_mappings)?;
        }
        let waits = self.to_move.is_some() || userns.is_some();
        if waits {
            self.control.send(GO)?;
        }
        Ok(waits)
    }

    /// Follows the conversation up to `created`.
    pub(super) async fn created(
        mut self,
        linux: Option<&Linux>,
        wants_console: bool,
    ) -> Result<Process> {
        let result = match self.prepare(linux) {
            Ok(_) => self.converse().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(fds) if wants_console && fds.is_empty() => {
                self.discard().await;
                Err(Error::other("the container's process has sent no terminal"))
            }
            Ok(fds) => Ok(Process {
                pid: self.child.pid,
                pidfd: self.child.pidfd,
                console: fds.into_iter().next().filter(|_| wants_console),
                warnings: Vec::new(),
                control: Some(self.control),
            }),
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    async fn converse(&mut self) -> Result<Vec<OwnedFd>> {
        loop {
            match self.control.recv(SETUP_DEADLINE).await? {
                (Report::Created, fds) => return Ok(fds),
                (Report::Failed(error), _) => return Err(error),
                (Report::Closed | Report::Found(_) | Report::Part(_) | Report::Busy, _) => {
                    return Err(Error::other(
                        "the container's process ended during its set-up",
                    ));
                }
                (Report::Sibling(pid), fds) => {
                    let pidfd = fds.into_iter().next().map(Pidfd::from_fd);
                    let pidfd = pidfd.ok_or_else(|| {
                        Error::other("the container's process came without its pidfd")
                    })?;
                    let helper = std::mem::replace(&mut self.child, Spawned { pid, pidfd });
                    if let Some(group) = &self.to_move {
                        group.add_process(pid)?;
                    }
                    self.control.send(GO)?;
                    // It has done its work and exits by itself.
                    reap(helper.pidfd).await;
                }
            }
        }
    }

    /// Kills and reaps it.
    pub(super) async fn discard(self) {
        kill_and_reap(self.child.pidfd).await;
    }
}

async fn kill_and_reap(pidfd: Pidfd) {
    let _ = pidfd.send_signal(Signal::KILL);
    reap(pidfd).await;
}

/// Waits for a child's end and reaps it, unless the engine's reaper was faster.
async fn reap(pidfd: Pidfd) {
    if let Ok(ready) = watch(pidfd, Interest::READABLE) {
        let _ = timeout(KILL_DEADLINE, ready.readable()).await;
        let _ = ready.get_ref().reap();
    }
}

fn write_map(pid: i32, file: &str, mappings: &[IdMapping]) -> Result<()> {
    let lines: String = mappings
        .iter()
        .map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size))
        .collect();
    let path = format!("/proc/{pid}/{file}");
    // One write: the kernel takes the whole map or nothing.
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut map| map.write_all(lines.as_bytes()))
        .map_err(|e| Error::other(format!("write {path}: {e}")))
}
