//! Groups of commands of `ros` that have few each: lists, certificates, the network, the boot.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::Format;

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum One {
    /// List them
    List {
        /// Accepted: there is no catalogue to refresh
        #[arg(short, long)]
        update: bool,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Tls {
    /// Make certificates, signed by this machine's own authority
    #[command(
        visible_alias = "gen",
        after_help = "Example:\n  ros tls generate --server -H $(hostname) && ros tls generate\n  ros config set rancher.docker.tls true && system-docker restart docker\n  docker --tlsverify -H localhost:2376 version"
    )]
    Generate {
        /// For the server, in place of a client
        #[arg(short, long)]
        server: bool,
        /// Name or address of the server
        #[arg(short = 'H', long = "hostname", default_value = "localhost")]
        hostnames: Vec<String>,
        /// Where to put them
        #[arg(short, long)]
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Net {
    /// Links, addresses, routes and name servers
    Status {
        /// How to print it
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Boot {
    /// Show how long each phase of the boot took
    Blame {
        /// How to print it
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Draw the boot: a bar for each phase and service (SVG)
    #[command(after_help = "Example:\n  ros boot plot > boot.svg")]
    Plot,
}
