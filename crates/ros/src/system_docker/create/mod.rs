//! From the flags of `run` and `create` to the request that the Engine API takes.

mod values;

use std::collections::BTreeMap;

use clap::Args;
use engine_api::{ContainerConfig, CreateRequest, HostConfig, LogConfig, PortBinding};
use serde_json::json;

pub(super) use values::{bytes, nano_cpus, pairs, restart_policy};
use values::{mapping, published, split_once_or_empty, ulimit, with_value};

/// The flags that describe a container.
#[derive(Debug, Default, Args)]
pub(crate) struct Create {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove it when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Its name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Set a variable, as NAME=VALUE
    #[arg(short, long = "env")]
    environment: Vec<String>,
    /// Bind mount or volume, as SOURCE:TARGET[:OPTIONS]
    #[arg(short, long = "volume")]
    volumes: Vec<String>,
    /// Mount the volumes of another container
    #[arg(long)]
    volumes_from: Vec<String>,
    /// Mount a tmpfs, as PATH[:OPTIONS]
    #[arg(long)]
    tmpfs: Vec<String>,
    /// Publish a port, as [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]
    #[arg(short, long = "publish")]
    publish: Vec<String>,
    /// Publish all exposed ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Network: bridge, host, none, container:NAME or a network's name
    #[arg(long, visible_alias = "net")]
    network: Option<String>,
    /// Name servers
    #[arg(long)]
    dns: Vec<String>,
    /// Line of /etc/hosts, as NAME:ADDRESS
    #[arg(long)]
    add_host: Vec<String>,
    /// Working directory
    #[arg(short, long, default_value = "")]
    workdir: String,
    /// User, as NAME or UID[:GID]
    #[arg(short, long, default_value = "")]
    user: String,
    /// Host name
    #[arg(short = 'h', long, default_value = "")]
    hostname: String,
    /// Program to run in place of the image's
    #[arg(long)]
    entrypoint: Option<String>,
    /// Label, as KEY=VALUE
    #[arg(short, long = "label")]
    labels: Vec<String>,
    /// Everything that root may do
    #[arg(long)]
    privileged: bool,
    /// Add a capability
    #[arg(long)]
    cap_add: Vec<String>,
    /// Take a capability away
    #[arg(long)]
    cap_drop: Vec<String>,
    /// Security option, such as no-new-privileges
    #[arg(long)]
    security_opt: Vec<String>,
    /// A device of the host, as HOST[:CONTAINER[:rwm]]
    #[arg(long = "device")]
    devices: Vec<String>,
    /// Restart policy: no, always, unless-stopped or on-failure[:N]
    #[arg(long, default_value = "no")]
    restart: String,
    /// Most memory, such as 64m
    #[arg(short, long)]
    memory: Option<String>,
    /// Most processors, such as 1.5
    #[arg(long)]
    cpus: Option<String>,
    /// Most processes
    #[arg(long)]
    pids_limit: Option<i64>,
    /// Resource limit, as NAME=SOFT[:HARD]
    #[arg(long = "ulimit")]
    ulimits: Vec<String>,
    /// Kernel setting, as KEY=VALUE
    #[arg(long = "sysctl")]
    sysctls: Vec<String>,
    /// Size of /dev/shm
    #[arg(long)]
    shm_size: Option<String>,
    /// PID namespace: host or container:NAME
    #[arg(long, default_value = "")]
    pid: String,
    /// IPC namespace: host, private, shareable, none or container:NAME
    #[arg(long, default_value = "")]
    ipc: String,
    /// UTS namespace: host
    #[arg(long, default_value = "")]
    uts: String,
    /// User namespace: host
    #[arg(long, default_value = "")]
    userns: String,
    /// Read-only root file system
    #[arg(long)]
    read_only: bool,
    /// Run an init that reaps and passes signals on
    #[arg(long)]
    init: bool,
    /// Signal that stops it
    #[arg(long, default_value = "")]
    stop_signal: String,
    /// Log driver
    #[arg(long, default_value = "")]
    log_driver: String,
    /// Option of the log driver, as KEY=VALUE
    #[arg(long = "log-opt")]
    log_options: Vec<String>,
    /// The image
    pub(crate) image: String,
    /// What to run in it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Create {
    /// The request; `attach` says that this client waits for the output.
    ///
    /// # Errors
    /// Names the flag whose value is wrong.
    pub(crate) fn request(&self, attach: bool) -> anyhow::Result<CreateRequest> {
        let config = ContainerConfig {
            hostname: self.hostname.clone(),
            user: self.user.clone(),
            attach_stdin: attach && self.interactive,
            attach_stdout: attach,
            attach_stderr: attach,
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: attach && self.interactive,
            env: self
                .environment
                .iter()
                .filter_map(|variable| with_value(variable))
                .collect(),
            cmd: (!self.command.is_empty()).then(|| self.command.clone()),
            image: self.image.clone(),
            working_dir: self.workdir.clone(),
            entrypoint: self
                .entrypoint
                .as_ref()
                .map(|program| vec![program.clone()]),
            labels: pairs("--label", &self.labels)?,
            stop_signal: self.stop_signal.clone(),
            exposed_ports: self
                .published()?
                .into_keys()
                .map(|port| (port, json!({})))
                .collect(),
            volumes: self
                .volumes
                .iter()
                .filter(|v| !v.contains(':'))
                .map(|v| (v.clone(), json!({})))
                .collect(),
            ..ContainerConfig::default()
        };
        Ok(CreateRequest {
            config,
            host_config: self.host_config()?,
            ..CreateRequest::default()
        })
    }

    fn host_config(&self) -> anyhow::Result<HostConfig> {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let bytes_of =
            |flag, text: &Option<String>| text.as_deref().map_or(Ok(0), |text| bytes(flag, text));
        Ok(HostConfig {
            binds: self
                .volumes
                .iter()
                .filter(|volume| volume.contains(':'))
                .cloned()
                .collect(),
            log_config: LogConfig {
                typ: self.log_driver.clone(),
                config: pairs("--log-opt", &self.log_options)?,
            },
            network_mode: self.network.clone().unwrap_or_else(|| "default".to_owned()),
            port_bindings: self.published()?,
            publish_all_ports: self.publish_all,
            restart_policy: restart_policy(&self.restart)?,
            auto_remove: self.rm,
            volumes_from: self.volumes_from.clone(),
            tmpfs: self
                .tmpfs
                .iter()
                .map(|entry| split_once_or_empty(entry, ':'))
                .collect(),
            cap_add: some(&self.cap_add),
            cap_drop: some(&self.cap_drop),
            security_opt: some(&self.security_opt),
            dns: self.dns.clone(),
            extra_hosts: some(&self.add_host),
            pid_mode: self.pid.clone(),
            ipc_mode: self.ipc.clone(),
            uts_mode: self.uts.clone(),
            userns_mode: self.userns.clone(),
            privileged: self.privileged,
            readonly_rootfs: self.read_only,
            init: self.init.then_some(true),
            sysctls: pairs("--sysctl", &self.sysctls)?,
            shm_size: bytes_of("--shm-size", &self.shm_size)?,
            memory: bytes_of("--memory", &self.memory)?,
            nano_cpus: self.cpus.as_deref().map_or(Ok(0), nano_cpus)?,
            pids_limit: self.pids_limit,
            ulimits: self
                .ulimits
                .iter()
                .map(|limit| ulimit(limit))
                .collect::<anyhow::Result<_>>()?,
            devices: self.devices.iter().map(|device| mapping(device)).collect(),
            ..HostConfig::default()
        })
    }

    fn published(&self) -> anyhow::Result<BTreeMap<String, Option<Vec<PortBinding>>>> {
        let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
        for text in &self.publish {
            let (port, binding) = published(text)?;
            ports
                .entry(port)
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
        Ok(ports)
    }
}
