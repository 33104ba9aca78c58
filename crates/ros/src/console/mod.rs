//! `ros console-init`: makes a console out of any image: users, keys, ssh, terminals; then keeps the logins running.
//!
//! Each part stands alone: one that fails (a bad key, a missing program) is reported and the others go on, for this is
//! the way into the machine.

mod accounts;
mod again;
mod commands;
mod disks;
mod files;
mod finish;
pub(crate) mod host_keys;
mod identity;
pub(crate) mod mounts;
mod phone_home;
mod registry_auths;
mod resize;
mod settings;
mod ssh;
mod terminals;
mod users;
pub(crate) mod write_files;

pub(crate) use commands::program;
pub(crate) use files::proxies;

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use crate::machine_config::{CONF, MachineConfig};
use crate::{problems, supervisor};

/// Exists when the console is ready (RancherOS's name).
const DONE: &str = "/run/console-done";

/// Exists when the files and mounts of the configuration are there: User Docker waits for it, since it reads daemon.json
/// and its containers have volumes on mounts. It names the mount namespace of the console that wrote it.
pub(crate) const FILES_DONE: &str = "/run/rancher/console-files";

/// How long User Docker and the commands wait for file systems on other machines.
const SERVER_PATIENCE: Duration = Duration::from_secs(30);

/// Most configuration problems that are shown one by one.
const MAX_REPORTS: usize = 20;

/// Prepares the console, then supervises its logins until SIGTERM.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    // They are of an earlier console, whose users and files this one does not have yet: dockerd waits for them.
    for marker in [DONE, FILES_DONE] {
        let _ = fs::remove_file(marker);
    }
    let machine = MachineConfig::load();
    for problem in machine.loaded.problems.iter().take(MAX_REPORTS) {
        eprintln!("{problem}");
    }
    prepare(&machine);
    let mut programs = terminals::programs(&machine);
    match ssh::prepare(&machine) {
        Ok(Some(sshd)) => programs.push(sshd),
        Ok(None) => {}
        Err(error) => report("ssh", &error),
    }
    // The logins first: nothing of the owner's own below can lock the owner out.
    supervisor::main(programs, move || {
        part("ready marker", || Ok(fs::write(DONE, "")?));
        part("upgrade", crate::os::start_gate);
        part("access", || crate::os::keep_access(&machine));
        part("installation", || {
            crate::install::start(&machine.command_line)
        });
        std::thread::spawn(crate::cloud_init_command::ask_late);
        std::thread::spawn(crate::reset::sweep);
        std::thread::spawn(crate::service::fetch_missing);
        std::thread::spawn(crate::os::follow_policy);
        let said = machine.lease.as_ref().map(|lease| lease.name.clone());
        std::thread::spawn(|| part("host name", || identity::follow_leases(said)));
        std::thread::spawn(move || finish::run(&machine));
    })
}

/// All that a login needs, quickly: the way in comes first.
fn prepare(machine: &MachineConfig) {
    let config = &machine.loaded.config;
    part("accounts", accounts::ensure);
    part("ssh", ssh::note_images);
    apply_identity(machine);
    commands::run_first(config);
    part("users", || users::ensure_all(config));
    part("default user's keys", || {
        identity::install_keys_of_default_user(machine)
    });
    part("passwords", || accounts::set_passwords(machine));
    part("sudo", files::write_sudoers);
    part("profile", || files::write_profile(machine));
    part("docker links", files::link_docker);
    part("system docker's socket", files::share_system_docker);
    part("/dev/log", files::link_syslog);
    part("write_files", || {
        write_files::write_all(&config.write_files)
    });
    if let Some(name) = &config.timezone {
        part("timezone", || settings::set_timezone(name));
    }
    if let Some(name) = &config.locale {
        part("locale", || settings::set_locale(name));
    }
    if config.ca_certs != Default::default() {
        part("ca_certs", || settings::trust(&config.ca_certs));
    }
    part("registry_auths", || registry_auths::set_all(config));
    part("/etc/issue", || files::write_issue(machine));
    part("run directories", files::make_run_directories);
    part("kernel messages", || files::quiet_kernel(machine));
}

/// Host name, /etc/hosts and keys: what `ros cloud-init execute` applies again. False when a part failed.
pub(crate) fn apply_identity(machine: &MachineConfig) -> bool {
    let name = part("host name", || identity::set_hostname(machine.hostname()));
    let keys = part("authorized keys", || identity::install_keys(machine));
    name && keys
}

/// The same on a machine that runs: what is logged has the name from then on.
pub(crate) fn apply_identity_again(machine: &MachineConfig) -> bool {
    let name = part("host name", || identity::set_hostname(machine.hostname()));
    let keys = part("authorized keys", identity::install_keys_again);
    identity::tell_syslog();
    name && keys
}

/// Has commands that differ from those of this boot run once more, by [`run_late_commands`] or by the console that comes next.
pub(crate) fn expect_late_commands() {
    part("commands", commands::expect_late);
}

/// Runs the commands of user data that came late, unless a console that has restarted does it.
pub(crate) fn run_late_commands(machine: &MachineConfig) {
    finish::run_commands(machine);
}

/// Runs one part and reports its failure.
fn part(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> bool {
    match work() {
        Ok(()) => true,
        Err(error) => {
            report(name, &error);
            false
        }
    }
}

fn report(name: &str, error: &anyhow::Error) {
    eprintln!("console: {name}: {error:#}");
    problems::warn("console", &format!("{name}: {error:#}"));
}
