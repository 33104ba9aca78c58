//! A planned change, made: PID 1's own part, services whose definition changed, and restarts of those that read the
//! configuration when they start.

use std::time::Duration;

use compose::Scope;
use engine::Engine;
use engine_api::Client;
use machine_config::plan::{Plan, What};
use sys::sysctl;
use tokio::time::timeout;

use crate::machine::Machine;
use crate::services::{self, CONSOLE};
use crate::system::{SOCKET, set_registries};
use crate::{configuration, log};

/// Longest wait for PID 1's own part: modules are loaded from the media.
const OWN_DEADLINE: Duration = Duration::from_secs(40);
/// Longest wait for one service to stop and start.
const RESTART_DEADLINE: Duration = Duration::from_secs(120);
/// Keys that a running console takes at once.
const CONSOLE_LIVE: &[&str] = &[
    "hostname",
    "fqdn",
    "prefer_fqdn_over_hostname",
    "ssh_authorized_keys",
];

/// Makes the machine what `after` says; gives it back with what failed. With `with_files` the files for services were put
/// aside again.
pub(super) async fn execute(
    engine: &Engine,
    before: Machine,
    after: Machine,
    plan: &Plan,
    with_files: bool,
) -> (Machine, Vec<String>) {
    let mut failed = Vec::new();
    let after = match own_part(&before, after, plan).await {
        Ok(after) => after,
        Err(error) => {
            failed.push(error);
            return (before, failed);
        }
    };
    set_registries(engine, &after);
    let changed =
        services::Changed::between(&before, &after, !with_files && plan.touches("write_files"));
    failed.extend(changed.make(engine, Scope::System).await);
    let restarts = plan.restarts();
    for name in &restarts {
        if changed.is_made(name) {
            continue;
        }
        let restarted = async {
            match *name {
                // Users, passwords and files of keys that are gone would stay in its container.
                CONSOLE => changed.renew(engine, name).await,
                _ => Ok(restart(engine, name).await?),
            }
        };
        let done = timeout(RESTART_DEADLINE, restarted).await;
        match done {
            Ok(Ok(())) => log::info(&format!("config apply: {name} was restarted")),
            Ok(Err(error)) => failed.push(format!("{name}: {error:#}")),
            Err(_) => failed.push(format!(
                "{name}: not restarted after {} s",
                RESTART_DEADLINE.as_secs()
            )),
        }
    }
    let is_live = CONSOLE_LIVE.iter().any(|key| plan.touches(key));
    if is_live
        && !restarts.contains(&CONSOLE)
        && let Err(error) = tell_console().await
    {
        failed.push(format!("console: {error}"));
    }
    failed.extend(changed.make(engine, Scope::User).await);
    (after, failed)
}

/// Host name, kernel settings and modules, in a thread: files and modules can keep it waiting.
async fn own_part(before: &Machine, mut after: Machine, plan: &Plan) -> Result<Machine, String> {
    after.sysctls.clone_from(&before.sysctls);
    let removed: Vec<(String, String)> = plan
        .changes
        .iter()
        .filter(|change| change.what == What::Removed)
        .filter_map(|change| change.key.strip_prefix("rancher.sysctl."))
        .filter_map(|name| Some((name.to_owned(), before.sysctls.get(name)?.clone())))
        .collect();
    let work = tokio::task::spawn_blocking(move || {
        for (name, value) in removed {
            if let Err(error) = sysctl::write(&name, &value) {
                crate::warnings::warn("configuration", &format!("rancher.sysctl: {error}"));
            }
            after.sysctls.remove(&name);
        }
        configuration::apply(after)
    });
    match timeout(OWN_DEADLINE, work).await {
        Ok(Ok(Ok(machine))) => Ok(machine),
        Ok(Ok(Err(error))) => Err(format!("{error:#}")),
        Ok(Err(panic)) => Err(panic.to_string()),
        Err(_) => Err(format!("no end after {} s", OWN_DEADLINE.as_secs())),
    }
}

/// A service that is switched off has nothing to read.
async fn restart(engine: &Engine, name: &str) -> engine_api::Result<()> {
    match engine_api::Engine::container_inspect(engine, name).await {
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    engine_api::Engine::container_stop(engine, name, None).await?;
    engine_api::Engine::container_start(engine, name).await
}

/// Has the console set host name and keys; what it says is in its log.
async fn tell_console() -> engine_api::Result<()> {
    let client = Client::new(SOCKET);
    let config = engine_api::ExecConfig {
        cmd: Some(
            ["/usr/bin/ros", "cloud-init", "execute"]
                .map(str::to_owned)
                .to_vec(),
        ),
        ..engine_api::ExecConfig::default()
    };
    let exec = client.exec_create(CONSOLE, &config).await?;
    client.exec_start_detached(&exec).await
}
