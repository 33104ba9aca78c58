//! The checked configuration as types: what programs read after [`crate::load`].
//!
//! A field is `None` or empty when no document set it. Decoding cannot fail: [`crate::check`] has given every value
//! the type that stands here.

mod disks;
mod network;
mod state;
mod users;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Service;

pub use disks::{DiskSetup, FsSetup};
pub use network::{
    Dns, Interface, LinkDns, Network, RouteEntry, RuleEntry, WifiNetwork, Wireguard, WireguardPeer,
};
pub use state::State;
pub use users::{Chpasswd, User, UserEntry, UserPassword};

/// A map whose values may be absent (`environment: [HOME]`).
pub type StringMap = BTreeMap<String, Option<String>>;

/// The whole cloud-config (RancherOS `config/types.go`, `CloudConfig`).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Name of the machine.
    pub hostname: Option<String>,
    /// Public keys for the users rancher and docker.
    pub ssh_authorized_keys: Vec<String>,
    /// Files to write.
    pub write_files: Vec<WriteFile>,
    /// `[device, mount point, file system, options]` entries.
    pub mounts: Vec<Vec<String>>,
    /// Commands run in the console.
    pub runcmd: Vec<Command>,
    /// Commands run before the state partition is looked for.
    pub bootcmd: Vec<Command>,
    /// Full name of the machine.
    pub fqdn: Option<String>,
    /// Whether `fqdn` wins over `hostname`.
    pub prefer_fqdn_over_hostname: Option<bool>,
    /// Users of the console.
    pub users: Vec<User>,
    /// The default user, or changes to it.
    pub user: Option<User>,
    /// Groups: names, or maps of a name and its members.
    pub groups: serde_json::Value,
    /// Password of user rancher.
    pub password: Option<String>,
    /// Passwords of users.
    pub chpasswd: Chpasswd,
    /// Whether sshd takes passwords: `true`, `false`, `unchanged`.
    pub ssh_pwauth: Option<String>,
    /// Time zone of the console.
    pub timezone: Option<String>,
    /// `LANG` of logins.
    pub locale: Option<String>,
    /// Time servers.
    pub ntp: Ntp,
    /// What the machine does when everything was applied.
    pub power_state: Option<PowerState>,
    /// A file to swap to.
    pub swap: Option<Swap>,
    /// Partitions of disks, by path.
    pub disk_setup: BTreeMap<String, DiskSetup>,
    /// File systems to make.
    pub fs_setup: Vec<FsSetup>,
    /// Whom to tell that everything was applied.
    pub phone_home: Option<PhoneHome>,
    /// Certificate authorities to trust.
    pub ca_certs: CaCerts,
    /// Printed when everything was applied.
    pub final_message: Option<String>,
    /// The system's own settings.
    pub rancher: Rancher,
}

/// A command of `runcmd` or `bootcmd`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Command {
    /// A line for `sh -c`.
    Line(String),
    /// Program and arguments.
    Words(Vec<String>),
}

/// An entry of `write_files`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WriteFile {
    /// Whether the text goes to the end of what the file has.
    pub append: Option<bool>,
    /// Container the file is written in; the console when absent.
    pub container: Option<String>,
    /// The text, encoded as `encoding` says.
    pub content: Option<String>,
    /// `b64`, `base64`, `gz`, `gzip`, `gz+b64` ...
    pub encoding: Option<String>,
    /// `user:group`.
    pub owner: Option<String>,
    /// Absolute path.
    pub path: Option<String>,
    /// Octal mode.
    pub permissions: Option<String>,
}

/// `ntp`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ntp {
    /// Pools of servers.
    pub pools: Vec<String>,
    /// Servers.
    pub servers: Vec<String>,
}

/// `power_state`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PowerState {
    /// `true`, `false`, or a command.
    pub condition: serde_json::Value,
    /// `now` or `+MINUTES`.
    pub delay: Option<String>,
    /// Printed before.
    pub message: Option<String>,
    /// `poweroff`, `reboot` or `halt`.
    pub mode: Option<String>,
}

/// `phone_home`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PhoneHome {
    /// `all`, or names of what is sent.
    pub post: Vec<String>,
    /// How often it is tried.
    pub tries: Option<i64>,
    /// The address.
    pub url: Option<String>,
}

/// `swap`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Swap {
    /// The file.
    pub filename: Option<String>,
    /// Largest size when `size` is `auto`.
    pub maxsize: Option<String>,
    /// `512M`, bytes, or `auto`.
    pub size: Option<String>,
}

/// `ca_certs`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CaCerts {
    /// Whether only the certificates named here are trusted.
    pub remove_defaults: Option<bool>,
    /// Certificates, PEM.
    pub trusted: Vec<String>,
}

/// An account at a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RegistryAuth {
    /// `user:password` in base64.
    pub auth: Option<String>,
    /// Token in place of a password.
    pub identitytoken: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Bearer token.
    pub registrytoken: Option<String>,
    /// User.
    pub username: Option<String>,
}

/// `rancher.*`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Rancher {
    /// Terminals that log in by themselves: `tty1`, `ttyS0`, `user:tty`.
    pub autologin: Vec<String>,
    /// Where user data comes from.
    pub cloud_init: CloudInit,
    /// Name of the console.
    pub console: Option<String>,
    /// More output from everything.
    pub debug: Option<bool>,
    /// Values used when nothing else says.
    pub defaults: Defaults,
    /// Features switched off: `password`, `autologin`.
    pub disable: Vec<String>,
    /// User Docker's daemon.
    pub docker: Docker,
    /// Variables for `${…}` and for the environment of services.
    pub environment: StringMap,
    /// Start VM tools by hypervisor.
    pub hypervisor_service: Option<bool>,
    /// Write logs of early boot.
    pub log: Option<bool>,
    /// Kernel modules, each `name [parameter=value ...]`.
    pub modules: Vec<String>,
    /// Links, addresses, DNS, proxies; read by netconf.
    pub network: Network,
    /// Password of user rancher in plain text, from the kernel command line.
    pub password: Option<String>,
    /// Wait for preloaded images.
    pub preload_wait: Option<bool>,
    /// Go to the recovery console.
    pub recovery: Option<bool>,
    /// Accounts at registries.
    pub registry_auths: BTreeMap<String, RegistryAuth>,
    /// Mirrors by registry, as URLs.
    pub registry_mirrors: BTreeMap<String, Vec<String>>,
    /// Catalogues of services.
    pub repositories: BTreeMap<String, Repository>,
    /// Disk whose first partition grows once.
    pub resize_device: Option<String>,
    /// System services.
    pub services: BTreeMap<String, Service>,
    /// Catalogue services by name and whether they are on.
    pub services_include: BTreeMap<String, bool>,
    /// Seconds a shutdown may take.
    pub shutdown_timeout: Option<i64>,
    /// The SSH server.
    pub ssh: Ssh,
    /// The state partition.
    pub state: State,
    /// Kernel settings, `/proc/sys` names with dots or slashes.
    pub sysctl: StringMap,
    /// What RancherOS's early Docker was told of registries.
    pub bootstrap_docker: Registries,
    /// What System Docker is told of registries.
    pub system_docker: Registries,
    /// Where new versions come from.
    pub upgrade: Upgrade,
    /// Seconds without a sign of life after which the machine is reset; 0 for never.
    pub watchdog: Option<i64>,
}

/// `rancher.repositories.NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Repository {
    /// Address, or a folder.
    pub url: Option<String>,
}

/// What of `rancher.system_docker` and `rancher.bootstrap_docker` holds for the engine in PID 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Registries {
    /// Registries without TLS.
    pub insecure_registry: Vec<String>,
    /// Mirrors of Docker Hub.
    pub registry_mirror: Vec<String>,
}

/// `rancher.cloud_init`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CloudInit {
    /// Sources in RancherOS's spelling: `configdrive:/media/config-2`, `nocloud`, `ec2` ...
    pub datasources: Vec<String>,
}

/// `rancher.defaults`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Defaults {
    /// Name of a machine that got none.
    pub hostname: Option<String>,
    /// Network settings under everything else.
    pub network: Network,
}

/// `rancher.ssh`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ssh {
    /// Whether sshd runs; it does unless this is `false`.
    pub daemon: Option<bool>,
    /// Host keys by type: `ed25519`, `ed25519-pub`, `ecdsa` ...
    pub keys: StringMap,
    /// Address sshd listens on.
    pub listen_address: Option<String>,
    /// Port sshd listens on.
    pub port: Option<i64>,
}

/// `rancher.upgrade`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Upgrade {
    /// Channel of releases.yml.
    pub channel: Option<String>,
    /// Commands of the console that a new version has to pass.
    pub checks: Vec<String>,
    /// Image of the system, whose registry is asked for versions.
    pub image: Option<String>,
    /// Whether versions that nobody has signed are taken.
    pub insecure: Option<bool>,
    /// Minutes within which machines ask for versions at different times.
    pub jitter: Option<i64>,
    /// Public keys of minisign, in addition to the system's own.
    pub keys: Vec<String>,
    /// Shell command of the console that succeeds while the machine must not reboot.
    pub not_now: Option<String>,
    /// `none`, `download` or `auto`.
    pub policy: Option<String>,
    /// Seconds within which a new version has to pass its checks.
    pub timeout: Option<i64>,
    /// Address of releases.yml.
    pub url: Option<String>,
    /// Days and time of the day in which the machine may reboot by itself.
    pub window: Option<String>,
}

/// Settings of a Docker daemon (RancherOS `config/types.go`, `DockerConfig` and `EngineOpts`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Docker {
    /// Address of the bridge.
    pub bip: Option<String>,
    /// Bridge to use.
    pub bridge: Option<String>,
    /// Certificate authority, PEM.
    pub ca_cert: Option<String>,
    /// Its key, PEM.
    pub ca_key: Option<String>,
    /// `daemon.json`.
    pub config_file: Option<String>,
    /// Address of a containerd to use.
    pub containerd: Option<String>,
    /// Data directory, BurmillaOS's name.
    pub data_root: Option<String>,
    /// Debug output.
    pub debug: Option<bool>,
    /// Name of the engine.
    pub engine: Option<String>,
    /// Environment of the daemon, `NAME=VALUE`.
    pub environment: Vec<String>,
    /// Directory of run-time state.
    pub exec_root: Option<String>,
    /// Arguments after the generated ones.
    pub extra_args: Vec<String>,
    /// Data directory, RancherOS's name.
    pub graph: Option<String>,
    /// Group of the socket.
    pub group: Option<String>,
    /// Sockets to listen on.
    pub host: Vec<String>,
    /// Registries without TLS.
    pub insecure_registry: Vec<String>,
    /// Containers outlive the daemon.
    pub live_restore: Option<bool>,
    /// Logging driver of containers.
    pub log_driver: Option<String>,
    /// Its options.
    pub log_opts: StringMap,
    /// MTU of the default bridge.
    pub mtu: Option<i64>,
    /// Process id file.
    pub pid_file: Option<String>,
    /// Mirrors of Docker Hub.
    pub registry_mirror: Vec<String>,
    /// Server certificate, PEM.
    pub server_cert: Option<String>,
    /// Server key, PEM.
    pub server_key: Option<String>,
    /// Container in whose view of the file system the daemon runs.
    pub storage_context: Option<String>,
    /// Storage driver.
    pub storage_driver: Option<String>,
    /// Its options.
    pub storage_opts: Vec<String>,
    /// Whether TLS is on.
    pub tls: Option<bool>,
    /// Arguments used when it is.
    pub tls_args: Vec<String>,
    /// Whether published ports get a proxy process.
    pub userland_proxy: Option<bool>,
    /// Whether containers get user name spaces.
    pub userns_enabled: Option<bool>,
}
