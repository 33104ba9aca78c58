//! A container in place of another of the same name, and the way back.
//!
//! The old container stays, stopped and under another name, until the new one is well: going back is a rename and a start.

use std::time::{Duration, Instant};

use anyhow::bail;
use engine_api::types::{ContainerInspect, CreateRequest, RestartPolicy};
use engine_api::{Client, Engine, aside};

/// A container without a health check is well when it has run this long and was not started again.
const STEADY: Duration = Duration::from_secs(10);
/// Longest wait for a health check to say something.
const HEALTH_DEADLINE: Duration = Duration::from_secs(300);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A container that was put aside for another one.
pub(crate) struct Swapped {
    name: String,
    old: Option<ContainerInspect>,
    /// Id of the container in its place.
    new: Option<String>,
}

impl Swapped {
    /// Stops the container of this name, if there is one, and gives it another name. `policy` is the service's: one that a command
    /// has left aside has it no more.
    ///
    /// # Errors
    /// When the engine cannot do it.
    pub(crate) async fn aside(
        client: &Client,
        name: &str,
        policy: &RestartPolicy,
    ) -> anyhow::Result<Self> {
        let current = aside::find(client, name).await?;
        let left = aside::find(client, &aside::name_of(name)).await?;
        let old = match (current, left) {
            // A command that was cut off: what it had put aside is the one that worked
            (current, Some(mut left)) => {
                if let Some(unproven) = current {
                    let _ = Engine::container_stop(client, &unproven.id, None).await;
                    Engine::container_remove(client, &unproven.id, true).await?;
                }
                left.state.running = true;
                left.host_config.restart_policy = policy.clone();
                Some(left)
            }
            (Some(current), None) => {
                aside::put(client, &current, name).await?;
                Some(current)
            }
            (None, None) => None,
        };
        Ok(Self {
            name: name.to_owned(),
            old,
            new: None,
        })
    }

    /// The old container, if there was one.
    pub(crate) fn old(&self) -> Option<&ContainerInspect> {
        self.old.as_ref()
    }

    /// Starts the new container and waits until it is well; none where there is to be none.
    ///
    /// # Errors
    /// When it is not well, with what is wrong with it.
    pub(crate) async fn start(
        &mut self,
        client: &Client,
        request: Option<&CreateRequest>,
    ) -> anyhow::Result<()> {
        let Some(request) = request else {
            return Ok(());
        };
        let new = Engine::container_create(client, &self.name, request.clone()).await?;
        self.new = Some(new.clone());
        Engine::container_start(client, &new).await?;
        well(client, &new).await
    }

    /// Removes the old container.
    ///
    /// # Errors
    /// When the engine cannot do it.
    pub(crate) async fn keep(self, client: &Client) -> anyhow::Result<()> {
        if let Some(old) = &self.old {
            Engine::container_remove(client, &old.id, true).await?;
        }
        Ok(())
    }

    /// Removes the new container, and starts the old one if it ran.
    ///
    /// # Errors
    /// When the engine cannot do it.
    pub(crate) async fn back(self, client: &Client) -> anyhow::Result<()> {
        if let Some(new) = &self.new
            && aside::find(client, new).await?.is_some()
        {
            Engine::container_remove(client, new, true).await?;
        }
        let Some(old) = &self.old else {
            return Ok(());
        };
        Ok(aside::back(client, old, &self.name).await?)
    }
}

/// Waits until the new container is well.
///
/// # Errors
/// When it is not, with the last line that it has said.
async fn well(client: &Client, id: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let found = Engine::container_inspect(client, id).await?;
        let look = Look {
            running: found.state.running,
            restarts: found.restart_count,
            exit_code: i64::from(found.state.exit_code),
            health: found
                .state
                .health
                .as_ref()
                .map(|health| health.status.as_str()),
        };
        match verdict(&look, began.elapsed()) {
            Verdict::Well => return Ok(()),
            Verdict::Wait => tokio::time::sleep(LOOK_AGAIN).await,
            Verdict::Failed(why) => bail!("the new container {why}"),
        }
    }
}

/// What is seen of a container.
struct Look<'a> {
    running: bool,
    restarts: i64,
    exit_code: i64,
    health: Option<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    Wait,
    Failed(String),
}

fn verdict(look: &Look<'_>, since: Duration) -> Verdict {
    if !look.running || look.restarts > 0 {
        return Verdict::Failed(format!("ended with exit code {}", look.exit_code));
    }
    match look.health {
        Some("healthy") => Verdict::Well,
        Some("unhealthy") => Verdict::Failed("is unhealthy".to_owned()),
        None | Some("none") if since >= STEADY => Verdict::Well,
        Some(health) if since >= HEALTH_DEADLINE => {
            Verdict::Failed(format!("is {health} after {} s", since.as_secs()))
        }
        _ => Verdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_well_when_it_is_healthy_or_steady() {
        let failed = |why: &str| Verdict::Failed(why.to_owned());
        for (running, restarts, health, seconds, expected) in [
            (true, 0, None, 1, Verdict::Wait),
            (true, 0, None, 10, Verdict::Well),
            (true, 0, Some("none"), 10, Verdict::Well),
            (true, 1, None, 60, failed("ended with exit code 3")),
            (false, 0, None, 1, failed("ended with exit code 3")),
            (true, 0, Some("starting"), 60, Verdict::Wait),
            (true, 0, Some("healthy"), 1, Verdict::Well),
            (
                true,
                1,
                Some("healthy"),
                1,
                failed("ended with exit code 3"),
            ),
            (true, 0, Some("unhealthy"), 1, failed("is unhealthy")),
            (
                true,
                0,
                Some("starting"),
                300,
                failed("is starting after 300 s"),
            ),
        ] {
            let look = Look {
                running,
                restarts,
                exit_code: 3,
                health,
            };
            assert_eq!(verdict(&look, Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn an_old_container_gets_its_whole_restart_policy_back() {
        use crate::fake_docker::FakeDocker;

        let docker = FakeDocker::start(|_| (200, "{}".to_owned()));
        let mut old = ContainerInspect {
            id: "a".to_owned(),
            ..ContainerInspect::default()
        };
        old.state.running = true;
        old.host_config.restart_policy = RestartPolicy {
            name: "on-failure".to_owned(),
            maximum_retry_count: 5,
        };
        FakeDocker::run(async { anyhow::Ok(aside::back(&docker.client(), &old, "db").await?) })
            .unwrap();
        let asked = docker.asked();
        assert_eq!(asked[0], "POST /containers/a/rename");
        let update = &asked[1];
        assert!(update.starts_with("POST /containers/a/update"), "{asked:?}");
        assert!(
            update.contains("\"on-failure\"") && update.contains("\"MaximumRetryCount\":5"),
            "{update}"
        );
        assert_eq!(asked[2], "POST /containers/a/start");
    }
}
