//! The command line of `system-docker`: docker's verbs and flags, for what System Docker does.

use clap::{Args, Parser, Subcommand};

/// Manages System Docker, the container engine that is PID 1.
#[derive(Debug, Parser)]
#[command(name = "system-docker", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// Engine socket to connect to
    #[arg(short = 'H', long, global = true, default_value = super::DEFAULT_HOST)]
    pub(crate) host: String,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One of docker's verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Attach to a running container
    Attach(Attach),
    /// Copy files between a container and here
    Cp(Cp),
    /// Create a container without starting it
    Create(Create),
    /// Show what changed in a container's file system
    Diff { container: String },
    /// Replace the engine's program while containers run
    #[command(subcommand)]
    Engine(Engine),
    /// Show events as they happen
    Events(Events),
    /// Run a command in a running container
    Exec(Exec),
    /// Write a container's file system as a tar archive
    Export(Archive),
    /// Show how an image was made
    History { image: String },
    /// List images
    Images(Images),
    /// Show what the engine knows about itself
    Info(Formatted),
    /// Show all details of containers, images, networks or volumes
    Inspect(Inspect),
    /// Send a signal to containers
    Kill(Kill),
    /// Load images from a tar archive
    Load(Load),
    /// Show a container's output
    Logs(Logs),
    /// Manage networks
    #[command(subcommand)]
    Network(Network),
    /// Freeze all processes of containers
    Pause(Names),
    /// Show a container's published ports
    Port { container: String },
    /// List containers
    Ps(Ps),
    /// Download an image from a registry
    Pull { image: String },
    /// Give a container another name
    Rename { container: String, name: String },
    /// Stop and start containers
    Restart(Stop),
    /// Remove containers
    Rm(Rm),
    /// Remove images
    Rmi(Rmi),
    /// Create a container, start it and show its output
    Run(Run),
    /// Write images as a tar archive
    Save(Save),
    /// Start containers
    Start(Start),
    /// Show what containers use
    Stats(Stats),
    /// Stop containers
    Stop(Stop),
    /// Manage the engine's disk space
    #[command(subcommand)]
    System(System),
    /// Give an image another name
    Tag { source: String, target: String },
    /// Show the processes of a container
    Top {
        container: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        ps: Vec<String>,
    },
    /// Let frozen containers go on
    Unpause(Names),
    /// Change limits of running containers
    Update(Update),
    /// Show the versions of client and engine
    Version(Formatted),
    /// Manage volumes
    #[command(subcommand)]
    Volume(Volume),
    /// Wait for containers to end and show their exit codes
    Wait(Names),
}

/// Containers by name or id.
#[derive(Debug, Args)]
pub(crate) struct Names {
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

/// A verb whose answer a template can format.
#[derive(Debug, Args)]
pub(crate) struct Formatted {
    /// Format with a Go template
    #[arg(short, long)]
    pub(crate) format: Option<String>,
}

/// `attach`
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Do not attach standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    pub(crate) container: String,
}

/// `cp`
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// CONTAINER:PATH, a local path, or - for a tar stream
    pub(crate) source: String,
    /// CONTAINER:PATH, a local path, or - for a tar stream
    pub(crate) target: String,
}

/// `events`
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only events after this time
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// End at this time
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Only events that match, as KEY=VALUE
    #[arg(short, long = "filter")]
    pub(crate) filters: Vec<String>,
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
}

/// `exec`
#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// Do not wait for its end
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Set a variable, as NAME=VALUE
    #[arg(short, long = "env")]
    pub(crate) environment: Vec<String>,
    /// User, as NAME or UID[:GID]
    #[arg(short, long, default_value = "")]
    pub(crate) user: String,
    /// Working directory
    #[arg(short, long, default_value = "")]
    pub(crate) workdir: String,
    /// Give it all capabilities
    #[arg(long)]
    pub(crate) privileged: bool,
    pub(crate) container: String,
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}

/// `export`
#[derive(Debug, Args)]
pub(crate) struct Archive {
    /// Write to a file instead of standard output
    #[arg(short, long)]
    pub(crate) output: Option<String>,
    pub(crate) container: String,
}

/// `images`
#[derive(Debug, Args)]
pub(crate) struct Images {
    /// Also show layers that no name points to
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only the ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only images that match, as KEY=VALUE
    #[arg(short, long = "filter")]
    pub(crate) filters: Vec<String>,
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
    pub(crate) repository: Option<String>,
}

/// `inspect`
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Format with a Go template
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// Only this kind: container, image, network or volume
    #[arg(long = "type")]
    pub(crate) kind: Option<String>,
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
}

/// `kill`
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The signal to send
    #[arg(short, long, default_value = "KILL")]
    pub(crate) signal: String,
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

/// `load`
#[derive(Debug, Args)]
pub(crate) struct Load {
    /// Read from a file instead of standard input
    #[arg(short, long)]
    pub(crate) input: Option<String>,
    /// Only show what was loaded
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// `logs`
#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Go on as it grows
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only lines after this time
    #[arg(long)]
    pub(crate) since: Option<String>,
    /// Only lines before this time
    #[arg(long)]
    pub(crate) until: Option<String>,
    /// Only so many lines from the end
    #[arg(short = 'n', long, default_value = "all")]
    pub(crate) tail: String,
    /// Show the time of each line
    #[arg(short, long)]
    pub(crate) timestamps: bool,
    pub(crate) container: String,
}

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
    Prune(Force),
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

/// A removal that docker asks about.
#[derive(Debug, Args)]
pub(crate) struct Force {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Also what has a name
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// `ps`
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Also those that do not run
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only the ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Do not shorten anything
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only the last so many, running or not
    #[arg(short = 'n', long)]
    pub(crate) last: Option<i64>,
    /// Only the last one, running or not
    #[arg(short, long)]
    pub(crate) latest: bool,
    /// Show their sizes
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Only those that match, as KEY=VALUE
    #[arg(short, long = "filter")]
    pub(crate) filters: Vec<String>,
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
}

/// `rm`
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Kill those that run
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Remove their anonymous volumes too
    #[arg(short, long)]
    pub(crate) volumes: bool,
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

/// `rmi`
#[derive(Debug, Args)]
pub(crate) struct Rmi {
    /// Also when a stopped container was made from it
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Keep untagged parents
    #[arg(long)]
    pub(crate) no_prune: bool,
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
}

/// `run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Do not wait for its end; show its id
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) create: Create,
}

/// `save`
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Write to a file instead of standard output
    #[arg(short, long)]
    pub(crate) output: Option<String>,
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
}

/// `start`
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Show its output
    #[arg(short, long)]
    pub(crate) attach: bool,
    /// Attach standard input
    #[arg(short, long)]
    pub(crate) interactive: bool,
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

/// `stats`
#[derive(Debug, Args)]
pub(crate) struct Stats {
    /// Once, without following
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
    pub(crate) containers: Vec<String>,
}

/// `stop` and `restart`
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Seconds until it is killed
    #[arg(short, long, visible_alias = "timeout")]
    pub(crate) time: Option<i64>,
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

/// `engine`
#[derive(Debug, Subcommand)]
pub(crate) enum Engine {
    /// Replace the engine's program in place; containers, their output and their health checks go on
    ///
    /// The new program is first asked whether it can take over. One that cannot is refused; one that fails later is
    /// replaced by the present one. Attached clients are disconnected. The next boot starts the installed program again.
    Upgrade(Upgrade),
    /// Show which program runs and how the last upgrade went
    Version(Formatted),
}

/// `engine upgrade`
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// Seconds that starts, stops and pulls under way may take to end (default 5, at most 600)
    #[arg(short, long)]
    pub(crate) time: Option<u64>,
    /// The new program; without it the present one starts anew
    pub(crate) path: Option<String>,
}

/// `system`
#[derive(Debug, Subcommand)]
pub(crate) enum System {
    /// Show what takes disk space
    Df,
    /// Show what the engine knows about itself
    Info(Formatted),
    /// Remove what is not used
    Prune(Force),
}

/// `update`
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Most memory
    #[arg(short, long)]
    pub(crate) memory: Option<String>,
    /// Most processors, such as 1.5
    #[arg(long)]
    pub(crate) cpus: Option<String>,
    /// Most processes
    #[arg(long)]
    pub(crate) pids_limit: Option<i64>,
    /// no, always, unless-stopped or on-failure[:N]
    #[arg(long)]
    pub(crate) restart: Option<String>,
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
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
    Prune(Force),
    /// Remove volumes
    Rm {
        #[arg(short, long)]
        force: bool,
        #[arg(required = true)]
        volumes: Vec<String>,
    },
}

pub(crate) use super::create::Create;
