//! Networks of containers: bridge, macvlan, ipvlan, host and none, with address management, published ports,
//! embedded DNS and Docker's rules and error texts.
//!
//! Everything the kernel is told goes through `sys::netlink`; no program is run. Calls are synchronous and short
//! (each netlink exchange is bounded by [`sys::netlink::REPLY_TIMEOUT`]), so PID 1 makes them from its one thread.
//! Definitions live in `<root>/networks`, endpoints of running containers in `<run>/network`, which a reboot empties
//! together with the kernel's state; both are read again by [`Networks::open`].
//!
//! How a caller brings a container up:
//!
//! ```text
//! networks.validate(&mode, &endpoints)         at create
//! networks.attach(&AttachRequest)              between runtime create and start: the process exists, nothing runs yet
//! networks.files(&FilesRequest)                content of /etc/resolv.conf, /etc/hosts, /etc/hostname
//! networks.detach(container id)                when it has exited; errors are collected, the rest goes on
//! ```
//!
//! **Belongs here:** what Docker calls a network or an endpoint, and what the kernel is told for it.
//!
//! **Not here:** this crate does not know images, mounts, processes or the engine; it knows only those names of containers
//! that it was told.
//!
//! **May import:** `engine-api`, `json-reader`, `objects`, `sys` of our crates.

mod attach;
mod bridge;
mod connect;
mod create;
mod device;
pub mod dns;
mod driver_options;
mod endpoint;
pub mod files;
mod firewall;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
mod gateway;
pub mod helper;
mod ipam;
mod ipam_config;
mod list;
mod macvlan;
mod names;
mod ports;
mod predefined;
mod record;
mod remove;
mod sandbox;
mod store;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;

use engine_api::{EndpointSettings, Error, PortMap, Result};
use sys::netlink::Cidr;

pub use endpoint::without_state;
pub use list::FILTERS;
use record::NetworkRecord;
pub use record::is_predefined;
use sandbox::Sandbox;

/// Networks a client may make: each costs a device, rules and a subnet of the pools.
const NETWORK_LIMIT: usize = 1024;
/// Name of the default network.
pub const DEFAULT_NETWORK: &str = "bridge";

/// How networks are set up.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Definitions of networks: one JSON file each.
    pub root: PathBuf,
    /// Endpoints of running containers: one JSON file per container, on a tmpfs.
    pub run: PathBuf,
    /// Device of the default bridge.
    pub bridge_device: String,
    /// Address of the default bridge with its prefix: its subnet is the network's.
    pub bridge_address: Cidr,
    /// The host's resolver configuration, whose servers the embedded DNS forwards to.
    pub resolv_conf: PathBuf,
    /// The host's own names, which containers in its network see too.
    pub hosts: PathBuf,
}

impl NetworkOptions {
    /// RancherOS's defaults: `docker-sys`, 172.18.42.1/16.
    pub fn new(root: PathBuf, run: PathBuf) -> Self {
        let address = IpAddr::from([172, 18, 42, 1]);
        Self {
            root,
            run,
            bridge_device: "docker-sys".into(),
            bridge_address: Cidr::new(address, 16).unwrap_or(Cidr::host(address)),
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

/// Told of every network event: action (`create`, `connect`, `disconnect`, `destroy`), network id, attributes.
pub type EventSink = Box<dyn Fn(&str, &str, BTreeMap<String, String>)>;

/// A container whose process has been created but not started, and what it asks of its networks.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// 64 hexadecimal digits.
    pub container_id: String,
    /// Name without the leading slash.
    pub container_name: String,
    /// Host name inside, a name in the embedded DNS too.
    pub hostname: String,
    /// A process in the container's network namespace.
    pub pid: i32,
    /// `HostConfig.NetworkMode`.
    pub network_mode: String,
    /// Networks by name or id, as in `NetworkSettings.Networks`; empty means the one of `network_mode`.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// `Config.MacAddress` of older clients: for the network of `network_mode`.
    pub mac_address: String,
    /// `HostConfig.PortBindings`.
    pub port_bindings: PortMap,
    /// Keys of `Config.ExposedPorts`, such as `80/tcp` or `8000-8010`.
    pub exposed_ports: Vec<String>,
    /// Publish every exposed port on a free host port.
    pub publish_all: bool,
    /// `HostConfig.Dns`: servers the embedded DNS forwards to instead of the host's.
    pub dns: Vec<String>,
}

/// What a container got.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attachment {
    /// By network name: wishes as given, the rest filled in.
    pub networks: BTreeMap<String, EndpointSettings>,
    /// `NetworkSettings.Ports`: published ports with their host side, exposed ones with null.
    pub ports: PortMap,
    /// `NetworkSettings.SandboxID`; empty when the network namespace is not the container's own.
    pub sandbox_id: String,
    /// `NetworkSettings.SandboxKey`: path of the network namespace.
    pub sandbox_key: String,
}

/// A container as `connect` and `disconnect` know it.
#[derive(Debug, Clone, Default)]
pub struct ConnectTarget {
    /// 64 hexadecimal digits.
    pub container_id: String,
    /// Name without the leading slash.
    pub container_name: String,
    /// Host name inside.
    pub hostname: String,
    /// Its process when it runs; `None`: only the wish is checked, `attach` does the rest at the next start.
    pub pid: Option<i32>,
    /// `HostConfig.NetworkMode`.
    pub network_mode: String,
    /// Names or ids of the networks it is on, or will be when it starts.
    pub networks: Vec<String>,
    /// `HostConfig.PortBindings`.
    pub port_bindings: PortMap,
    /// Keys of `Config.ExposedPorts`.
    pub exposed_ports: Vec<String>,
    /// Publish every exposed port on a free host port.
    pub publish_all: bool,
}

/// All networks of the engine. Clones share it.
#[derive(Clone)]
pub struct Networks(Rc<Inner>);

struct Inner {
    options: NetworkOptions,
    events: EventSink,
    helper: helper::client::Helper,
    state: RefCell<State>,
}

/// Everything that changes. Borrowed only within one synchronous step.
#[derive(Default)]
struct State {
    networks: BTreeMap<String, NetworkRecord>,
    sandboxes: BTreeMap<String, Sandbox>,
    firewall: firewall::Firewall,
    ports: ports::PortAllocator,
    warnings: Vec<String>,
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.borrow();
        let names: Vec<_> = state
            .networks
            .values()
            .map(|network| &network.name)
            .collect();
        f.debug_struct("Networks")
            .field("networks", &names)
            .finish_non_exhaustive()
    }
}

/// The kinds of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driver {
    Bridge,
    Macvlan,
    Ipvlan,
    Host,
    Null,
}

impl Driver {
    fn parse(name: &str) -> Result<Self> {
        match name {
            "" | "default" | "bridge" => Ok(Self::Bridge),
            "macvlan" => Ok(Self::Macvlan),
            "ipvlan" => Ok(Self::Ipvlan),
            "host" => Ok(Self::Host),
            "null" => Ok(Self::Null),
            other => Err(Error::not_found(format!("plugin {other:?} not found"))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Host => "host",
            Self::Null => "null",
        }
    }
}

/// Which network a `HostConfig.NetworkMode` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// The host's namespace.
    Host,
    /// A namespace with loopback only.
    None,
    /// The namespace of another container, by name or id.
    Container(String),
    /// The default bridge.
    Default,
    /// A user-defined network, by name or id.
    Network(String),
}

impl NetworkMode {
    /// Reads `HostConfig.NetworkMode`.
    pub fn parse(text: &str) -> Self {
        match text {
            "" | "default" | DEFAULT_NETWORK => Self::Default,
            "host" => Self::Host,
            "none" => Self::None,
            _ => match text.strip_prefix("container:") {
                Some(other) => Self::Container(other.to_owned()),
                None => Self::Network(text.to_owned()),
            },
        }
    }

    /// The network's name, for modes that mean one.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Host => Some("host"),
            Self::None => Some("none"),
            Self::Default => Some(DEFAULT_NETWORK),
            Self::Network(name) => Some(name),
            Self::Container(_) => None,
        }
    }

    /// True when the container has its own namespace that wants links.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::None | Self::Default | Self::Network(_))
    }
}

/// Turns a netlink failure into the engine's 500.
fn server(error: sys::netlink::Error) -> Error {
    Error::server(error.to_string())
}
