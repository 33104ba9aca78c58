//! `ros os`: the versions on this machine's disk. States and records: docs/install.md.

mod access;
mod again;
mod auto;
mod changes;
mod check;
mod damage;
pub(crate) mod failure;
mod freshness;
mod gate;
mod heal;
mod initrd;
mod installed;
mod kept_program;
mod kexec;
mod listing;
mod live;
mod loader;
mod lock;
mod order;
mod pin;
pub(crate) mod policy;
mod releases;
mod rules;
pub(crate) mod source;
mod stage;
mod trust;
mod upgrade;
mod verify;
mod wanted;

use std::process::ExitCode;
use std::time::Duration;

use config::VERSION;

pub(crate) use access::keep as keep_access;
pub(crate) use auto::{mistakes, run as follow_policy};
pub(crate) use gate::start as start_gate;
pub(crate) use kept_program::keeper as program_keeper;
pub(crate) use kexec::load_running as load_running_kernel;
pub(crate) use order::previous_by_kexec;

/// What can be done with versions.
#[derive(Debug, clap::Subcommand)]
#[command(defer = true)]
pub(crate) enum Os {
    /// Print the version that runs
    Version {
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Print the versions on this disk, and with -u those of rancher.upgrade.url or of the registry of rancher.upgrade.image
    List {
        /// Ask the registry
        #[arg(short, long)]
        update: bool,
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Tell whether there is a newer version that this machine would take; the exit code is 10 when there is none
    Check(check::Options),
    /// Print what runs, what is tried next and what became of earlier tries
    Status {
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Print what became of each version on this machine
    History {
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Put another version on the disk and try it
    Upgrade(upgrade::Options),
    /// Go back: from a version that is tried to the good one, else to the one before
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
    /// Take no version but this one, until `off`
    Pin {
        /// The version; the one that runs when absent
        version: Option<String>,
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Do at once what rancher.upgrade.policy would do at its next look, and print it
    Policy,
    /// Read the versions on the disk again, and compare them with their manifests
    Verify {
        /// Only this slot: 4, 5 or 6
        #[arg(long)]
        slot: Option<u32>,
        /// text or json
        #[arg(long, default_value = "text")]
        format: String,
    },
    /// Judge the version that is tried
    #[command(hide = true)]
    Gate,
    /// Note once more what works, before the boot that tries another version
    #[command(hide = true)]
    NoteFacts {
        /// Milliseconds after which what is seen is not noted any more
        limit: u64,
    },
    /// Put the version in a slot in place of the one that runs
    #[command(hide = true)]
    Live { slot: u32 },
    /// Say what the services of this version are
    #[command(hide = true)]
    LivePlan,
}

/// `ros -v`, in RancherOS's words.
pub(crate) fn print_version() -> anyhow::Result<ExitCode> {
    println!("version v{VERSION} from os image rancher/os:v{VERSION}");
    Ok(ExitCode::SUCCESS)
}

/// Runs one of the subcommands.
pub(crate) fn main(command: &Os) -> anyhow::Result<ExitCode> {
    Ok(run(command).unwrap_or_else(|error| failure::report(&error)))
}

fn run(command: &Os) -> anyhow::Result<ExitCode> {
    match command {
        Os::Version { format } if listing::is_json(format)? => {
            println!("{:#}", serde_json::json!({"version": VERSION}));
        }
        Os::Version { .. } => println!("v{VERSION}"),
        Os::List { update, format } => listing::list(*update, format)?,
        Os::Check(options) => return check::main(options),
        Os::Status { format } => listing::status(format)?,
        Os::History { format } => listing::history(format)?,
        Os::Upgrade(options) => return upgrade::upgrade(options),
        Os::Rollback { force, no_reboot } => return order::rollback(*force, *no_reboot),
        Os::Commit => order::commit()?,
        Os::Cancel => order::cancel()?,
        Os::Pin { version, format } => pin::main(version.as_deref(), format)?,
        Os::Policy => auto::look_now()?,
        Os::Verify { slot, format } => verify::main(*slot, format)?,
        Os::Gate => gate::main()?,
        Os::NoteFacts { limit } => gate::note_facts(Duration::from_millis(*limit))?,
        Os::Live { slot } => live::main(*slot)?,
        Os::LivePlan => live::answer()?,
    }
    Ok(ExitCode::SUCCESS)
}
