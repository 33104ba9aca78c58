//! What a console does when logins work: mounts, time servers, commands of the owner, and the end that `power_state` wants.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use config::cloud_config::{Command as Entry, PowerState};
use engine_api::Client;
use sys::kmsg::{self, Priority};
use sys::process::Command;

use super::mounts::{self, Away, Entry as Mount};
use super::{
    FILES_DONE, SERVER_PATIENCE, again, commands, disks, part, phone_home, resize, settings,
};
use crate::machine_config::MachineConfig;

/// System Docker's socket.
const SYSTEM_DOCKER: &str = "/run/system-docker.sock";

/// Longest restart of the service ntp.
const RESTART_DEADLINE: Duration = Duration::from_secs(60);

/// Runs in its own thread, to the end of the boot's work.
pub(super) fn run(machine: &MachineConfig) {
    let config = &machine.loaded.config;
    if let Some(device) = &config.rancher.resize_device {
        part("resize_device", || resize::grow(device));
    }
    disks::set_up(machine);
    mount_all(machine);
    if let Some(swap) = &config.swap {
        part("swap", || mounts::swap_file(swap));
    }
    part("marker", || {
        fs::create_dir_all("/run/rancher").context("cannot create /run/rancher")?;
        let view = fs::read_link("/proc/self/ns/mnt").context("cannot read /proc/self/ns/mnt")?;
        fs::write(FILES_DONE, view.as_os_str().as_bytes())
            .with_context(|| format!("cannot write {FILES_DONE}"))
    });
    part("ntp", || set_time_servers(machine));
    run_commands(machine);
}

/// The commands of the owner, and what follows them. Those that have run in this boot do not run again.
pub(super) fn run_commands(machine: &MachineConfig) {
    let config = &machine.loaded.config;
    let have_run = commands::run_last(config);
    if let Some(home) = &config.phone_home {
        part("phone_home", || phone_home::call(machine, home));
    }
    if !have_run {
        return;
    }
    if let Some(message) = &config.final_message {
        kmsg::log(Priority::Notice, &format!("console: {message}"));
    }
    if let Some(state) = &config.power_state {
        part("power_state", || change_power(state));
    }
}

/// Takes away what is not asked for any more, and mounts the rest; returns when all is mounted, or patience has ended.
fn mount_all(machine: &MachineConfig) {
    let config = &machine.loaded.config;
    let (entries, bad) = mounts::entries(&config.mounts);
    let (entries, held) = mounts::hold(entries);
    let swap_file = config.swap.as_ref().and_then(Mount::of_swap_file);
    let all: Vec<Mount> = entries.iter().cloned().chain(swap_file).collect();
    for error in bad.into_iter().chain(held).chain(mounts::take_away(&all)) {
        part("mounts", || bail!("{error}"));
    }
    let away = Arc::new(Away::new());
    let servers = Arc::clone(&away);
    let all = mounts::mount_all(entries, SERVER_PATIENCE, move |entry| {
        let is_there = part("mounts", || {
            if entry.is_remote() {
                servers.mount(entry)
            } else {
                entry.mount()
            }
        });
        if let Some(target) = entry.target().filter(|_| is_there) {
            again::make(target);
        }
        is_there
    });
    if !all {
        away.tell();
    }
}

/// Writes chrony's servers and restarts the service when they have changed.
fn set_time_servers(machine: &MachineConfig) -> anyhow::Result<()> {
    if !settings::set_time_servers(&machine.loaded.config.ntp)? {
        return Ok(());
    }
    let runtime = system_docker::event_loop()?;
    let restart = async {
        let client = Client::new(SYSTEM_DOCKER);
        match client.container_inspect("ntp", false).await {
            Ok(container) if container.state.running => {
                client.container_restart("ntp", None, None).await
            }
            // It starts later, and reads the file then.
            _ => Ok(()),
        }
    };
    runtime
        .block_on(async { tokio::time::timeout(RESTART_DEADLINE, restart).await })
        .context("the service ntp does not restart")??;
    Ok(())
}

/// Powers off, reboots or halts, when the condition holds, after the delay.
fn change_power(state: &PowerState) -> anyhow::Result<()> {
    let program = match state.mode.as_deref() {
        Some(mode @ ("poweroff" | "reboot" | "halt")) => mode,
        other => bail!("mode is {other:?}, expected poweroff, reboot or halt"),
    };
    if !holds(&state.condition)? {
        return Ok(());
    }
    std::thread::sleep(delay(state.delay.as_deref().unwrap_or("now"))?);
    if let Some(message) = &state.message {
        kmsg::log(Priority::Notice, &format!("console: {message}"));
    }
    Command::new(program).survive_parent().spawn()?;
    Ok(())
}

fn holds(condition: &serde_json::Value) -> anyhow::Result<bool> {
    let entry = match condition {
        serde_json::Value::Null => return Ok(true),
        serde_json::Value::Bool(value) => return Ok(*value),
        serde_json::Value::String(line) => Entry::Line(line.clone()),
        serde_json::Value::Array(words) => Entry::Words(
            words
                .iter()
                .map(|word| {
                    word.as_str()
                        .map_or_else(|| word.to_string(), str::to_owned)
                })
                .collect(),
        ),
        _ => bail!("condition is not true, false or a command"),
    };
    Ok(commands::program(&entry).run()?.status.success())
}

fn delay(text: &str) -> anyhow::Result<Duration> {
    let digits = text.trim().trim_start_matches('+');
    if digits == "now" {
        return Ok(Duration::ZERO);
    }
    let minutes: u64 = digits
        .parse()
        .with_context(|| format!("delay {text:?} is not `now` or `+MINUTES`"))?;
    Ok(Duration::from_secs(minutes.saturating_mul(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_delays_are_cloud_inits() {
        assert!(
            holds(&serde_json::json!(null)).unwrap() && holds(&serde_json::json!(true)).unwrap()
        );
        assert!(
            holds(&serde_json::json!("exit 0")).unwrap()
                && !holds(&serde_json::json!(["sh", "-c", "exit 3"])).unwrap()
        );
        assert!(holds(&serde_json::json!({})).is_err());
        assert_eq!(delay("now").unwrap(), Duration::ZERO);
        assert_eq!(delay("+2").unwrap(), Duration::from_secs(120));
        assert!(delay("later").is_err());
    }
}
