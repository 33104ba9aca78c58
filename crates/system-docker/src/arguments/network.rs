//! The verbs of `network` and `volume`, and their flags.

use clap::{Args, Subcommand};

use super::{Inspect, Prune, PruneAll};

/// `network`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Network {
    /// Connect a container to a network
    Connect(NetworkConnect),
    /// Create a network
    Create(NetworkCreate),
    /// Disconnect a container from a network
    Disconnect {
        #[arg(short, long)]
        force: bool,
        network: String,
        container: String,
    },
    /// Show all details
    Inspect(Inspect),
    /// List networks
    Ls(List),
    /// Remove networks that no container uses
    Prune(Prune),
    /// Remove networks
    Rm {
        #[arg(required = true)]
        networks: Vec<String>,
    },
}

/// `network connect`
#[derive(Debug, Args)]
pub(crate) struct NetworkConnect {
    /// Further name of the container in the network's DNS
    #[arg(long = "alias")]
    pub(crate) aliases: Vec<String>,
    /// Driver option of the endpoint, as KEY=VALUE
    #[arg(long = "driver-opt")]
    pub(crate) driver_options: Vec<String>,
    /// IPv4 address
    #[arg(long)]
    pub(crate) ip: Option<String>,
    /// IPv6 address
    #[arg(long)]
    pub(crate) ip6: Option<String>,
    /// Link-local address
    #[arg(long = "link-local-ip")]
    pub(crate) link_local_ips: Vec<String>,
    pub(crate) network: String,
    pub(crate) container: String,
}

/// `network create`
#[derive(Debug, Args)]
pub(crate) struct NetworkCreate {
    /// Let containers be attached by hand (swarm)
    #[arg(long)]
    pub(crate) attachable: bool,
    /// Address that is taken already, as NAME=ADDRESS
    #[arg(long = "aux-address", value_delimiter = ',')]
    pub(crate) aux_addresses: Vec<String>,
    /// Network whose configuration is taken
    #[arg(long)]
    pub(crate) config_from: Option<String>,
    /// Only a configuration for other networks
    #[arg(long)]
    pub(crate) config_only: bool,
    /// bridge, macvlan or ipvlan
    #[arg(short, long, default_value = "bridge")]
    pub(crate) driver: String,
    /// Gateway of a subnet
    #[arg(long = "gateway", value_delimiter = ',')]
    pub(crate) gateways: Vec<String>,
    /// Swarm's routing mesh
    #[arg(long)]
    pub(crate) ingress: bool,
    /// No way out
    #[arg(long)]
    pub(crate) internal: bool,
    /// Part of a subnet that containers get addresses of, in CIDR form
    #[arg(long = "ip-range", value_delimiter = ',')]
    pub(crate) ip_ranges: Vec<String>,
    /// Driver that manages addresses
    #[arg(long, default_value = "default")]
    pub(crate) ipam_driver: String,
    /// Option of that driver, as KEY=VALUE
    #[arg(long = "ipam-opt")]
    pub(crate) ipam_options: Vec<String>,
    /// IPv6, too
    #[arg(long)]
    pub(crate) ipv6: bool,
    /// Label, as KEY=VALUE
    #[arg(long = "label")]
    pub(crate) labels: Vec<String>,
    /// Driver option, as KEY=VALUE
    #[arg(short, long = "opt")]
    pub(crate) options: Vec<String>,
    /// local, or swarm
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// Subnet in CIDR form
    #[arg(long = "subnet", value_delimiter = ',')]
    pub(crate) subnets: Vec<String>,
    pub(crate) name: String,
}

/// `volume`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Volume {
    /// Create a volume
    Create {
        /// Driver option, as KEY=VALUE
        #[arg(short, long = "opt")]
        options: Vec<String>,
        /// Label, as KEY=VALUE
        #[arg(long = "label")]
        labels: Vec<String>,
        name: Option<String>,
    },
    /// Show all details
    Inspect(Inspect),
    /// List volumes
    Ls(List),
    /// Remove volumes that no container uses
    Prune(PruneAll),
    /// Remove volumes
    Rm {
        #[arg(short, long)]
        force: bool,
        #[arg(required = true)]
        volumes: Vec<String>,
    },
}

/// A list of networks or volumes.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only the names or ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Only those that match, as KEY=VALUE
    #[arg(short, long = "filter")]
    pub(crate) filters: Vec<String>,
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
}
