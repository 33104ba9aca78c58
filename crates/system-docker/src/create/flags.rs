//! The flags of `run` and `create` that describe a container, under docker's names.

use clap::{ArgAction, Args, ValueEnum};

/// The flags that describe a container.
#[derive(Debug, Default, Args)]
pub(crate) struct Create {
    /// Show this help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Attach this stream only; may be given again
    #[arg(short, long, value_enum, ignore_case = true)]
    pub(crate) attach: Vec<Stream>,
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
    /// Write its id to this file, which must not exist
    #[arg(long)]
    pub(crate) cidfile: Option<String>,
    /// Platform of the image, if it is pulled
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// When to pull the image
    #[arg(long, value_enum, default_value_t)]
    pub(crate) pull: Pull,
    /// Do not show the progress of a pull
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Set a variable, as NAME=VALUE
    #[arg(short, long = "env")]
    pub(super) environment: Vec<String>,
    /// Read variables from a file
    #[arg(long = "env-file")]
    pub(super) environment_files: Vec<String>,
    /// Bind mount or volume, as SOURCE:TARGET[:OPTIONS]
    #[arg(short, long = "volume")]
    pub(super) volumes: Vec<String>,
    /// Driver of its volumes
    #[arg(long, default_value = "")]
    pub(super) volume_driver: String,
    /// Mount the volumes of another container
    #[arg(long)]
    pub(super) volumes_from: Vec<String>,
    /// Bind mount, volume or tmpfs, as type=TYPE,source=SOURCE,target=TARGET[,OPTION...]
    #[arg(long = "mount")]
    pub(super) mounts: Vec<String>,
    /// Mount a tmpfs, as PATH[:OPTIONS]
    #[arg(long)]
    pub(super) tmpfs: Vec<String>,
    /// Publish a port, as [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]
    #[arg(short, long = "publish")]
    pub(super) publish: Vec<String>,
    /// Publish all exposed ports
    #[arg(short = 'P', long)]
    pub(super) publish_all: bool,
    /// Expose a port or a range, as PORT[-PORT][/PROTOCOL]
    #[arg(long)]
    pub(super) expose: Vec<String>,
    /// Network: bridge, host, none, container:NAME or a network's name
    #[arg(long, visible_alias = "net")]
    pub(super) network: Option<String>,
    /// Another name in its network
    #[arg(long, visible_alias = "net-alias")]
    pub(super) network_alias: Vec<String>,
    /// IPv4 address in its network
    #[arg(long)]
    pub(super) ip: Option<String>,
    /// IPv6 address in its network
    #[arg(long)]
    pub(super) ip6: Option<String>,
    /// Link-local address in its network
    #[arg(long)]
    pub(super) link_local_ip: Vec<String>,
    /// Hardware address of its network card
    #[arg(long)]
    pub(super) mac_address: Option<String>,
    /// Name servers
    #[arg(long)]
    pub(super) dns: Vec<String>,
    /// Option of the resolver
    #[arg(long, visible_alias = "dns-opt")]
    pub(super) dns_option: Vec<String>,
    /// Domains that are tried after a name
    #[arg(long)]
    pub(super) dns_search: Vec<String>,
    /// Another container's name, which System Docker refuses: user-defined networks have names
    #[arg(long = "link")]
    pub(super) links: Vec<String>,
    /// Line of /etc/hosts, as NAME:ADDRESS
    #[arg(long)]
    pub(super) add_host: Vec<String>,
    /// Working directory
    #[arg(short, long, default_value = "")]
    pub(super) workdir: String,
    /// User, as NAME or UID[:GID]
    #[arg(short, long, default_value = "")]
    pub(super) user: String,
    /// Another group of its first process
    #[arg(long)]
    pub(super) group_add: Vec<String>,
    /// Host name
    #[arg(short = 'h', long, default_value = "")]
    pub(super) hostname: String,
    /// NIS domain name
    #[arg(long, default_value = "")]
    pub(super) domainname: String,
    /// Program to run in place of the image's
    #[arg(long)]
    pub(super) entrypoint: Option<String>,
    /// Label, as KEY=VALUE
    #[arg(short, long = "label")]
    pub(super) labels: Vec<String>,
    /// Read labels from a file
    #[arg(long = "label-file")]
    pub(super) label_files: Vec<String>,
    /// Annotation for the runtime, as KEY=VALUE
    #[arg(long = "annotation")]
    pub(super) annotations: Vec<String>,
    /// Everything that root may do
    #[arg(long)]
    pub(super) privileged: bool,
    /// Add a capability
    #[arg(long)]
    pub(super) cap_add: Vec<String>,
    /// Take a capability away
    #[arg(long)]
    pub(super) cap_drop: Vec<String>,
    /// Security option: no-new-privileges, apparmor=PROFILE, seccomp=FILE, ...
    #[arg(long)]
    pub(super) security_opt: Vec<String>,
    /// A device of the host, as HOST[:CONTAINER[:rwm]]
    #[arg(long = "device")]
    pub(super) devices: Vec<String>,
    /// Allow devices, as TYPE MAJOR:MINOR MODE
    #[arg(long = "device-cgroup-rule")]
    pub(super) device_cgroup_rules: Vec<String>,
    /// OCI runtime; System Docker has one, which it calls runc
    #[arg(long, default_value = "")]
    pub(super) runtime: String,
    /// Restart policy: no, always, unless-stopped or on-failure[:N]
    #[arg(long, default_value = "no")]
    pub(super) restart: String,
    #[command(flatten)]
    pub(super) health: Health,
    #[command(flatten)]
    pub(super) limits: Limits,
    /// Kernel setting, as KEY=VALUE
    #[arg(long = "sysctl")]
    pub(super) sysctls: Vec<String>,
    /// PID namespace: host or container:NAME
    #[arg(long, default_value = "")]
    pub(super) pid: String,
    /// IPC namespace: host, private, shareable, none or container:NAME
    #[arg(long, default_value = "")]
    pub(super) ipc: String,
    /// UTS namespace: host
    #[arg(long, default_value = "")]
    pub(super) uts: String,
    /// User namespace: host
    #[arg(long, default_value = "")]
    pub(super) userns: String,
    /// Cgroup namespace: host or private
    #[arg(long, default_value = "")]
    pub(super) cgroupns: String,
    /// Read-only root file system
    #[arg(long)]
    pub(super) read_only: bool,
    /// Option of the root file system's driver, as KEY=VALUE
    #[arg(long = "storage-opt")]
    pub(super) storage_options: Vec<String>,
    /// Run an init that reaps and passes signals on
    #[arg(long)]
    pub(super) init: bool,
    /// Signal that stops it
    #[arg(long, default_value = "")]
    pub(super) stop_signal: String,
    /// Seconds until a stop kills it
    #[arg(long)]
    pub(super) stop_timeout: Option<i64>,
    /// Log driver
    #[arg(long, default_value = "")]
    pub(super) log_driver: String,
    /// Option of the log driver, as KEY=VALUE
    #[arg(long = "log-opt")]
    pub(super) log_options: Vec<String>,
    /// The image, and what to run in it
    // One argument, since flags end at the image: two would leave `-c` of `IMAGE -c true` to this client.
    #[arg(required = true, num_args = 1.., value_names = ["IMAGE", "COMMAND"], trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Create {
    /// The image.
    pub(crate) fn image(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// What to run in it; empty: what the image says.
    pub(super) fn command(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }
}

/// A stream of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// When `run` and `create` pull the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pull {
    Always,
    #[default]
    Missing,
    Never,
}

/// How its health is checked.
#[derive(Debug, Default, Args)]
pub(super) struct Health {
    /// Command that checks its health
    #[arg(long = "health-cmd")]
    pub(super) test: Option<String>,
    /// Time between two checks, such as 30s
    #[arg(long = "health-interval")]
    pub(super) interval: Option<String>,
    /// Time that one check may take
    #[arg(long = "health-timeout")]
    pub(super) timeout: Option<String>,
    /// Failures in a row that make it unhealthy
    #[arg(long = "health-retries", default_value_t = 0)]
    pub(super) retries: i64,
    /// Time that it needs to start, in which failures do not count
    #[arg(long = "health-start-period")]
    pub(super) start_period: Option<String>,
    /// Time between two checks while it starts
    #[arg(long = "health-start-interval")]
    pub(super) start_interval: Option<String>,
    /// Do not check its health, whatever the image says
    #[arg(long = "no-healthcheck")]
    pub(super) none: bool,
}

/// What it may use.
#[derive(Debug, Default, Args)]
pub(super) struct Limits {
    /// Most memory, such as 64m
    #[arg(short, long)]
    pub(super) memory: Option<String>,
    /// Memory that it is pushed back to when memory is short
    #[arg(long)]
    pub(super) memory_reservation: Option<String>,
    /// Most memory and swap together; -1 for any
    #[arg(long, allow_hyphen_values = true)]
    pub(super) memory_swap: Option<String>,
    /// How readily it is swapped out, 0 to 100
    #[arg(long)]
    pub(super) memory_swappiness: Option<i64>,
    /// Never end it when memory runs out
    #[arg(long)]
    pub(super) oom_kill_disable: bool,
    /// How readily it is ended when memory runs out, -1000 to 1000
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    pub(super) oom_score_adj: i64,
    /// Size of /dev/shm
    #[arg(long)]
    pub(super) shm_size: Option<String>,
    /// Most processors, such as 1.5
    #[arg(long)]
    pub(super) cpus: Option<String>,
    /// Share of the processors; every other container has 1024
    #[arg(short, long, default_value_t = 0)]
    pub(super) cpu_shares: i64,
    /// Length of a period of the scheduler, in microseconds
    #[arg(long, default_value_t = 0)]
    pub(super) cpu_period: i64,
    /// Processor time in one period, in microseconds
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    pub(super) cpu_quota: i64,
    /// Processors that it may use, such as 0-2,4
    #[arg(long, default_value = "")]
    pub(super) cpuset_cpus: String,
    /// Memory nodes that it may use
    #[arg(long, default_value = "")]
    pub(super) cpuset_mems: String,
    /// Share of the disks, 10 to 1000
    #[arg(long, default_value_t = 0)]
    pub(super) blkio_weight: u16,
    /// Bytes a second that it may read from a disk, as DEVICE:RATE
    #[arg(long)]
    pub(super) device_read_bps: Vec<String>,
    /// Bytes a second that it may write to a disk, as DEVICE:RATE
    #[arg(long)]
    pub(super) device_write_bps: Vec<String>,
    /// Reads a second from a disk, as DEVICE:RATE
    #[arg(long)]
    pub(super) device_read_iops: Vec<String>,
    /// Writes a second to a disk, as DEVICE:RATE
    #[arg(long)]
    pub(super) device_write_iops: Vec<String>,
    /// Cgroup above its own
    #[arg(long, default_value = "")]
    pub(super) cgroup_parent: String,
    /// Most processes; -1 for any
    #[arg(long, allow_hyphen_values = true)]
    pub(super) pids_limit: Option<i64>,
    /// Resource limit, as NAME=SOFT[:HARD]
    #[arg(long = "ulimit")]
    pub(super) ulimits: Vec<String>,
}
