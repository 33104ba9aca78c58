//! Flags of the verbs for containers.

use clap::Args;

use super::Create;

/// Containers by name or id.
#[derive(Debug, Args)]
pub(crate) struct Names {
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
}

/// `attach`
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Do not attach standard input
    #[arg(long)]
    pub(crate) no_stdin: bool,
    #[command(flatten)]
    pub(crate) signals: Signals,
    pub(crate) container: String,
}

/// What reaches a container that this terminal is connected to, and what does not.
#[derive(Debug, Args)]
pub(crate) struct Signals {
    /// Pass signals to this client on to the container
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) sig_proxy: bool,
    /// Keys that leave it running, such as ctrl-p,ctrl-q
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
}

/// `cp`
#[derive(Debug, Args)]
pub(crate) struct Cp {
    /// Keep the owners: here those of the container, in the container its user
    #[arg(short, long)]
    pub(crate) archive: bool,
    /// Copy what a link leads to
    #[arg(short = 'L', long)]
    pub(crate) follow_link: bool,
    /// Do not say what was copied; without a terminal that is so anyway
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true",
        overrides_with = "quiet")]
    pub(crate) quiet: Option<bool>,
    /// CONTAINER:PATH, a local path, or - for a tar stream
    pub(crate) source: String,
    /// CONTAINER:PATH, a local path, or - for a tar stream
    pub(crate) target: String,
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
    /// Read variables from a file
    #[arg(long = "env-file")]
    pub(crate) environment_files: Vec<String>,
    /// Keys that leave it running, such as ctrl-p,ctrl-q
    #[arg(long)]
    pub(crate) detach_keys: Option<String>,
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

/// `kill`
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// The signal to send
    #[arg(short, long, default_value = "KILL")]
    pub(crate) signal: String,
    #[arg(required = true)]
    pub(crate) containers: Vec<String>,
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

/// `run`
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Do not wait for its end; show its id
    #[arg(short, long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) signals: Signals,
    #[command(flatten)]
    pub(crate) create: Create,
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
    #[command(flatten)]
    pub(crate) signals: Signals,
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

/// `top`
#[derive(Debug, Args)]
pub(crate) struct Top {
    pub(crate) container: String,
    /// Options for ps
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) ps: Vec<String>,
}
