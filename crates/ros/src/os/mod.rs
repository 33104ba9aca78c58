//! `ros os`: the versions on this machine's disk. States and records: docs/install.md.

mod gate;
mod installed;
mod listing;
mod upgrade;

use std::process::ExitCode;

use config::VERSION;

pub(crate) use gate::start as start_gate;

/// What can be done with versions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Os {
    /// Print the version that runs
    Version,
    /// Print the versions on this disk
    List {
        /// Ask for newer ones; not possible yet
        #[arg(short, long)]
        update: bool,
    },
    /// Print what runs, what is tried next and what became of earlier tries
    Status {
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Print what became of each version on this machine
    History,
    /// Put another version on the disk and try it
    Upgrade(upgrade::Options),
    /// Try the version before this one again
    Rollback {
        /// Do not ask
        #[arg(short, long)]
        force: bool,
        /// Do not reboot afterwards
        #[arg(long)]
        no_reboot: bool,
    },
    /// Keep the version that runs, without waiting for its checks
    Commit,
    /// Take back the order to try another version
    Cancel,
    /// Judge the version that is tried
    #[command(hide = true)]
    Gate,
}

/// `ros -v`, in RancherOS's words.
pub(crate) fn print_version() -> anyhow::Result<ExitCode> {
    println!("version v{VERSION} from os image rancher/os:v{VERSION}");
    Ok(ExitCode::SUCCESS)
}

/// Runs one of the subcommands.
pub(crate) fn main(command: &Os) -> anyhow::Result<ExitCode> {
    match command {
        Os::Version => println!("v{VERSION}"),
        Os::List { update } => listing::list(*update)?,
        Os::Status { format } => listing::status(format)?,
        Os::History => listing::history()?,
        Os::Upgrade(options) => return upgrade::upgrade(options),
        Os::Rollback { force, no_reboot } => return upgrade::rollback(*force, *no_reboot),
        Os::Commit => upgrade::commit()?,
        Os::Cancel => upgrade::cancel()?,
        Os::Gate => gate::main()?,
    }
    Ok(ExitCode::SUCCESS)
}
