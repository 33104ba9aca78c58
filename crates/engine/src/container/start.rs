//! Starting a container: root file system, files, specification, process, network, go.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use engine_api::{EndpointSettings, Error, Result};
use tokio::sync::{Notify, oneshot};

use super::{Container, Live, Status};
use crate::Engine;
use crate::io::{Descriptors, Pumps};
use crate::network::files::{FilesRequest, ResolvConf};
use crate::network::{AttachRequest, Attachment};
use crate::runtime::{CreateRequest, Process, Runtime, Stdio};
use crate::spec;
use crate::timestamp::Timestamp;

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
            tokio::task::spawn_local(async move {
                engine.auto_remove(&container).await;
                drop(work);
            });
        }
        Err(error)
    }

    async fn try_start(&self, container: &Rc<Container>) -> std::result::Result<(), (Error, i32)> {
        let failed = |error: Error| (error, 128);
        self.acquire_sources(container).await.map_err(failed)?;
        self.mount_rootfs(container).map_err(failed)?;
        let files = self.write_files(container).map_err(failed)?;
        let spec = self.specification(container, &files).map_err(failed)?;
        let (descriptors, stdio) = self.standard_streams(container).map_err(failed)?;
        // What an earlier run left (a process in the kernel) must not share limits with this one.
        crate::cgroup::remove(&container.cgroup);
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
            record.state.pid_start_time = crate::system::start_time(process.pid).unwrap_or(0);
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
        if let Some(log) = &container.streams.log {
            log.open().map_err(|error| {
                failed(Error::server(format!(
                    "open log of container {}: {error}",
                    container.id
                )))
            })?;
        }
        let pumps = match process.console.take() {
            Some(master) => {
                let size = container
                    .record()
                    .host_config
                    .console_size
                    .map(|cells| u16::try_from(cells).unwrap_or(0));
                if size.iter().all(|cells| *cells > 0) {
                    // A terminal of the default size is no reason not to start.
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
        tokio::task::spawn_local(async move { engine.monitor(watched, ended, pumps).await });
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

    fn standard_streams(&self, container: &Container) -> Result<(Descriptors, Stdio)> {
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

    fn specification(
        &self,
        container: &Container,
        files: &spec::Files,
    ) -> Result<crate::runtime::oci::Spec> {
        let record = container.record();
        let host = &record.host_config;
        let joins = spec::Joins {
            network: self.joined(&host.network_mode, None)?,
            pid: self.joined(&host.pid_mode, Some("PID"))?,
            ipc: self.joined(&host.ipc_mode, Some("IPC"))?,
        };
        let cgroup = self.0.cgroups.relative(&container.cgroup);
        spec::build(&spec::Input {
            record: &record,
            rootfs: &container.layout.rootfs,
            files,
            joins,
            cgroup: &cgroup,
        })
    }

    /// The first process of the container that `container:ID` names. Docker's words differ by the kind of namespace.
    fn joined(&self, mode: &str, namespace: Option<&str>) -> Result<Option<i32>> {
        let Some(other) = mode.strip_prefix("container:") else {
            return Ok(None);
        };
        let other = self.find(other)?;
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

    fn attach_network(&self, container: &Container, pid: i32) -> Result<Attachment> {
        let request = {
            let record = container.record();
            AttachRequest {
                container_id: record.id.clone(),
                container_name: record.name.clone(),
                hostname: record.config.hostname.clone(),
                pid,
                network_mode: record.host_config.network_mode.clone(),
                networks: record.endpoints.clone(),
                mac_address: record.config.mac_address.clone(),
                port_bindings: record.host_config.port_bindings.clone(),
                exposed_ports: record.config.exposed_ports.keys().cloned().collect(),
                publish_all: record.host_config.publish_all_ports,
                dns: record.host_config.dns.clone(),
            }
        };
        let attachment = self.0.networks.attach(&request)?;
        // The hosts file is bound already: it gets its addresses in place.
        self.write_network_files(container, &attachment.networks)?;
        Ok(attachment)
    }

    /// Writes the files that are bound into the container, and makes the shared memory that others may join.
    fn write_files(&self, container: &Container) -> Result<spec::Files> {
        let directory = &container.layout.directory;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&container.layout.bundle)?;
        let shares = container.record().network_container().map(str::to_owned);
        let (source, own) = match shares {
            Some(other) => (self.find(&other)?.layout.directory.clone(), false),
            None => (directory.clone(), true),
        };
        let follows_host =
            own && self.write_network_files(container, &std::collections::BTreeMap::new())?;
        let host_file = crate::system::RESOLV_CONF;
        let resolv_conf = if follows_host {
            PathBuf::from(host_file)
        } else {
            source.join("resolv.conf")
        };
        let record = container.record();
        let shm = match record.host_config.ipc_mode.as_str() {
            "shareable" => Some(self.shared_memory(&container.id, record.host_config.shm_size)?),
            mode => match mode.strip_prefix("container:") {
                Some(other) => Some(self.shared_memory_of(other)?),
                None => None,
            },
        };
        let exists = |path: PathBuf| path.exists().then_some(path);
        let init = record
            .host_config
            .init
            .unwrap_or(false)
            .then(|| fs::canonicalize(&self.0.program))
            .transpose()?;
        Ok(spec::Files {
            resolv_conf: exists(resolv_conf),
            hostname: exists(source.join("hostname")),
            hosts: exists(source.join("hosts")),
            shm,
            init,
        })
    }

    /// Writes resolv.conf, hosts and hostname; true when the host's own resolv.conf is to be used.
    fn write_network_files(
        &self,
        container: &Container,
        networks: &std::collections::BTreeMap<String, EndpointSettings>,
    ) -> Result<bool> {
        let addresses: Vec<IpAddr> = networks
            .values()
            .flat_map(|endpoint| {
                [
                    endpoint.ip_address.parse().ok(),
                    endpoint.global_ipv6_address.parse().ok(),
                ]
            })
            .flatten()
            .collect();
        let record = container.record();
        if record.network_container().is_some() {
            return Ok(false);
        }
        let host = &record.host_config;
        let files = self.0.networks.files(&FilesRequest {
            network_mode: &host.network_mode,
            hostname: &record.config.hostname,
            domainname: &record.config.domainname,
            addresses: &addresses,
            extra_hosts: host.extra_hosts.as_deref().unwrap_or_default(),
            dns: &host.dns,
            dns_search: &host.dns_search,
            dns_options: &host.dns_options,
            host_gateway: None,
        })?;
        let directory = &container.layout.directory;
        write_in_place(&directory.join("hosts"), &files.hosts)?;
        write_in_place(&directory.join("hostname"), &files.hostname)?;
        match files.resolv_conf {
            ResolvConf::Own(text) => {
                write_in_place(&directory.join("resolv.conf"), &text)?;
                Ok(false)
            }
            ResolvConf::FollowHost => Ok(true),
        }
    }

    /// A tmpfs that several containers use as /dev/shm.
    fn shared_memory(&self, id: &str, size: i64) -> Result<PathBuf> {
        let path = self.0.run.join("shm").join(id);
        fs::create_dir_all(&path)?;
        if is_mounted(&path)? {
            return Ok(path);
        }
        let flags = sys::mount::MountFlags::NOSUID
            | sys::mount::MountFlags::NOEXEC
            | sys::mount::MountFlags::NODEV;
        sys::mount::mount(
            "shm",
            &path,
            "tmpfs",
            flags,
            &format!("mode=1777,size={size}"),
        )
        .map_err(|error| Error::server(error.to_string()))?;
        Ok(path)
    }

    fn shared_memory_of(&self, id: &str) -> Result<PathBuf> {
        let path = self.0.run.join("shm").join(id);
        if path.exists() && is_mounted(&path)? {
            return Ok(path);
        }
        Err(Error::conflict(format!(
            "can't join IPC of container {id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)"
        )))
    }
}

/// Whether a file system is mounted on a directory that the engine made.
fn is_mounted(path: &Path) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let above = path.parent().unwrap_or(path);
    Ok(fs::metadata(path)?.dev() != fs::metadata(above)?.dev())
}

/// Keeps the inode: the file may be bound into a running container.
fn write_in_place(path: &Path, text: &str) -> Result<()> {
    let write = || {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o644))
    };
    write().map_err(|error| Error::server(format!("write {}: {error}", path.display())))
}

/// The API's error for a process that could not be started, and the exit code the container gets.
fn runtime_error(error: crate::runtime::Error) -> (Error, i32) {
    let code = error.exit_code();
    let message = format!(
        "failed to create task for container: failed to create runtime task: OCI runtime create failed: {error}: unknown"
    );
    if code == 126 || code == 127 {
        (Error::bad_parameter(message), code)
    } else {
        (Error::server(message), code)
    }
}
