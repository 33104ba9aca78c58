//! Flags of the verbs for images.

use clap::Args;

/// `commit`
#[derive(Debug, Args)]
pub(crate) struct Commit {
    /// Who made it
    #[arg(short, long, default_value = "")]
    pub(crate) author: String,
    /// What it is for
    #[arg(short, long, default_value = "")]
    pub(crate) message: String,
    /// Dockerfile instruction to apply
    #[arg(short, long = "change")]
    pub(crate) changes: Vec<String>,
    /// Pause the container meanwhile
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) pause: bool,
    pub(crate) container: String,
    /// Name of the image, as REPOSITORY[:TAG]
    pub(crate) name: Option<String>,
}

/// `history`
#[derive(Debug, Args)]
pub(crate) struct History {
    /// Format each with a Go template
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Times and sizes for people
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true")]
    pub(crate) human: bool,
    /// Do not shorten anything
    #[arg(long)]
    pub(crate) no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
    pub(crate) image: String,
}

/// `import`
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// What it is for
    #[arg(short, long, default_value = "")]
    pub(crate) message: String,
    /// Dockerfile instruction to apply
    #[arg(short, long = "change")]
    pub(crate) changes: Vec<String>,
    /// Platform of the programs in it
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// A file, a URL, or - for standard input
    pub(crate) source: String,
    /// Name of the image, as REPOSITORY[:TAG]
    pub(crate) name: Option<String>,
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

/// `pull`
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// All tags of the repository
    #[arg(short, long)]
    pub(crate) all_tags: bool,
    /// Of this platform, such as linux/arm64
    #[arg(long)]
    pub(crate) platform: Option<String>,
    /// Only show what was pulled
    #[arg(short, long)]
    pub(crate) quiet: bool,
    pub(crate) image: String,
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

/// `save`
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Write to a file instead of standard output
    #[arg(short, long)]
    pub(crate) output: Option<String>,
    #[arg(required = true)]
    pub(crate) images: Vec<String>,
}
