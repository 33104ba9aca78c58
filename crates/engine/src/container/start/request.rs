//! What a start asks of the runtime and of the network: the specification, the streams, the endpoints.

use engine_api::{Error, Result};
use network::{AttachRequest, Attachment};
use runtime::Stdio;

use crate::Engine;
use crate::container::Container;
use crate::container::create::attach_request;
use crate::io::Descriptors;
use crate::spec;

impl Engine {
    pub(super) fn standard_streams(&self, container: &Container) -> Result<(Descriptors, Stdio)> {
        if container.streams.tty() {
            return Ok((Descriptors::default(), Stdio::Tty));
        }
        let (ours, theirs) =
            Descriptors::pipes(container.streams.open_stdin()).map_err(|error| {
                Error::server(format!(
                    "make pipes for container {}: {error}",
                    container.id
                ))
            })?;
        Ok((
            ours,
            Stdio::Pipes {
                stdin: theirs.stdin,
                stdout: theirs.stdout,
                stderr: theirs.stderr,
            },
        ))
    }

    pub(super) fn specification(
        &self,
        container: &Container,
        files: &spec::Files,
        devices: &spec::Gathered,
    ) -> Result<runtime::oci::Spec> {
        let record = container.record();
        let host = &record.host_config;
        let joins = spec::Joins {
            network: self.joined(container, &host.network_mode, None)?,
            pid: self.joined(container, &host.pid_mode, Some("PID"))?,
            ipc: self.joined(container, &host.ipc_mode, Some("IPC"))?,
        };
        let cgroup = self.0.cgroups.relative(&container.cgroup);
        spec::build(&spec::Input {
            record: &record,
            rootfs: &container.layout.rootfs,
            files,
            joins,
            devices,
            cgroup: &cgroup,
            apparmor_profile: self.0.apparmor_profile,
        })
    }

    /// The first process of the container that `container:ID` names. Docker's words differ by the kind of namespace.
    fn joined(
        &self,
        container: &Container,
        mode: &str,
        namespace: Option<&str>,
    ) -> Result<Option<i32>> {
        let Some(other) = mode.strip_prefix("container:") else {
            return Ok(None);
        };
        let other = self.find(other)?;
        if other.id == container.id && namespace.is_none() {
            return Err(Error::server("cannot join own network"));
        }
        let pid = other.pid().filter(|_| other.status().is_alive());
        pid.map(Some).ok_or_else(|| match namespace {
            None => Error::conflict(format!(
                "cannot join network of a non running container: {}",
                other.id
            )),
            Some(kind) => Error::server(format!(
                "failed to join {kind} namespace: container {} is not running",
                other.id
            )),
        })
    }

    pub(super) fn attach_network(&self, container: &Container, pid: i32) -> Result<Attachment> {
        let request = {
            let record = container.record();
            AttachRequest {
                container_id: record.id.clone(),
                container_name: record.name.clone(),
                pid,
                ..attach_request(&record.config, &record.host_config, &record.endpoints)
            }
        };
        let attachment = self.0.networks.attach(&request)?;
        // The hosts file is bound already: it gets its addresses in place.
        self.write_network_files(container, &attachment.networks)?;
        Ok(attachment)
    }
}
