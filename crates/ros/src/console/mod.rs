//! `ros console-init`: makes a console out of any image: users, keys, ssh, terminals; then keeps the logins running.
//!
//! Each part stands alone: one that fails (a bad key, a missing program) is reported and the others go on, for this is
//! the way into the machine.

mod accounts;
mod files;
mod host_keys;
mod identity;
mod ssh;
mod terminals;

use std::fs;
use std::process::ExitCode;

use sys::kmsg::{self, Priority};

use crate::machine_config::MachineConfig;
use crate::supervisor;

/// Exists when the console is ready (RancherOS's name).
const DONE: &str = "/run/console-done";

/// Most configuration problems that are shown one by one.
const MAX_REPORTS: usize = 20;

/// Prepares the console, then supervises its logins until SIGTERM.
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let machine = MachineConfig::load();
    for problem in machine.loaded.problems.iter().take(MAX_REPORTS) {
        eprintln!("{problem}");
    }
    part("accounts", accounts::ensure);
    apply_identity(&machine);
    part("password", || accounts::set_password(&machine));
    part("sudo", files::write_sudoers);
    part("profile", || files::write_profile(&machine));
    part("docker links", files::link_docker);
    part("system docker's socket", files::share_system_docker);
    part("/dev/log", files::link_syslog);
    part("/etc/issue", || files::write_issue(&machine));
    part("run directories", files::make_run_directories);
    part("kernel messages", || files::quiet_kernel(&machine));
    let mut programs = terminals::programs(&machine);
    match ssh::prepare(&machine) {
        Ok(Some(sshd)) => programs.push(sshd),
        Ok(None) => {}
        Err(error) => report("ssh", &error),
    }
    supervisor::main(programs, || {
        part("ready marker", || Ok(fs::write(DONE, "")?));
        part("upgrade", crate::os::start_gate);
        part("installation", || {
            crate::install::start(&machine.command_line)
        });
    })
}

/// Host name, /etc/hosts and keys: what `ros cloud-init execute` applies again. False when a part failed.
pub(crate) fn apply_identity(machine: &MachineConfig) -> bool {
    let name = part("host name", || identity::set_hostname(machine.hostname()));
    let keys = part("authorized keys", || identity::install_keys(machine));
    name && keys
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
    let line = format!("console: {name}: {error:#}");
    eprintln!("{line}");
    kmsg::log(Priority::Error, &line);
}
