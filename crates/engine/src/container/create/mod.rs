//! `docker create`.

pub(super) mod in_memory;
pub(super) mod logging;
pub(super) mod merge;
pub(super) mod validate;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::rc::Rc;

use engine_api::Timestamp;
use images::ImageRecord;
use network::{AttachRequest, NetworkMode};
use objects::ids;

use engine_api::{
    ContainerConfig, ContainerCreateResponse, CreateRequest, EndpointSettings, Error, HostConfig,
    Result,
};

use crate::Engine;
use crate::container::networks::ports;
use crate::container::record::Record;
use crate::container::{Container, Layout};

/// Containers kept at most: each costs memory and a directory, and nobody runs so many on one machine.
const CONTAINERS_MAX: usize = 10_000;

impl Engine {
    /// `POST /containers/create`.
    ///
    /// # Errors
    /// 400 for what makes no sense or is left out, 404 without the image, 409 when the name is taken.
    pub async fn container_create(
        &self,
        name: Option<&str>,
        request: CreateRequest,
    ) -> Result<ContainerCreateResponse> {
        let name = name.map(str::to_owned);
        self.detached(move |engine| async move {
            let id = ids::new_id()?;
            engine.create_as(&id, name.as_deref(), request).await
        })
        .await
    }

    pub(super) async fn create_as(
        &self,
        id: &str,
        name: Option<&str>,
        mut request: CreateRequest,
    ) -> Result<ContainerCreateResponse> {
        if self.0.containers.borrow().len() >= CONTAINERS_MAX {
            return Err(Error::server(format!(
                "there are {CONTAINERS_MAX} containers already"
            )));
        }
        let mut warnings = validate::config(&request.config)?;
        warnings.extend(validate::host(&mut request.host_config)?);
        validate::shared(&request.config, &request.host_config)?;
        crate::spec::choose_capabilities(&request.host_config)?;
        let image = self.image_of(&request)?;
        merge::complete(&mut request.config, &image.config)?;
        if !request.config.working_dir.is_empty() {
            request.config.working_dir = crate::container::clean(&request.config.working_dir);
        }
        ports::parse_bindings(&request.host_config.port_bindings)?;
        self.0.networks.validate(&attach_request(
            &request.config,
            &request.host_config,
            &request.networking_config.endpoints_config,
        ))?;
        warnings.extend(self.limit_warnings(&request.host_config));

        let name = self.reserve_name(name, id)?;
        let made = self.make(id, &name, request, image).await;
        if made.is_err() {
            self.release_name(&name);
        }
        let container = made?;
        self.publish(&container, "create");
        Ok(ContainerCreateResponse {
            id: id.to_owned(),
            warnings,
        })
    }

    fn image_of(&self, request: &CreateRequest) -> Result<ImageRecord> {
        if request.config.image.is_empty() {
            let has_command =
                |words: &Option<Vec<String>>| words.as_ref().is_some_and(|words| !words.is_empty());
            let config = &request.config;
            if !has_command(&config.cmd) && !has_command(&config.entrypoint) {
                return Err(Error::bad_parameter("no command specified"));
            }
            return Err(Error::bad_parameter("no image specified"));
        }
        self.0.images.resolve(&request.config.image)
    }

    /// Limits that are kept but cannot be enforced on this machine.
    fn limit_warnings(&self, host: &HostConfig) -> Vec<String> {
        let tree = &self.0.cgroups;
        let mut warnings = Vec::new();
        let mut check = |set: bool, controller: &str, what: &str| {
            if set && !tree.has(controller) {
                warnings.push(format!(
                    "Your kernel does not support {what} capabilities or the cgroup is not mounted. Limitation discarded."
                ));
            }
        };
        check(
            host.memory > 0 || host.memory_reservation > 0,
            "memory",
            "memory limit",
        );
        check(
            host.pids_limit.is_some_and(|limit| limit > 0),
            "pids",
            "PIDs limit",
        );
        check(
            host.cpu_shares > 0 || host.cpu_quota > 0 || host.nano_cpus > 0,
            "cpu",
            "CPU",
        );
        check(
            !host.cpuset_cpus.is_empty() || !host.cpuset_mems.is_empty(),
            "cpuset",
            "cpuset",
        );
        warnings
    }

    async fn make(
        &self,
        id: &str,
        name: &str,
        mut request: CreateRequest,
        image: ImageRecord,
    ) -> Result<Rc<Container>> {
        let layout = Layout::new(&self.0.root, &self.0.run, id);
        self.settle(id, &mut request)?;
        let endpoints = self.new_endpoints(&request)?;
        let mounts = self.new_mounts(&request)?;
        self.check_sources(&request).await?;
        let (path, args) = merge::command_line(&request.config);
        let record = Record {
            version: Record::version(),
            id: id.to_owned(),
            name: name.to_owned(),
            created: Timestamp::now(),
            image_id: image.id,
            layers: image.layers,
            path,
            args,
            config: request.config,
            host_config: request.host_config,
            endpoints,
            mounts,
            state: crate::container::state::State::default(),
            restart_count: 0,
            manually_stopped: false,
            start_order: 0,
            health: None,
        };
        let cgroup = self.0.cgroups.of(id, &record.host_config.cgroup_parent);
        let container = Rc::new(Container::new(record, layout, cgroup));
        let written = self.write_new(&container).await;
        if written.is_err() {
            self.0.containers.borrow_mut().remove(id);
            // What cannot be removed belongs to nobody: the next start of the engine clears it.
            if let Err(error) = self.clear_files(&container).await {
                crate::report(&format!("clear container {id}: {error}"));
            }
            let mounts = container.record().mounts.clone();
            self.remove_anonymous_volumes(&mounts).await;
        }
        written.map(|()| container)
    }

    /// Gives a new container its directory, its volumes, and the working directory that its image may lack.
    async fn write_new(&self, container: &Rc<Container>) -> Result<()> {
        let directory = &container.layout.directory;
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o710)
            .create(directory)
            .map_err(Error::at("mkdir", directory))?;
        self.create_volumes(container)?;
        container.change(|_| {})?;
        self.0
            .containers
            .borrow_mut()
            .insert(container.id.clone(), Rc::clone(container));
        self.make_working_directory(container)?;
        self.fill_volumes(container).await
    }

    /// Made at once, as in Docker: `docker cp` finds it before the first start, and a read-only root file system has it.
    fn make_working_directory(&self, container: &Rc<Container>) -> Result<()> {
        let path = container.record().config.working_dir.clone();
        if matches!(path.as_str(), "" | "/") {
            return Ok(());
        }
        self.mount_rootfs(container)?;
        crate::storage::make_directory(&container.layout.rootfs, Path::new(&path)).map_err(
            |error| {
                Error::server(match error.kind() {
                    ErrorKind::NotADirectory => format!("Cannot mkdir: {path} is not a directory"),
                    _ => format!("cannot make working directory {path}: {error}"),
                })
            },
        )
    }

    /// Fills in what inspect shows of a request that left it open.
    fn settle(&self, id: &str, request: &mut CreateRequest) -> Result<()> {
        let (config, host) = (&mut request.config, &mut request.host_config);
        let or = |field: &mut String, default: &str| {
            if field.is_empty() {
                default.clone_into(field);
            }
        };
        if matches!(host.network_mode.as_str(), "" | "default") {
            "bridge".clone_into(&mut host.network_mode);
        }
        if config.network_disabled {
            "none".clone_into(&mut host.network_mode);
        }
        if let Some(other) = host.network_mode.strip_prefix("container:") {
            // Docker takes a container that is not there (yet) and fails at the start.
            if let Ok(other) = self.find(other) {
                host.network_mode = format!("container:{}", other.id);
            }
        }
        for mode in [&mut host.pid_mode, &mut host.ipc_mode] {
            if let Some(other) = mode.strip_prefix("container:") {
                // Docker calls a missing donor a bad parameter here, but a missing network a 404.
                let other = self
                    .find(other)
                    .map_err(|error| Error::bad_parameter(error.message))?;
                *mode = format!("container:{}", other.id);
            }
        }
        let machine = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let shares_name = host.network_mode == "host" || host.uts_mode == "host";
        or(
            &mut config.hostname,
            if shares_name {
                &machine
            } else {
                ids::short(id)
            },
        );
        or(&mut host.ipc_mode, "private");
        or(&mut host.cgroupns_mode, "private");
        or(&mut host.runtime, crate::container::RUNTIME_NAME);
        or(&mut host.log_config.typ, "json-file");
        or(&mut host.restart_policy.name, "no");
        if host.shm_size == 0 && host.ipc_mode != "host" {
            host.shm_size = crate::spec::SHM_SIZE;
        }
        if !host.privileged {
            settle_paths(host);
        }
        Ok(())
    }

    /// The networks as inspect shows them before the first start.
    fn new_endpoints(&self, request: &CreateRequest) -> Result<BTreeMap<String, EndpointSettings>> {
        let mut endpoints = request.networking_config.endpoints_config.clone();
        if let Some(endpoint) = endpoints.remove("default") {
            endpoints.entry("bridge".to_owned()).or_insert(endpoint);
        }
        let mode = NetworkMode::parse(&request.host_config.network_mode);
        let Some(network) = mode.network() else {
            return if endpoints.is_empty() {
                Ok(endpoints)
            } else {
                Err(Error::bad_parameter(
                    "conflicting options: networks and the container type network mode",
                ))
            };
        };
        let same = |name: &str| {
            name == network
                || self.0.networks.resolve(name).ok() == self.0.networks.resolve(network).ok()
        };
        if !endpoints.keys().any(|name| same(name)) {
            endpoints.insert(network.to_owned(), EndpointSettings::default());
        }
        Ok(endpoints)
    }
}

/// The paths of the kernel's file systems that the container does not see or not write, where the client left it open.
fn settle_paths(host: &mut HostConfig) {
    let open = host
        .security_opt
        .iter()
        .flatten()
        .any(|option| option.starts_with("systempaths"));
    let unless_open = |paths: fn() -> Vec<String>| if open { Vec::new() } else { paths() };
    host.masked_paths
        .get_or_insert_with(|| unless_open(crate::spec::security::masked_paths));
    host.readonly_paths
        .get_or_insert_with(|| unless_open(crate::spec::security::readonly_paths));
}

/// What the networks are asked for. Whose container it is, and its process, is not in it yet.
pub(super) fn attach_request(
    config: &ContainerConfig,
    host: &HostConfig,
    endpoints: &BTreeMap<String, EndpointSettings>,
) -> AttachRequest {
    AttachRequest {
        hostname: config.hostname.clone(),
        network_mode: host.network_mode.clone(),
        networks: endpoints.clone(),
        mac_address: config.mac_address.clone(),
        port_bindings: host.port_bindings.clone(),
        exposed_ports: config.exposed_ports.keys().cloned().collect(),
        publish_all: host.publish_all_ports,
        dns: host.dns.clone(),
        ..AttachRequest::default()
    }
}
