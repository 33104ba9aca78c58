//! The verbs of `engine` and `system`, and their flags.

use clap::{Args, Subcommand};

use super::{Formatted, PruneSystem};

/// `engine`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Engine {
    /// Replace the engine's program in place; containers, their output and their health checks go on
    ///
    /// The new program is first asked whether it can take over. One that cannot is refused; one that fails later is
    /// replaced by the present one. Attached clients are disconnected. The next boot starts the installed program again, unless
    /// --keep is given.
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
    /// Also start it at the next boots of a machine that is installed on a disk: as a separate version, which is tried
    /// as any version is, and given up when it does not work (see `ros os status`)
    #[arg(long)]
    pub(crate) keep: bool,
    /// The new program; without it the present one starts again
    pub(crate) path: Option<String>,
}

/// `system`
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum System {
    /// Show what takes disk space
    Df(Formatted),
    /// Show what the engine knows about itself
    Info(Formatted),
    /// Remove what is not used
    Prune(PruneSystem),
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
