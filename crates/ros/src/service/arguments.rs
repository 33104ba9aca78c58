//! The subcommands of `ros service`, with RancherOS's flags.

use clap::Subcommand;

use crate::cli::Format;

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Service {
    /// List services of catalogues and files of services, and with --all the system's own services
    List {
        /// The system's own too
        #[arg(short, long)]
        all: bool,
        /// Ask the repositories for their lists first
        #[arg(short, long)]
        update: bool,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Turn a file of services on, from the next boot
    #[command(
        after_help = "Example:\n  ros service enable /var/lib/rancher/conf/web.yml && ros service up web"
    )]
    Enable {
        /// Files below /var/lib/rancher/conf
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Turn it off
    Disable {
        /// Files
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Forget it
    #[command(visible_alias = "del")]
    Delete {
        /// Files
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Make containers
    Create {
        /// Services
        names: Vec<String>,
        /// Replace them by new ones in any case
        #[arg(long)]
        force_recreate: bool,
        /// Keep those that there are in any case
        #[arg(long, conflicts_with = "force_recreate")]
        no_recreate: bool,
    },
    /// Make and start containers
    Up {
        /// Services
        names: Vec<String>,
        /// Show their output until they end
        #[arg(long)]
        foreground: bool,
        /// Replace them by new ones in any case
        #[arg(long)]
        force_recreate: bool,
        /// Keep those that there are in any case
        #[arg(long, conflicts_with = "force_recreate")]
        no_recreate: bool,
    },
    /// Replace a service's container, by one of another image if one is named; the old one comes back if the new one fails
    #[command(after_help = "Example:\n  ros service upgrade web nginx:1.27")]
    Upgrade {
        /// The service
        name: String,
        /// Its new image; the one of the configuration when absent
        image: Option<String>,
    },
    /// Start containers
    Start {
        /// Services
        names: Vec<String>,
        /// Accepted, as in RancherOS
        #[arg(long)]
        foreground: bool,
    },
    /// Stop containers
    Stop {
        /// Services
        names: Vec<String>,
        /// Seconds until they are killed
        #[arg(short, long, default_value_t = 10)]
        timeout: u32,
    },
    /// Restart containers
    Restart {
        /// Services
        names: Vec<String>,
        /// Seconds until they are killed
        #[arg(short, long, default_value_t = 10)]
        timeout: u32,
    },
    /// Show their output
    Logs {
        /// Services
        names: Vec<String>,
        /// The last so many lines
        #[arg(long, default_value_t = 100)]
        lines: u32,
        /// Go on
        #[arg(short, long)]
        follow: bool,
    },
    /// Pull their images
    Pull {
        /// Services
        names: Vec<String>,
        /// Accepted, as in RancherOS
        #[arg(long)]
        ignore_pull_failures: bool,
    },
    /// Send them a signal
    Kill {
        /// Services
        names: Vec<String>,
        /// The signal
        #[arg(short, long, default_value = "SIGKILL")]
        signal: String,
    },
    /// Remove stopped containers
    Rm {
        /// Services
        names: Vec<String>,
        /// Running ones too
        #[arg(short, long)]
        force: bool,
        /// And their volumes
        #[arg(short)]
        volumes: bool,
    },
    /// Stop and remove containers
    Down {
        /// Services
        names: Vec<String>,
    },
    /// List their containers
    Ps {
        /// Only their ids
        #[arg(short, long)]
        quiet: bool,
    },
}
