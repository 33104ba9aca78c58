//! The user's containers: those that ran and start by themselves run again, unless their owner has removed them.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use engine_api::{Client, ContainerInspect};

use super::facts::{Container, Facts, USER_DOCKER, block_on, starts_by_itself};

/// # Errors
/// The first that does not run.
pub(super) fn check(facts: &Facts) -> anyhow::Result<()> {
    block_on(async {
        let client = Client::new(USER_DOCKER);
        for known in &facts.containers {
            match find(&client, known).await? {
                Some(found) => judge(known, &Seen::of(&found))?,
                None => ensure!(
                    was_removed(Path::new(&facts.docker_root), &known.id),
                    "container {} ran before and is not there",
                    known.name
                ),
            }
        }
        Ok(())
    })
}

/// By its id, or by its name: `compose up` may have made another one in its place.
pub(super) async fn find(
    client: &Client,
    known: &Container,
) -> anyhow::Result<Option<ContainerInspect>> {
    for reference in [&known.id, &known.name] {
        match client.container_inspect(reference, false).await {
            Ok(found) => return Ok(Some(found)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error).with_context(|| format!("container {}", known.name)),
        }
    }
    Ok(None)
}

/// Whether the owner removed it: then its folder is gone, too. One that only User Docker does not know any more was lost.
fn was_removed(docker_root: &Path, id: &str) -> bool {
    let containers = docker_root.join("containers");
    docker_root.is_absolute() && containers.is_dir() && !containers.join(id).exists()
}

/// What is seen of a container.
struct Seen<'a> {
    running: bool,
    /// Docker calls it running while it waits to start it once more.
    restarting: bool,
    health: Option<&'a str>,
    policy: &'a str,
}

impl<'a> Seen<'a> {
    fn of(found: &'a ContainerInspect) -> Self {
        let health = found.state.health.as_ref();
        Self {
            running: found.state.running,
            restarting: found.state.restarting,
            health: health.map(|health| health.status.as_str()),
            policy: &found.host_config.restart_policy.name,
        }
    }
}

fn judge(known: &Container, seen: &Seen<'_>) -> anyhow::Result<()> {
    if !seen.running && !starts_by_itself(seen.policy) {
        // Its owner has changed that
        return Ok(());
    }
    ensure!(
        seen.running,
        "container {} ran before and does not run",
        known.name
    );
    ensure!(
        !seen.restarting,
        "container {} ends and is started again and again",
        known.name
    );
    if known.required && seen.health != Some("healthy") {
        bail!(
            "container {} is {}",
            known.name,
            seen.health.unwrap_or("without a health check")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_judged_by_its_state_and_health() {
        let web = |required| Container {
            id: "1".to_owned(),
            name: "web".to_owned(),
            required,
        };
        for (required, running, health, policy, good) in [
            (false, true, None, "always", true),
            (false, true, Some("unhealthy"), "always", true),
            (false, false, None, "unless-stopped", false),
            (false, false, None, "no", true),
            (true, true, Some("healthy"), "always", true),
            (true, true, Some("starting"), "always", false),
            (true, true, None, "always", false),
            (true, false, Some("healthy"), "always", false),
        ] {
            for restarting in [false, true] {
                let seen = Seen {
                    running,
                    restarting: restarting && running,
                    health,
                    policy,
                };
                assert_eq!(
                    judge(&web(required), &seen).is_ok(),
                    good && !seen.restarting,
                    "{required} {running} {restarting} {health:?} {policy}"
                );
            }
        }
    }

    #[test]
    fn a_container_without_a_folder_was_removed_and_one_with_it_was_lost() {
        let root = tempfile::tempdir().unwrap();
        assert!(
            !was_removed(root.path(), "1"),
            "all of Docker's data is gone"
        );
        std::fs::create_dir_all(root.path().join("containers/1")).unwrap();
        assert!(!was_removed(root.path(), "1"));
        assert!(was_removed(root.path(), "2"));
        // An older version has not noted the folder
        assert!(!was_removed(Path::new(""), "2"));
    }
}
