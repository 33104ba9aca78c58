//! Flags of the verbs for registries.

use clap::Args;

/// `login`
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// User name
    #[arg(short, long)]
    pub(crate) username: Option<String>,
    /// Password; it is seen by everybody who sees this command line
    #[arg(short, long, conflicts_with = "password_stdin")]
    pub(crate) password: Option<String>,
    /// Read the password from standard input
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// The registry; Docker Hub without one
    pub(crate) server: Option<String>,
}

/// `push`
#[derive(Debug, Args)]
pub(crate) struct Push {
    /// All tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Only show what was pushed
    #[arg(short, long)]
    pub(crate) quiet: bool,
    pub(crate) image: String,
}

/// `search`
#[derive(Debug, Args)]
pub(crate) struct Search {
    /// Only those that match, as KEY=VALUE
    #[arg(short, long = "filter")]
    pub(crate) filters: Vec<String>,
    /// At most so many
    #[arg(long)]
    pub(crate) limit: Option<u32>,
    /// Do not shorten descriptions
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
    pub(crate) term: String,
}
