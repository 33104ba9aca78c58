//! PID 1 of RancherOS: boots the machine, then is its container engine until the power goes.
//!
//! The boot is the table in `boot.rs`. The same program is also its own helpers, chosen by its first
//! argument: `runtime` (the first process of every container), `network` (embedded DNS and the proxy
//! of published ports), `user-containers` (asks User Docker how its containers stop) and `engine` (System Docker on a
//! developer's machine); `upgrade-check` and `take-over` are asked of a program that is to replace the running one. Under the
//! name `docker-init` it is that, and as `/sbin/usermode-helper` it answers the kernel. Registries and archives, which PID 1
//! never touches itself, are the program `worker`.
//!
//! **Belongs here:** the phases of the boot, the shutdown, the services, and how the engine runs as PID 1 and on a developer's
//! machine.
//!
//! **Not here:** this crate does not parse configuration (crate config), know a container's insides (crate
//! engine) or read from an internet socket.
//!
//! **May import:** `compose`, `config`, `engine`, `engine-api`, `engine-server`, `images`, `install`, `json-reader`, `machine-config`,
//! `network`, `oci-image`, `runtime`, `sys` of our crates.

mod apply;
mod armed;
mod boot;
mod coldplug;
mod configuration;
mod developer;
mod event_loop;
mod file_systems;
mod installed;
mod last_access;
mod log;
mod machine;
mod media;
mod modprobe;
mod owner;
mod persistence;
mod phase;
mod power;
mod registries;
mod rescue;
mod reset;
mod root;
mod schedule;
mod services;
mod set_aside;
mod shutdown;
mod state;
mod swap;
mod system;
mod take_over;
mod timeline;
mod toolbox;
mod trial;
mod user_containers;
mod usermode_helper;
mod warnings;
mod watchdog;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use machine::Machine;

fn main() -> ExitCode {
    if sys::process::executed_as() == usermode_helper::PATH {
        return usermode_helper::main(&std::env::args_os().collect::<Vec<_>>());
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name() == Some("docker-init".as_ref()) {
        // The first process of `docker run --init`: this program, bind-mounted under that name.
        let arguments: Vec<OsString> = std::iter::once("docker-init".into())
            .chain(arguments)
            .collect();
        return runtime::main(&arguments);
    }
    match arguments
        .next()
        .as_deref()
        .and_then(std::ffi::OsStr::to_str)
    {
        Some("runtime") => runtime::main(&arguments.collect::<Vec<_>>()),
        Some("network") => network::helper::main(arguments.collect()),
        Some(user_containers::ask::VERB) => {
            user_containers::ask::main(&arguments.collect::<Vec<_>>())
        }
        Some("engine") => developer::main(arguments.collect()),
        Some(engine::upgrade::CHECK_VERB) => take_over::check(),
        Some(engine::upgrade::TAKE_OVER_VERB) => take_over::main(&arguments.collect::<Vec<_>>()),
        _ if std::process::id() == 1 => boot_machine(),
        _ => {
            eprintln!("init: is PID 1 of RancherOS; elsewhere only `init engine` is of use");
            ExitCode::FAILURE
        }
    }
}

/// Boots and stays; an outcome that is not a power action is a rescue shell, which ends in one.
fn boot_machine() -> ExitCode {
    match phase::run(boot::PHASES, boot::TOTAL, Machine::default()) {
        Ok(machine) => system::run(machine),
        Err(failed) => rescue::shell(&failed.0, &failed.1),
    }
}
