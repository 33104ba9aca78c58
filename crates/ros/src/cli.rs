//! The command line of `ros`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    boot_blame, cloud_init_command, config_command, console, install, os, preload, report, status,
    user_docker,
};

/// Manages this machine.
#[derive(Debug, Parser)]
#[command(
    name = "ros",
    disable_version_flag = true,
    arg_required_else_help = true
)]
struct Ros {
    /// Print the version
    #[arg(short = 'v', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look into the last boot
    #[command(subcommand)]
    Boot(Boot),
    /// Read and check the configuration
    #[command(subcommand, visible_alias = "c")]
    Config(Config),
    /// Install RancherOS on a disk
    Install(Box<install::Options>),
    /// Versions on this machine's disk
    #[command(subcommand)]
    Os(os::Os),
    /// Show how the machine is: its state disk, its two Dockers, and what is wrong
    Status {
        /// Only what is wrong; nothing when all is well
        #[arg(short, long)]
        problems: bool,
    },
    /// Wait until User Docker answers
    #[command(hide = true)]
    WaitForDocker,
    /// Fetch or apply user data
    #[command(subcommand, hide = true)]
    CloudInit(CloudInit),
    /// Prepare the console and keep its logins running
    #[command(hide = true)]
    ConsoleInit,
    /// Load images into User Docker
    #[command(hide = true)]
    PreloadImages,
    /// Become User Docker's daemon
    #[command(hide = true)]
    UserDocker {
        /// Keep containerd running for this directory of dockerd's instead
        #[arg(long, hide = true)]
        containerd: Option<PathBuf>,
        /// Keep the firewall of its containers instead
        #[arg(long)]
        firewall: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Boot {
    /// Show how long each phase of the boot took
    Blame,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print a value of the merged configuration as YAML
    Get {
        /// Dotted key, such as rancher.network.dns.search
        key: String,
    },
    /// Print the configuration as YAML
    Export {
        /// Write it to this file (mode 0600) instead
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// With keys and passwords
        #[arg(short, long)]
        private: bool,
        /// With the built-in defaults
        #[arg(short, long)]
        full: bool,
    },
    /// Check a cloud-config; the exit code is 1 when it has errors
    Validate {
        /// File to check; standard input when absent, the machine's own configuration when that is a terminal
        #[arg(short, long)]
        input: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CloudInit {
    /// Fetch user data from media and keep it
    Save,
    /// Apply host name and keys of the configuration now
    Execute,
}

/// Runs `ros`.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    report("ros", run(arguments))
}

fn run(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let ros = Ros::try_parse_from(arguments)?;
    if ros.version {
        return os::print_version();
    }
    let Some(command) = ros.command else {
        return Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand).into());
    };
    match command {
        Command::Boot(Boot::Blame) => boot_blame::main(),
        Command::Config(command) => config_command::main(&command),
        Command::Install(options) => install::main(&options),
        Command::Os(command) => os::main(&command),
        Command::Status { problems } => status::main(problems),
        Command::WaitForDocker => preload::wait_for_docker(),
        Command::CloudInit(command) => cloud_init_command::main(&command),
        Command::ConsoleInit => console::main(),
        Command::PreloadImages => preload::main(),
        Command::UserDocker {
            containerd,
            firewall,
        } => user_docker::main(containerd.as_deref(), firewall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Ros::command().debug_assert();
    }

    #[test]
    fn documented_forms_are_taken() {
        for line in [
            "ros -v",
            "ros --version",
            "ros c get hostname",
            "ros config export -f -p -o x.yml",
            "ros config validate -i x.yml",
            "ros os version",
            "ros status --problems",
            "ros boot blame",
            "ros os list",
            "ros os status --format json",
            "ros os upgrade -i x.iso --stage -f --no-reboot -k --append console=ttyS1 --upgrade-console --debug",
            "ros os rollback",
            "ros os commit",
            "ros install -d /dev/sda",
            "ros install -c cloud-config.yml -d /dev/sda -f --no-reboot -t generic -a console=ttyS1 --keep-state",
            "ros install -i x.iso -p /dev/sda1 --statedir x -k -s --debug -t noformat",
            "ros cloud-init save",
            "ros console-init",
        ] {
            assert!(Ros::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        assert!(Ros::try_parse_from(["ros", "bogus"]).is_err());
    }
}
