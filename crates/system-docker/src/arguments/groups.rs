//! `container` and `image`: docker's verbs under the name of what they are about.

use clap::Subcommand;

use super::{
    Archive, Attach, Commit, Cp, Create, Exec, History, Images, Import, Inspect, Kill, Load, Logs,
    Names, Prune, PruneAll, Ps, Pull, Push, Rm, Rmi, Run, Save, Start, Stats, Stop, Top, Update,
};

/// `container`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Container {
    /// Attach to a running container
    Attach(Attach),
    /// Make an image of a container's file system
    Commit(Commit),
    /// Copy files between a container and here
    Cp(Cp),
    /// Create a container without starting it
    #[command(disable_help_flag = true)] // -h is the host name
    Create(Create),
    /// Show what changed in a container's file system
    Diff { container: String },
    /// Run a command in a running container
    Exec(Exec),
    /// Write a container's file system as a tar archive
    Export(Archive),
    /// Show all details
    Inspect(Inspect),
    /// Send a signal to containers
    Kill(Kill),
    /// Show the output of a container
    Logs(Logs),
    /// List containers
    #[command(visible_aliases = ["ps", "list"])]
    Ls(Ps),
    /// Pause all processes of containers
    Pause(Names),
    /// Show the published ports of a container
    Port {
        container: String,
        /// Only this port, as PORT or PORT/PROTOCOL
        port: Option<String>,
    },
    /// Remove all stopped containers
    Prune(Prune),
    /// Rename a container
    Rename { container: String, name: String },
    /// Restart containers
    Restart(Stop),
    /// Remove containers
    #[command(visible_alias = "remove")]
    Rm(Rm),
    /// Create a container, start it and show its output
    #[command(disable_help_flag = true)] // -h is the host name
    Run(Run),
    /// Start stopped containers
    Start(Start),
    /// Show what containers use, again and again
    Stats(Stats),
    /// Stop containers
    Stop(Stop),
    /// Show the processes of a container
    Top(Top),
    /// Let paused containers go on
    Unpause(Names),
    /// Change limits and restart policy of containers
    Update(Update),
    /// Wait for containers to end and show their exit codes
    Wait(Names),
}

/// `image`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Image {
    /// Show how an image was made
    History(History),
    /// Make an image from a tar archive of a root file system
    Import(Import),
    /// Show all details
    Inspect(Inspect),
    /// Load images from a tar archive
    Load(Load),
    /// List images
    #[command(visible_alias = "list")]
    Ls(Images),
    /// Remove images that nothing uses
    Prune(PruneAll),
    /// Get an image from a registry
    Pull(Pull),
    /// Send an image to a registry
    Push(Push),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(Rmi),
    /// Write images to a tar archive
    Save(Save),
    /// Give an image a further name
    Tag { source: String, target: String },
}
