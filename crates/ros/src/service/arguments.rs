//! The subcommands of `ros service`, with RancherOS's flags.

use clap::{Arg, ArgAction, Subcommand, ValueEnum};

use crate::cli::Format;

/// RancherOS's flag of all these commands, under both of its names.
pub(crate) fn verbose() -> Arg {
    Arg::new("verbose")
        .long("verbose")
        .visible_alias("debug")
        .help("Accepted, as in RancherOS: what happens is always said")
        .action(ArgAction::SetTrue)
        .global(true)
}

/// Which images of its services `down` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Images {
    /// All that they are made from
    All,
    /// Those without a name: a service here always names one
    Local,
}

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
    /// Refused: images of services are not built here
    #[command(hide = true)]
    Build {
        /// Services
        names: Vec<String>,
        /// As in RancherOS
        #[arg(long)]
        no_cache: bool,
        /// As in RancherOS
        #[arg(long)]
        force_rm: bool,
        /// As in RancherOS
        #[arg(long)]
        pull: bool,
    },
    /// Make containers
    Create {
        /// Services; all of yours when absent
        names: Vec<String>,
        /// Accepted: nothing is built here
        #[arg(long)]
        no_build: bool,
        /// Replace them by new ones in any case
        #[arg(long)]
        force_recreate: bool,
        /// Keep those that there are in any case
        #[arg(long, conflicts_with = "force_recreate")]
        no_recreate: bool,
    },
    /// Make and start containers
    Up {
        /// Services; all of yours when absent
        names: Vec<String>,
        /// Accepted: nothing is built here
        #[arg(long)]
        no_build: bool,
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
        /// Services; all of yours when absent
        names: Vec<String>,
        /// Accepted, as in RancherOS
        #[arg(long)]
        foreground: bool,
    },
    /// Stop containers
    Stop {
        /// Services; all of yours when absent
        names: Vec<String>,
        /// Seconds until they are killed
        #[arg(short, long, default_value_t = 10)]
        timeout: u32,
    },
    /// Restart containers
    Restart {
        /// Services; all of yours when absent
        names: Vec<String>,
        /// Seconds until they are killed
        #[arg(short, long, default_value_t = 10)]
        timeout: u32,
    },
    /// Show their output
    Logs {
        /// Services; all of yours when absent
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
        /// Services; all of yours when absent
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
        /// And their volumes that have no name
        #[arg(short, long)]
        volumes: bool,
        /// And their images
        #[arg(long, value_name = "TYPE")]
        rmi: Option<Images>,
        /// And containers of services that the configuration does not have
        #[arg(long)]
        remove_orphans: bool,
    },
    /// List their containers
    Ps {
        /// Only their ids
        #[arg(short, long, conflicts_with = "format")]
        quiet: bool,
        /// How to print them
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
}
