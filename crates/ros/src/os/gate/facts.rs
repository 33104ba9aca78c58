//! What works on this machine, noted when a version is armed and again before the boot that tries it, and asked of that version.
//!
//! Between the order and the boot there may be weeks, in which an owner adds and removes containers: PID 1 has the facts noted again
//! when it goes down (`crates/init/src/armed.rs`).

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use engine_api::{Client, Filters, Timestamp};
use serde::{Deserialize, Serialize};

use super::super::installed::{STORE, Writable};
use super::network::Network;
use super::steady::was_unsteady;

/// The file next to the history.
const FILE: &str = "facts.json";
/// Sockets of the two Dockers.
pub(super) const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
pub(super) const USER_DOCKER: &str = "/run/docker.sock";
/// A container with this label must be healthy in the new version, not only run.
const REQUIRED: &str = "io.rancher.os.upgrade.required";

/// Longest wait for an engine.
const ENGINE_DEADLINE: Duration = Duration::from_secs(60);

/// What worked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::os) struct Facts {
    /// Seconds since 1970.
    pub(super) time: u64,
    /// System services that ran.
    pub(super) services: Vec<String>,
    /// Containers of User Docker that ran and start by themselves.
    pub(super) containers: Vec<Container>,
    /// The folder that User Docker keeps everything in; empty when it did not answer.
    pub(super) docker_root: String,
    /// Whether User Docker had no network for containers that name none (`rancher.docker.bridge: none`).
    pub(super) no_bridge: bool,
    /// Whether there was a default route of IPv4, and of IPv6.
    pub(super) routes: (bool, bool),
    /// Whether there was a name server.
    pub(super) dns: bool,
    /// How many cards had a carrier.
    pub(super) carriers: usize,
    /// Whether addresses were asked for.
    pub(super) dhcp: bool,
    /// Whether the state was on a disk.
    pub(super) state: bool,
}

/// A container of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    /// Whether it must be healthy.
    pub(super) required: bool,
}

impl Facts {
    /// Looks at the machine. What does not answer now is not asked of the next version.
    pub(in crate::os) fn gather() -> Self {
        Self::gather_after(&Self::default())
    }

    /// The same later: of User Docker that does not answer now, what was noted `before` holds.
    pub(in crate::os) fn gather_after(before: &Self) -> Self {
        let network = Network::look();
        let (docker_root, containers, no_bridge) = user_docker().unwrap_or_else(|_| {
            let containers = before.containers.clone();
            (before.docker_root.clone(), containers, before.no_bridge)
        });
        Self {
            time: now(),
            services: services().unwrap_or_else(|_| before.services.clone()),
            containers,
            docker_root,
            no_bridge,
            routes: network.routes,
            dns: network.dns,
            carriers: network.carriers,
            dhcp: network.dhcp,
            state: state_is_on_disk(),
        }
    }

    /// Keeps them for the next boot.
    pub(in crate::os) fn note(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self).context("cannot write down what works")?;
        let writable = Writable::new()?;
        cloud_init::store::write_atomic(&writable.root().join(FILE), &text, 0o644)
            .context("cannot write down what works")?;
        Ok(())
    }

    /// Those of the boot before; none when an older version did not note any.
    pub(in crate::os) fn noted() -> Self {
        let text = fs::read(Path::new(STORE).join(FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Runs something that waits for an engine.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    block_on_for(ENGINE_DEADLINE, work)
}

/// The same with another limit.
pub(super) fn block_on_for<T>(
    limit: Duration,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = system_docker::event_loop()?;
    runtime.block_on(async {
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => anyhow::bail!("the engine does not answer"),
        }
    })
}

/// System services by name, with their states.
pub(super) fn service_states() -> anyhow::Result<Vec<(String, String)>> {
    block_on(async {
        let client = Client::new(SYSTEM_DOCKER);
        let all = client
            .container_list(true, false, &Filters::default())
            .await?;
        let is_service = |labels: &std::collections::BTreeMap<String, String>| {
            labels
                .get("io.rancher.os.scope")
                .is_some_and(|scope| scope == "system")
        };
        let states = all
            .into_iter()
            .filter(|one| is_service(&one.labels))
            .map(|one| {
                let name = one
                    .names
                    .first()
                    .map_or("", |name| name.trim_start_matches('/'));
                (name.to_owned(), one.state)
            });
        Ok(states.collect())
    })
}

/// The exit code of a system service that does not run; 0 of one that is gone.
pub(super) fn exit_code(name: &str) -> anyhow::Result<i64> {
    block_on(async {
        let client = Client::new(SYSTEM_DOCKER);
        match client.container_inspect(name, false).await {
            Ok(found) => Ok(i64::from(found.state.exit_code)),
            Err(error) if error.is_not_found() => Ok(0),
            Err(error) => Err(error.into()),
        }
    })
}

/// System services that run and are to run for ever: one that runs once at each boot may be at it just now.
fn services() -> anyhow::Result<Vec<String>> {
    let states = service_states()?.into_iter();
    let running = states.filter(|(_, state)| state == "running");
    let names: Vec<String> = running.map(|(name, _)| name).collect();
    block_on(async {
        let client = Client::new(SYSTEM_DOCKER);
        let mut found = Vec::new();
        for name in names {
            let one = client.container_inspect(&name, false).await?;
            if was_unsteady(one.restart_count, &one.state.started_at, Timestamp::now()) {
                continue;
            }
            if starts_by_itself(&one.host_config.restart_policy.name) {
                found.push(name);
            }
        }
        Ok(found)
    })
}

/// Whether a container with this restart policy runs after a boot; `on-failure` does not start one.
pub(super) fn starts_by_itself(policy: &str) -> bool {
    matches!(policy, "always" | "unless-stopped")
}

/// User Docker's folder, its containers that run and start by themselves, and whether it has no network for those that name none.
fn user_docker() -> anyhow::Result<(String, Vec<Container>, bool)> {
    block_on(async {
        let client = Client::new(USER_DOCKER);
        let root = client.info().await?.docker_root_dir;
        let running = client
            .container_list(false, false, &Filters::default())
            .await?;
        let mut found = Vec::new();
        for summary in running {
            let one = match client.container_inspect(&summary.id, false).await {
                // Removed in this moment
                Err(error) if error.is_not_found() => continue,
                one => one?,
            };
            let unsteady = one.state.restarting
                || was_unsteady(one.restart_count, &one.state.started_at, Timestamp::now());
            if unsteady || !starts_by_itself(&one.host_config.restart_policy.name) {
                continue;
            }
            let required = one.state.health.is_some()
                && summary
                    .labels
                    .get(REQUIRED)
                    .is_some_and(|value| value == "true");
            found.push(Container {
                name: one.name.trim_start_matches('/').to_owned(),
                id: summary.id,
                required,
            });
        }
        let no_bridge = match client.network_inspect("bridge").await {
            Err(error) if error.is_not_found() => true,
            network => network.map(|_| false)?,
        };
        Ok((root, found, no_bridge))
    })
}

/// Whether what users keep is on a disk.
pub(super) fn state_is_on_disk() -> bool {
    crate::problems::state_mount().is_some_and(|mount| crate::problems::is_disk(&mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_another_version_are_read() {
        let facts: Facts = serde_json::from_str("{\"dns\": true, \"later\": 1}").unwrap();
        assert_eq!(
            facts,
            Facts {
                dns: true,
                ..Facts::default()
            }
        );
        let whole = Facts {
            time: 5,
            containers: vec![Container {
                id: "a".to_owned(),
                name: "web".to_owned(),
                required: true,
            }],
            routes: (true, false),
            ..facts
        };
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<Facts>(&text).unwrap(), whole);
    }
}
