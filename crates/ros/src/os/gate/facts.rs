//! What works on this machine, noted when a version is armed, and asked of that version.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use engine_api::{Client, Filters};
use serde::{Deserialize, Serialize};

use super::super::installed::{STORE, Writable};

/// The file next to the history.
const FILE: &str = "facts.json";
/// Sockets of the two Dockers.
pub(super) const SYSTEM_DOCKER: &str = "/run/system-docker.sock";
pub(super) const USER_DOCKER: &str = "/run/docker.sock";
/// A container with this label must be healthy in the new version, not only run.
const REQUIRED: &str = "io.rancher.os.upgrade.required";

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
    /// Whether there was a default route of IPv4, and of IPv6.
    pub(super) routes: (bool, bool),
    /// Whether there was a name server.
    pub(super) dns: bool,
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
        Self {
            time: now(),
            services: services().unwrap_or_default(),
            containers: containers().unwrap_or_default(),
            routes: (has_route_v4(), has_route_v6()),
            dns: has_name_server(),
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
    pub(super) fn noted() -> Self {
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
    let runtime = system_docker::event_loop()?;
    runtime.block_on(async {
        match tokio::time::timeout(std::time::Duration::from_secs(60), work).await {
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

fn services() -> anyhow::Result<Vec<String>> {
    let states = service_states()?.into_iter();
    Ok(states
        .filter(|(_, state)| state == "running")
        .map(|(name, _)| name)
        .collect())
}

fn containers() -> anyhow::Result<Vec<Container>> {
    block_on(async {
        let client = Client::new(USER_DOCKER);
        let running = client
            .container_list(false, false, &Filters::default())
            .await?;
        let mut found = Vec::new();
        for summary in running {
            let one = client.container_inspect(&summary.id, false).await?;
            let policy = one.host_config.restart_policy.name.as_str();
            // `on-failure` does not start a container after a reboot
            if !matches!(policy, "always" | "unless-stopped") {
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
        Ok(found)
    })
}

/// A route to 0.0.0.0/0 (proc_net_route: destination, then seven fields, then the mask).
pub(super) fn has_route_v4() -> bool {
    let table = fs::read_to_string("/proc/net/route").unwrap_or_default();
    has_default_v4(&table)
}

fn has_default_v4(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    })
}

/// A route to ::/0 by a link that is not loopback: the kernel has one for `lo` that rejects everything.
pub(super) fn has_route_v6() -> bool {
    let table = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    has_default_v6(&table)
}

fn has_default_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let everything = fields
            .first()
            .is_some_and(|to| to.bytes().all(|byte| byte == b'0'));
        everything && fields.get(1) == Some(&"00") && fields.last() != Some(&"lo")
    })
}

pub(super) fn has_name_server() -> bool {
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    text.lines()
        .any(|line| line.trim_start().starts_with("nameserver "))
}

/// Whether what users keep is on a disk.
pub(super) fn state_is_on_disk() -> bool {
    crate::problems::state_mount().is_some_and(|mount| crate::problems::is_disk(&mount))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_told_from_others() {
        let head =
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let line = |to: &str, mask: &str| {
            format!("{head}eth0\t{to}\t0202000A\t0003\t0\t0\t100\t{mask}\t0\t0\t0\n")
        };
        assert!(has_default_v4(&line("00000000", "00000000")));
        assert!(!has_default_v4(&line("00000000", "000000FF")), "0.0.0.0/8");
        assert!(!has_default_v4(&line("0002000A", "00FFFFFF")));
        assert!(!has_default_v4(head));
        let zeros = "0".repeat(32);
        let line = |bits: &str, link: &str| {
            format!("{zeros} {bits} {zeros} 00 {zeros} 00000400 1 0 00000003 {link}\n")
        };
        assert!(has_default_v6(&line("00", "eth0")));
        assert!(!has_default_v6(&line("00", "lo")));
        assert!(!has_default_v6(&line("40", "eth0")));
    }

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
