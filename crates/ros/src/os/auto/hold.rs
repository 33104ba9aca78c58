//! Who says "not now" to a reboot within the window: a container with a label, and a command of the owner's. Whoever cannot be asked
//! holds it, too: a reboot waits for tomorrow at no cost.

use std::time::Duration;

use anyhow::Context as _;
use config::cloud_config::Rancher;
use engine_api::{Client, ContainerSummary, Filters};
use sys::process::Command;

use super::super::gate::has_docker;

/// Longest time that User Docker, and the owner's command, may think.
const DEADLINE: Duration = Duration::from_secs(60);
/// A container with this label holds the reboot while it runs.
const LABEL: &str = "io.rancher.os.upgrade.hold";
/// User Docker's socket.
const USER_DOCKER: &str = "/run/docker.sock";

/// Why the reboot waits; nothing when nobody holds it.
///
/// # Errors
/// When the owner's command gives no answer.
pub(super) fn reason(rancher: &Rancher) -> anyhow::Result<Option<String>> {
    reason_of(rancher, USER_DOCKER)
}

fn reason_of(rancher: &Rancher, docker: &str) -> anyhow::Result<Option<String>> {
    if has_docker(rancher) {
        match running(docker) {
            Ok(containers) => {
                if let Some(name) = held_by(&containers) {
                    return Ok(Some(format!("container {name} holds the reboot")));
                }
            }
            // Containers run on without it (`live_restore`), and may be those that hold
            Err(error) => {
                return Ok(Some(format!(
                    "User Docker cannot say whether a container holds the reboot: {error:#}"
                )));
            }
        }
    }
    match &rancher.upgrade.not_now {
        Some(command) if says_not_now(command)? => {
            Ok(Some("rancher.upgrade.not_now holds the reboot".to_owned()))
        }
        _ => Ok(None),
    }
}

fn running(docker: &str) -> anyhow::Result<Vec<ContainerSummary>> {
    let runtime = system_docker::event_loop()?;
    runtime.block_on(async {
        let client = Client::new(docker);
        let all = Filters::default();
        let listed = client.container_list(false, false, &all);
        let listed = tokio::time::timeout(DEADLINE, listed).await;
        Ok(listed.context("it does not answer")??)
    })
}

/// The first container with the label.
fn held_by(containers: &[ContainerSummary]) -> Option<String> {
    let has_label = |container: &&ContainerSummary| {
        container
            .labels
            .get(LABEL)
            .is_some_and(|value| value != "false")
    };
    let held = containers.iter().find(has_label)?;
    let name = held.names.first().map(|name| name.trim_start_matches('/'));
    Some(name.unwrap_or(&held.id).to_owned())
}

/// As `test`: it succeeds when it is not the time, and fails with 1 when it is.
///
/// # Errors
/// When it ends in another way, such as 127 of a shell that does not find it.
fn says_not_now(command: &str) -> anyhow::Result<bool> {
    let output = Command::new("sh")
        .args(["-c", command])
        .deadline(DEADLINE)
        .run()
        .context("rancher.upgrade.not_now")?;
    match output.status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => anyhow::bail!(
            "rancher.upgrade.not_now, {command:?}: {}; 0 holds the reboot and 1 does not",
            output.status
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_lets_the_machine_reboot() {
        assert!(says_not_now("true").unwrap());
        assert!(!says_not_now("test -e /no/such/file").unwrap());
        for command in ["no-such-program", "exit 3", "kill -9 $$"] {
            let error = says_not_now(command).unwrap_err().to_string();
            assert!(error.contains("0 holds the reboot"), "{error}");
        }
        // A machine with Docker, which does not answer
        let text = "rancher: {services: {docker: {image: x}}}";
        let source = config::Source { name: "t", text };
        let rancher = config::load(&[source], &config::CommandLine::default())
            .config
            .rancher;
        let said = reason_of(&rancher, "/no/such/socket").unwrap().unwrap();
        assert!(said.contains("cannot say"), "{said}");
        assert_eq!(reason(&Rancher::default()).unwrap(), None);
    }

    #[test]
    fn a_label_that_is_not_false_holds() {
        let container = |name: &str, value: Option<&str>| ContainerSummary {
            names: vec![format!("/{name}")],
            labels: value
                .map(|value| (LABEL.to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
            ..ContainerSummary::default()
        };
        let all = [
            container("web", None),
            container("free", Some("false")),
            container("busy", Some("true")),
        ];
        assert_eq!(held_by(&all), Some("busy".to_owned()));
        assert_eq!(held_by(&all[..2]), None);
    }
}
