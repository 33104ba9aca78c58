//! Containers of User Docker from other machines: published ports only, as Docker has it since version 28.
//!
//! A machine on the link can route a container's address to this one. dockerd 26 drops such packets by the policy of the
//! chain FORWARD, which it changes only when it was the one to allow forwarding, and here System Docker has done so. Its
//! policy would also be in the way of everything else that this machine forwards. So what dockerd would have left to the
//! policy is dropped by a rule: what reaches the chain DOCKER (it leads to one of dockerd's bridges) is marked there, and what
//! is still marked at the end of FORWARD has been accepted by nobody. A rule of the user's in DOCKER-USER comes before, for
//! networks that are to be routed.

use std::os::unix::process::parent_id;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use sys::process::{Command, Pidfd};

use super::ports::Watch;
use super::{CLOSURE, starts};
use crate::preload;

/// A bit of the packet mark that neither dockerd nor Kubernetes nor Tailscale uses.
pub(super) const MARK: &str = "0x20000000/0x20000000";

/// Pause after a wait for dockerd that has failed, which it may do at once.
const PAUSE: Duration = Duration::from_secs(5);

/// Rules by chain: the first goes to the front, since what dockerd adds behind it accepts; the second to the end.
const RULES: [(&str, &str, &[&str]); 2] = [
    ("DOCKER", "-I", &["-j", "MARK", "--set-xmark", MARK]),
    (
        "FORWARD",
        "-A",
        &["-m", "mark", "--mark", MARK, "-j", "DROP"],
    ),
];

/// Starts a process that closes it once dockerd answers; where the keeper of containerd is not there to do it.
///
/// # Errors
/// When it cannot be started.
pub(super) fn start(environment: &[(String, String)]) -> anyhow::Result<()> {
    let command = Command::new("/proc/self/exe").env_clear();
    let command = environment
        .iter()
        .fold(command, |command, (name, value)| command.env(name, value));
    command
        .args(["user-docker", "--firewall"])
        .spawn()
        .map(drop)
        .context("cannot start the keeper of the firewall")
}

/// That process. It stays until its parent, dockerd, has ended: dockerd reaps no children that it does not know.
///
/// # Errors
/// When the parent cannot be watched.
pub(super) fn keep() -> anyhow::Result<ExitCode> {
    let dockerd = Pidfd::open(parent_id().cast_signed())?;
    let ports = Watch::start();
    if preload::wait_for_docker().is_ok() {
        starts::succeeded();
    }
    when_answering(ports);
    std::thread::spawn(super::settle_layers);
    dockerd.wait_ended(None)?;
    Ok(ExitCode::SUCCESS)
}

/// Waits for dockerd and closes it, then ends what was kept of published ports; says what went wrong. However long dockerd takes, its
/// containers' ports are kept: the process that calls this ends with it.
pub(super) fn when_answering(ports: Option<Watch>) {
    while let Err(error) = preload::wait_for_docker() {
        eprintln!("user-docker: direct routing to containers is not dropped yet: {error:#}");
        std::thread::sleep(PAUSE);
    }
    if let Err(error) = close() {
        eprintln!("user-docker: direct routing to containers is not dropped: {error:#}");
    }
    if let Some(ports) = ports {
        ports.end();
    }
}

/// Adds the rules that are not there. dockerd makes the chain DOCKER at each start, so it must have started.
///
/// # Errors
/// When iptables fails. Without the chain, dockerd was told to leave the firewall alone, and so does this.
fn close() -> anyhow::Result<()> {
    if !iptables(&["-n", "-L", "DOCKER"])?.status.success() {
        return Ok(());
    }
    for (chain, operation, rule) in RULES {
        let with = |operation: &'static str| {
            let line: Vec<&str> = [operation, chain]
                .into_iter()
                .chain(rule.iter().copied())
                .collect();
            iptables(&line)
        };
        if with("-C")?.status.success() {
            continue;
        }
        let added = with(operation)?;
        let said = String::from_utf8_lossy(&added.stderr);
        anyhow::ensure!(added.status.success(), "iptables: {}", said.trim());
    }
    Ok(())
}

/// Runs it, waiting for others that change rules; the environment says where its parts are.
fn iptables(arguments: &[&str]) -> anyhow::Result<sys::process::Output> {
    Command::new(format!("{CLOSURE}/bin/iptables"))
        .arg("--wait")
        .args(arguments)
        .run()
        .context("cannot run iptables")
}
