//! `ros`: the operator's command, and the short-lived and long-running programs of the system containers.
//!
//! One binary under several names, chosen by the name it is started as: `system-docker`, `poweroff`, `reboot`, `halt`,
//! `shutdown`, `autologin`, `respawn`, `wait-for-docker`, `lease-hook`; every other name is `ros` itself.
//!
//! **Belongs here:** the commands of the operator, and the programs that run in the console and in the services.
//!
//! **Not here:** this crate does not make containers (that is PID 1's engine, reached by its socket), nor has it the verbs of
//! `system-docker`: those are crate system-docker.
//!
//! **May import:** `cloud-init`, `compose`, `config`, `engine-api`, `install`, `machine-config`, `netconf`,
//! `oci-image`, `sys`, `system-docker` of our crates.

// For `println!` and `print!`, which a reader that goes away does not make panic.
#[macro_use]
extern crate system_docker;

mod autologin;
mod boot_blame;
mod boot_plot;
mod cli;
mod cli_groups;
mod cli_help;
mod cloud_init_command;
mod config_command;
mod console;
mod container_files;
mod curl;
#[cfg(test)]
mod fake_docker;
mod install;
mod lease_hook;
mod machine_config;
#[cfg(any(test, feature = "man-pages"))]
mod man;
mod net_status;
mod netconf_command;
mod os;
mod own_file;
mod power;
mod preload;
mod problems;
mod reset;
mod resolv_conf;
mod respawn;
mod service;
mod small_commands;
mod status;
mod supervisor;
mod tls;
mod user_docker;
mod wifi;
mod wireguard_hosts;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Exit code of a command that was called wrongly, as in other programs of the system.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments
        .first()
        .and_then(|name| Path::new(name).file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    match name.as_str() {
        "system-docker" => system_docker::main(arguments, os::program_keeper),
        "poweroff" | "reboot" | "halt" | "shutdown" => report(&name, power::main(&name, arguments)),
        "autologin" => report(&name, autologin::main(&arguments)),
        "respawn" => report(&name, respawn::main(&arguments)),
        "lease-hook" => report(&name, lease_hook::main()),
        "wait-for-docker" => report(&name, preload::wait_for_docker()),
        _ => cli::main(arguments),
    }
}

/// The exit code of a command: an error is one line on standard error and code 1; wrong usage is clap's text and 2.
fn report(name: &str, result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(usage) => {
                // Help and version are not failures; clap knows which it is.
                let _ = usage.print();
                if usage.use_stderr() {
                    ExitCode::from(USAGE)
                } else {
                    ExitCode::SUCCESS
                }
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                ExitCode::FAILURE
            }
        },
    }
}
