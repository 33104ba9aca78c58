//! The command line of `system-docker`: docker's verbs and flags, for what System Docker does.

mod container;
mod engine;
mod groups;
mod image;
mod network;
mod prune;
mod registry;

use clap::{Args, Parser, Subcommand};

pub(crate) use super::create::Create;
pub(crate) use container::{
    Archive, Attach, Cp, Exec, Kill, Logs, Names, Ps, Rm, Run, Signals, Start, Stats, Stop, Top,
    Update,
};
pub(crate) use engine::{Engine, Events, System, Upgrade};
pub(crate) use groups::{Container, Image};
pub(crate) use image::{Commit, History, Images, Import, Load, Pull, Rmi, Save};
pub(crate) use network::{Network, NetworkConnect, NetworkCreate, Volume};
pub(crate) use prune::{Prune, PruneAll, PruneSystem};
pub(crate) use registry::{Login, Push, Search};

/// Manages System Docker, the container engine that is PID 1.
#[derive(Debug, Parser)]
#[command(name = "system-docker", version)]
pub(crate) struct Arguments {
    /// Engine socket to connect to
    #[arg(short = 'H', long, global = true, default_value = super::DEFAULT_HOST)]
    pub(crate) host: String,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// One of docker's verbs.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Verb {
    /// Attach to a running container
    Attach(Attach),
    /// Make an image of a container's file system
    Commit(Commit),
    /// Manage containers
    #[command(subcommand)]
    Container(Container),
    /// Copy files between a container and here
    Cp(Cp),
    /// Create a container without starting it
    #[command(disable_help_flag = true)] // -h is the host name
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
    History(History),
    /// Manage images
    #[command(subcommand)]
    Image(Image),
    /// List images
    Images(Images),
    /// Make an image from a tar archive of a root file system
    Import(Import),
    /// Show what the engine knows about itself
    Info(Formatted),
    /// Show all details of containers, images, networks or volumes
    Inspect(Inspect),
    /// Send a signal to containers
    Kill(Kill),
    /// Load images from a tar archive
    Load(Load),
    /// Check credentials with a registry and keep them
    Login(Login),
    /// Forget the credentials for a registry
    Logout { server: Option<String> },
    /// Show a container's output
    Logs(Logs),
    /// Manage networks
    #[command(subcommand)]
    Network(Network),
    /// Freeze all processes of containers
    Pause(Names),
    /// Show a container's published ports
    Port {
        container: String,
        /// Only this port, as PORT or PORT/PROTOCOL
        port: Option<String>,
    },
    /// List containers
    Ps(Ps),
    /// Download an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Give a container another name
    Rename { container: String, name: String },
    /// Stop and start containers
    Restart(Stop),
    /// Remove containers
    Rm(Rm),
    /// Remove images
    Rmi(Rmi),
    /// Create a container, start it and show its output
    #[command(disable_help_flag = true)] // -h is the host name
    Run(Run),
    /// Write images as a tar archive
    Save(Save),
    /// Search Docker Hub
    Search(Search),
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
    Top(Top),
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

/// A verb whose answer a template can format.
#[derive(Debug, Args)]
pub(crate) struct Formatted {
    /// Format with a Go template
    #[arg(short, long)]
    pub(crate) format: Option<String>,
}

/// `inspect`
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// Format with a Go template
    #[arg(short, long)]
    pub(crate) format: Option<String>,
    /// Sizes of a container, too
    #[arg(short, long)]
    pub(crate) size: bool,
    /// Only this kind: container, image, network or volume
    #[arg(long = "type")]
    pub(crate) kind: Option<String>,
    #[arg(required = true)]
    pub(crate) names: Vec<String>,
}
