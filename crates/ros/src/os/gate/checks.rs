//! What a version has to do before it is kept, as a table: the cheap ones first, the canary last.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use config::cloud_config::Rancher;
use engine_api::Client;
use sys::process::Command;

use super::canary;
use super::facts::{self, Container, Facts, USER_DOCKER, block_on};

/// A machine that is judged.
pub(super) struct Machine<'a> {
    /// What worked before.
    pub(super) facts: &'a Facts,
    /// Its configuration.
    pub(super) rancher: &'a Rancher,
}

impl Machine<'_> {
    fn has_docker(&self) -> bool {
        self.rancher.services.contains_key("docker")
    }
}

/// A check: its name, and what asks it.
type Check = (&'static str, fn(&Machine<'_>) -> anyhow::Result<()>);

/// All checks, in the order in which they are asked.
pub(super) const CHECKS: &[Check] = &[
    ("services", services),
    ("clock", clock),
    ("state", state),
    ("network", network),
    ("docker", docker),
    ("containers", containers),
    ("own checks", own),
    ("canary", canary),
];

/// A clock that is wrong by less is mended by ntp, and a battery may be empty.
const CLOCK_SLACK_SECONDS: u64 = 24 * 3600;
/// Longest run of a command of the user's.
const OWN_DEADLINE: Duration = Duration::from_secs(60);

/// No service starts again and again, and those that ran before run, as far as this version has them.
fn services(machine: &Machine<'_>) -> anyhow::Result<()> {
    judge_services(machine, &facts::service_states()?)
}

fn judge_services(machine: &Machine<'_>, states: &[(String, String)]) -> anyhow::Result<()> {
    for (name, state) in states {
        ensure!(
            state != "restarting" && state != "dead",
            "service {name} is {state}"
        );
    }
    for name in &machine.facts.services {
        if !machine.rancher.services.contains_key(name) {
            continue;
        }
        let runs = states
            .iter()
            .any(|(known, state)| known == name && state == "running");
        ensure!(runs, "service {name} ran before and does not run");
    }
    Ok(())
}

/// Time does not go back: certificates and logs would be wrong, and a version that broke the clock would not be noticed.
fn clock(machine: &Machine<'_>) -> anyhow::Result<()> {
    ensure!(
        facts::now() + CLOCK_SLACK_SECONDS >= machine.facts.time,
        "the clock is behind the time at which this version was armed"
    );
    Ok(())
}

/// What was on a disk is on it again, and can be written.
fn state(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.facts.state {
        return Ok(());
    }
    ensure!(
        facts::state_is_on_disk(),
        "the state partition, which was there before, is not mounted"
    );
    let probe = Path::new("/var/lib/rancher/.upgrade-probe");
    let written = fs::write(probe, b"x").and_then(|()| fs::remove_file(probe));
    written.context("the state partition cannot be written")
}

/// Routes and name servers are at least as good as before.
fn network(machine: &Machine<'_>) -> anyhow::Result<()> {
    let (v4, v6) = machine.facts.routes;
    ensure!(
        !v4 || facts::has_route_v4(),
        "there was a default route, and there is none"
    );
    ensure!(
        !v6 || facts::has_route_v6(),
        "there was a default route of IPv6, and there is none"
    );
    ensure!(
        !machine.facts.dns || facts::has_name_server(),
        "there was a name server, and there is none"
    );
    Ok(())
}

/// User Docker answers, unless the configuration does not have it.
fn docker(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.has_docker() {
        return Ok(());
    }
    block_on(async {
        let client = Client::new(USER_DOCKER);
        client
            .container_list(false, false, &engine_api::Filters::default())
            .await?;
        Ok(())
    })
}

/// The user's containers that ran and start by themselves run again.
fn containers(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.has_docker() || machine.facts.containers.is_empty() {
        return Ok(());
    }
    block_on(async {
        let client = Client::new(USER_DOCKER);
        for known in &machine.facts.containers {
            let found = client.container_inspect(&known.id, false).await;
            let found = found.with_context(|| format!("container {}", known.name))?;
            let health = found
                .state
                .health
                .as_ref()
                .map(|health| health.status.as_str());
            judge_container(known, found.state.running, health)?;
        }
        Ok(())
    })
}

fn judge_container(known: &Container, running: bool, health: Option<&str>) -> anyhow::Result<()> {
    ensure!(
        running,
        "container {} ran before and does not run",
        known.name
    );
    if known.required && health != Some("healthy") {
        bail!(
            "container {} is {}",
            known.name,
            health.unwrap_or("without a health check")
        );
    }
    Ok(())
}

/// The user's own commands of `rancher.upgrade.checks`.
fn own(machine: &Machine<'_>) -> anyhow::Result<()> {
    for command in &machine.rancher.upgrade.checks {
        let output = Command::new("sh")
            .args(["-c", command])
            .deadline(OWN_DEADLINE)
            .run()
            .with_context(|| format!("{command:?} cannot be run"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!(
                "{command:?} failed: {}",
                said.lines().last().unwrap_or_default()
            );
        }
    }
    Ok(())
}

fn canary(machine: &Machine<'_>) -> anyhow::Result<()> {
    if !machine.has_docker() {
        return Ok(());
    }
    canary::sing()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(list: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, state): &(&str, &str)| ((*name).to_owned(), (*state).to_owned());
        list.iter().map(owned).collect()
    }

    #[test]
    fn broken_versions_are_told_by_what_they_do_not_do() {
        let text = "rancher: {services: {ntp: {image: a}, docker: {image: b}}}";
        let source = config::Source { name: "t", text };
        let rancher = config::load(&[source], &config::CommandLine::default())
            .config
            .rancher;
        let facts = Facts {
            services: vec!["ntp".to_owned(), "docker".to_owned(), "removed".to_owned()],
            ..Facts::default()
        };
        let machine = Machine {
            facts: &facts,
            rancher: &rancher,
        };
        for (list, words) in [
            (vec![("ntp", "running"), ("docker", "running")], ""),
            (
                vec![
                    ("ntp", "running"),
                    ("docker", "running"),
                    ("cloud-init", "exited"),
                ],
                "",
            ),
            (
                vec![("ntp", "restarting"), ("docker", "running")],
                "service ntp is restarting",
            ),
            (
                vec![("ntp", "running"), ("docker", "dead")],
                "service docker is dead",
            ),
            (
                vec![("ntp", "exited"), ("docker", "running")],
                "ntp ran before",
            ),
            (vec![("ntp", "running")], "docker ran before"),
            (vec![], "ran before and does not run"),
        ] {
            let said = judge_services(&machine, &states(&list));
            let said = said
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert_eq!(said.is_empty(), words.is_empty(), "{list:?}: {said}");
            assert!(said.contains(words), "{list:?}: {said}");
        }
        let late = Facts {
            time: facts::now() + 2 * CLOCK_SLACK_SECONDS,
            ..Facts::default()
        };
        assert!(
            clock(&Machine {
                facts: &late,
                rancher: &rancher
            })
            .is_err(),
            "1970"
        );
        assert!(clock(&machine).is_ok());
    }

    #[test]
    fn a_container_is_judged_by_its_state_and_health() {
        let web = |required| Container {
            id: "1".to_owned(),
            name: "web".to_owned(),
            required,
        };
        for (required, running, health, good) in [
            (false, true, None, true),
            (false, true, Some("unhealthy"), true),
            (false, false, None, false),
            (true, true, Some("healthy"), true),
            (true, true, Some("starting"), false),
            (true, true, None, false),
            (true, false, Some("healthy"), false),
        ] {
            let judged = judge_container(&web(required), running, health);
            assert_eq!(judged.is_ok(), good, "{required} {running} {health:?}");
        }
    }

    #[test]
    fn own_checks_are_commands() {
        let text = "rancher: {upgrade: {checks: ['true', 'echo no disk >&2; exit 3']}}";
        let source = config::Source { name: "t", text };
        let rancher = config::load(&[source], &config::CommandLine::default())
            .config
            .rancher;
        let facts = Facts::default();
        let error = own(&Machine {
            facts: &facts,
            rancher: &rancher,
        })
        .unwrap_err();
        assert!(error.to_string().ends_with("failed: no disk"), "{error}");
    }
}
