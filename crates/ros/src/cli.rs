//! The command line of `ros`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli_groups::{Boot, Net, One, Tls};
use crate::service::Service;
use crate::{
    boot_blame, boot_plot, cli_help, cloud_init_command, config_command, console, install,
    net_status, netconf_command, os, preload, report, reset, service, small_commands, status, tls,
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
#[command(defer = true)]
enum Command {
    /// Look into the last boot
    #[command(subcommand)]
    Boot(Boot),
    /// Print the completion of a shell
    Completion {
        /// bash, zsh, fish ...
        shell: Shell,
    },
    /// Read, check and change the configuration
    #[command(subcommand, visible_alias = "c")]
    Config(Config),
    /// Install RancherOS on a disk
    Install(Box<install::Options>),
    /// Versions on this machine's disk
    #[command(subcommand)]
    Os(os::Os),
    /// Consoles
    #[command(subcommand)]
    Console(One),
    /// Print the device that LABEL=, UUID= or a path means
    Dev {
        /// Such as LABEL=RANCHER_STATE
        name: String,
    },
    /// Engines of User Docker
    #[command(subcommand)]
    Engine(One),
    /// Run a command with the variables of rancher.environment
    #[command(after_help = "Example:\n  ros env printenv FLANNEL_NETWORK")]
    Env {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Write the manual pages of all commands into a folder
    #[cfg(feature = "man-pages")]
    #[command(hide = true)]
    ManPages {
        /// It is made when it is not there
        folder: PathBuf,
    },
    /// The network
    #[command(subcommand)]
    Net(Net),
    /// Configure links, addresses and name servers
    #[command(hide = true)]
    Netconf,
    /// Forget settings, containers or everything at the next boot
    #[command(after_help = "Example:\n  ros reset containers")]
    Reset(reset::Options),
    /// Services of the configuration
    #[command(subcommand, visible_alias = "s", arg = service::verbose())]
    Service(Service),
    /// Show how the machine is: boot, links, state disk, the two Dockers, services, and what is wrong
    Status {
        /// Only what is wrong; nothing when all is well
        #[arg(short, long)]
        problems: bool,
        /// How to print it
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Certificates for Docker's API
    #[command(subcommand)]
    Tls(Tls),
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

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Config {
    /// Print a value of the merged configuration as YAML
    Get {
        /// Dotted key, such as rancher.network.dns.search
        key: String,
    },
    /// Set a value; null takes the key out
    #[command(
        after_help = "Examples:\n  ros config set hostname node-1\n  ros config set rancher.network.dns.nameservers '[10.0.0.1, 10.0.0.2]'\n  ros config set rancher.debug null"
    )]
    Set {
        /// Dotted key
        key: String,
        /// Value in YAML: text, true, 5, [a, b], {a: b}
        value: String,
    },
    /// Lay a cloud-config over the machine's own
    #[command(after_help = "Example:\n  ros config merge < cloud-config.yml")]
    Merge {
        /// File; standard input when absent
        #[arg(short, long)]
        input: Option<PathBuf>,
    },
    /// Show what this machine sets, and where
    Diff {
        /// How to print it
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Apply what the files say now to the running machine, after a look at what that does
    #[command(
        after_help = "Examples:\n  ros config apply --dry-run          what changes, and what it costs\n  ros config apply --confirm=2m       taken back after two minutes unless `ros config confirm` is run in a new login\n  ros config apply"
    )]
    Apply {
        /// Take the change back by itself unless it is confirmed in this time (60s when no time is given, 120s when links are rebuilt)
        #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true)]
        confirm: Option<Option<String>>,
        /// Only show the plan
        #[arg(short = 'n', long)]
        dry_run: bool,
        /// How to print the plan
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Keep the change that waits for it; counts only in a login that is newer than the change
    Confirm,
    /// Take the change that waits for its confirmation back now
    Revert,
    /// List the images that the configuration names
    Images {
        /// A file in place of the machine's configuration
        #[arg(short, long)]
        input: Option<PathBuf>,
    },
    /// Not in this system: it filled in templates of RancherOS's build
    #[command(hide = true)]
    Generate,
    /// Not in this system: it edited the boot loader of RancherOS
    #[command(hide = true)]
    Syslinux,
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
#[command(defer = true)]
pub(crate) enum CloudInit {
    /// Fetch user data from media and keep it
    Save,
    /// Apply host name and keys of the configuration now
    Execute,
    /// Print the settings that VMware's hypervisor has for this machine; on another one the processor ends this
    #[command(hide = true)]
    Guestinfo,
}

/// Runs `ros`.
pub(crate) fn main(arguments: Vec<OsString>) -> ExitCode {
    report("ros", run(arguments))
}

/// The whole command line.
pub(crate) fn command() -> clap::Command {
    cli_help::with_examples(Ros::command())
}

fn run(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let ros = Ros::from_arg_matches(&command().try_get_matches_from(arguments)?)?;
    if ros.version {
        return os::print_version();
    }
    let Some(command) = ros.command else {
        return Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand).into());
    };
    let needs_root = matches!(
        command,
        Command::Config(
            Config::Get { .. }
                | Config::Set { .. }
                | Config::Merge { .. }
                | Config::Export { .. }
                | Config::Diff { .. }
                | Config::Apply { .. }
                | Config::Confirm
                | Config::Revert
        ) | Command::Service(_)
            | Command::Tls(_)
            | Command::Env { .. }
    );
    // The files of the configuration hold passwords: nobody else can read them.
    if needs_root && !sys::process::is_root() {
        anyhow::bail!("Need to be root: sudo ros ...");
    }
    match command {
        Command::Boot(Boot::Blame { format }) => boot_blame::main(format),
        Command::Boot(Boot::Plot) => boot_plot::main(),
        Command::Completion { shell } => Ok(cli_help::complete(shell, self::command())),
        Command::Config(command) => config_command::main(&command),
        Command::Install(options) => install::main(&options),
        Command::Os(command) => os::main(&command),
        Command::Console(One::List { format, .. }) => small_commands::list_one("default", format),
        Command::Dev { name } => small_commands::dev(&name),
        Command::Engine(One::List { format, .. }) => {
            small_commands::list_one(&small_commands::engine_name(), format)
        }
        Command::Env { command } => small_commands::env(&command),
        #[cfg(feature = "man-pages")]
        Command::ManPages { folder } => {
            let pages = crate::man::write(&folder)?;
            println!("{pages} pages in {}", folder.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Net(Net::Status { format }) => net_status::main(format),
        Command::Netconf => netconf_command::main(),
        Command::Reset(options) => reset::main(&options),
        Command::Service(command) => service::main(&command),
        Command::Tls(Tls::Generate {
            server,
            hostnames,
            dir,
        }) => tls::main(server, &hostnames, dir.as_deref()),
        Command::Status { problems, format } => status::main(problems, format),
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
            "ros os version --format json",
            "ros os verify --slot 5 --format json",
            "ros os pin off --format json",
            "ros os note-facts 8000",
            "ros status --problems",
            "ros boot blame",
            "ros boot plot",
            "ros os list",
            "ros os status --format json",
            "ros os upgrade -i x.iso --stage -f --no-reboot -k --append console=ttyS1 --upgrade-console --debug",
            "ros os rollback",
            "ros os commit",
            "ros install -d /dev/sda",
            "ros install -c cloud-config.yml -d /dev/sda -f --no-reboot -t generic -a console=ttyS1 --keep-state",
            "ros install -i x.iso -p /dev/sda1 --statedir x -k -s --debug -t noformat",
            "ros cloud-init save",
            "ros c set hostname a",
            "ros c merge -i x.yml",
            "ros config diff --format json",
            "ros config images -i x.yml",
            "ros config apply --confirm --dry-run --format json",
            "ros config apply --confirm=2m",
            "ros config confirm",
            "ros config revert",
            "ros s list -a",
            "ros service enable /var/lib/rancher/conf/a.yml",
            "ros service up --force-recreate a b",
            "ros service logs --lines 5 -f a",
            "ros service kill -s SIGTERM a",
            "ros service rm -f -v a",
            "ros service ps -q",
            "ros service ps --format json",
            "ros tls gen -s -H a -H 10.0.0.1 -d /tmp",
            "ros env printenv -0 A",
            "ros dev LABEL=X",
            "ros console list -u",
            "ros engine list",
            "ros net status --format json",
            "ros status",
            "ros console-init",
            "ros completion bash",
        ] {
            assert!(Ros::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in ["ros bogus", "ros service ps -q --format json"] {
            assert!(Ros::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
