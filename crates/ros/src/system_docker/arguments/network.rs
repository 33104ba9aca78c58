//! The verbs of `network` and `volume`, and their flags.

use clap::{Args, Subcommand};

use super::{Inspect, Prune, PruneAll};

/// `network`
#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    /// Connect a container to a network
    Connect { network: String, container: String },
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

/// `network create`
#[derive(Debug, Args)]
pub(crate) struct NetworkCreate {
    /// bridge, macvlan or ipvlan
    #[arg(short, long, default_value = "bridge")]
    pub(crate) driver: String,
    /// No way out
    #[arg(long)]
    pub(crate) internal: bool,
    /// Subnet in CIDR form
    #[arg(long)]
    pub(crate) subnet: Option<String>,
    /// Gateway of the subnet
    #[arg(long)]
    pub(crate) gateway: Option<String>,
    /// Driver option, as KEY=VALUE
    #[arg(short, long = "opt")]
    pub(crate) options: Vec<String>,
    /// Label, as KEY=VALUE
    #[arg(long = "label")]
    pub(crate) labels: Vec<String>,
    pub(crate) name: String,
}

/// `volume`
#[derive(Debug, Subcommand)]
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
