//! The flags of the prunes.

use clap::Args;

/// `container prune`, `network prune`, and what all prunes have
#[derive(Debug, Args)]
pub(crate) struct Prune {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Only those that match, as KEY=VALUE
    #[arg(long = "filter")]
    pub(crate) filters: Vec<String>,
}

/// `image prune`, `volume prune`
#[derive(Debug, Args)]
pub(crate) struct PruneAll {
    /// Also those that have a name
    #[arg(short, long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) prune: Prune,
}

/// `system prune`
#[derive(Debug, Args)]
pub(crate) struct PruneSystem {
    /// Also anonymous volumes
    #[arg(long)]
    pub(crate) volumes: bool,
    #[command(flatten)]
    pub(crate) images: PruneAll,
}
