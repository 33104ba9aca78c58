//! Judges a version that is tried: it is kept when Docker has run a container, else given up.
//!
//! The console starts this at every boot of an installed machine. Should there be no console, PID 1 gives the version up when
//! its own deadline passes (`crates/init/src/trial.rs`).

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use engine_api::Client;
use install::Outcome;
use sys::kmsg::{self, Priority};
use sys::process::Command;

use super::installed::Installed;
use crate::supervisor;

/// System Docker's socket.
const ENGINE: &str = "/run/system-docker.sock";
/// Longest wait for the services and for User Docker to run a container: balenaOS's figure for a whole update is 15 min.
const DEADLINE: Duration = Duration::from_secs(600);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// One run of the canary; an emulated machine needs 20 s.
const CANARY_DEADLINE: Duration = Duration::from_secs(120);
/// Prints this when its own files and network are there.
const CANARY: &str = "ifconfig lo >/dev/null && echo alive";

/// Starts the judgement beside the console's logins.
pub(crate) fn start() -> anyhow::Result<()> {
    let line = std::fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    if line.contains("rancher.slot=") {
        supervisor::once(&Command::new("ros").args(["os", "gate"]))?;
    }
    Ok(())
}

/// Repairs the records; then commits or gives up what this boot was a try of.
pub(super) fn main() -> anyhow::Result<()> {
    let machine = Installed::here()?;
    let repair = install::repair(&machine.records()?, machine.slot);
    if !repair.is_empty() {
        say(
            Priority::Warning,
            "a boot record was damaged and is repaired",
        );
        machine.apply(&repair)?;
    }
    let records = machine.records()?;
    let choice = records.choice().context("the boot records are lost")?;
    let Some(next) = choice.next else {
        return Ok(());
    };
    // An order that was given after this boot waits for the next one
    if machine.id.parse() != Ok(choice.id) {
        return Ok(());
    }
    if next != machine.slot {
        let reason = match machine.why.as_str() {
            "exhausted" => "three tries did not end in a system that could be kept",
            "stale" => "its tries were not written",
            "readonly" => "its try could not be written down",
            "manual" => return Ok(()),
            _ => "its kernel could not be loaded",
        };
        say(
            Priority::Error,
            &format!("the version in slot {next} is given up: {reason}"),
        );
        machine.apply(&install::reject(&records)?)?;
        return machine.note(next, Outcome::Rejected, reason);
    }
    match judge() {
        Ok(()) => {
            machine.apply(&install::commit(&records, machine.slot)?)?;
            say(
                Priority::Info,
                &format!("v{} works and is kept", config::VERSION),
            );
            machine.note(machine.slot, Outcome::Committed, "")
        }
        Err(error) => {
            let reason = format!("{error:#}");
            say(
                Priority::Error,
                &format!(
                    "v{} is given up: {reason}; rebooting into the version before",
                    config::VERSION
                ),
            );
            // First the history: should the power fail in between, it is tried again and not forgotten
            machine.note(machine.slot, Outcome::Rejected, &reason)?;
            machine.apply(&install::reject(&records)?)?;
            crate::power::reboot()
        }
    }
}

fn say(priority: Priority, text: &str) {
    let line = format!("upgrade: {text}");
    println!("{line}");
    kmsg::log(priority, &line);
}

/// # Errors
/// What does not work, when the deadline has passed.
fn judge() -> anyhow::Result<()> {
    let end = Instant::now() + DEADLINE;
    loop {
        let failed = match services().and_then(|()| canary()) {
            Ok(()) => return Ok(()),
            Err(failed) => failed,
        };
        if Instant::now() > end {
            return Err(failed);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Every system service that is to run does.
fn services() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no event loop")?;
    let client = Client::new(ENGINE);
    let filters = engine_api::Filters::default();
    let containers = runtime.block_on(client.container_list(true, false, &filters))?;
    let is_service = |container: &&engine_api::ContainerSummary| {
        container
            .labels
            .get("io.rancher.os.scope")
            .is_some_and(|scope| scope == "system")
    };
    for container in containers.iter().filter(is_service) {
        if container.state == "restarting" || container.state == "dead" {
            let name = container
                .names
                .first()
                .map_or("a service", |name| name.trim_start_matches('/'));
            bail!("service {name} is {}", container.state);
        }
    }
    Ok(())
}

/// User Docker runs a container of the image that every medium brings.
fn canary() -> anyhow::Result<()> {
    let machine = crate::machine_config::MachineConfig::load();
    if !machine
        .loaded
        .config
        .rancher
        .services
        .contains_key("docker")
    {
        return Ok(());
    }
    let output = Command::new("docker")
        .args([
            "run", "--rm", "--pull", "never", "busybox", "sh", "-c", CANARY,
        ])
        .deadline(CANARY_DEADLINE)
        .run()
        .context("docker did not run a container")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() != "alive" {
        bail!(
            "docker did not run a container: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
