//! The services that differ between two versions, replaced one by one, and all of them back if one does not work.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use engine_api::{Client, Engine, Filters};

use super::plan::Planned;
use crate::service::swap::Swapped;

/// User Docker's socket.
const USER_DOCKER: &str = "/run/docker.sock";
/// Longest wait for User Docker after its service was replaced: an emulated machine needs 20 s.
const DOCKER_DEADLINE: Duration = Duration::from_secs(180);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The service with the users and their shells, in whose view of the files User Docker runs.
const CONSOLE: &str = "console";
/// User Docker.
const DOCKER: &str = "docker";

/// The services that were replaced so far, the last one at the end.
#[derive(Default)]
pub(super) struct Replaced(Vec<(String, Swapped)>);

impl Replaced {
    /// Replaces what differs, in order.
    ///
    /// # Errors
    /// The first that does not work; nothing is undone yet.
    pub(super) async fn all(&mut self, system: &Client, planned: &[Planned]) -> anyhow::Result<()> {
        let mut console_went = false;
        for one in planned {
            let follows = one.name == DOCKER && console_went;
            if !differs(system, one, follows).await? {
                continue;
            }
            console_went |= one.name == CONSOLE;
            let what = || format!("service {}", one.name);
            let before = if one.name == DOCKER {
                Some(user_containers().await.with_context(what)?)
            } else {
                None
            };
            println!("{}: is replaced", one.name);
            let began = Instant::now();
            let policy = one.request.as_ref();
            let policy = policy.map(|request| request.host_config.restart_policy.clone());
            let policy = policy.unwrap_or_default();
            let swapped = Swapped::aside(system, &one.container, &policy).await;
            self.0.push((one.name.clone(), swapped.with_context(what)?));
            if let Some((_, swapped)) = self.0.last_mut() {
                let started = swapped.start(system, one.request.as_ref()).await;
                started.with_context(what)?;
            }
            if let Some(before) = before {
                check_user_containers(&before).await.with_context(what)?;
            }
            println!("{}: works, {} s", one.name, began.elapsed().as_secs());
        }
        Ok(())
    }

    /// How many there are.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Removes the containers of before.
    pub(super) async fn keep(self, system: &Client) {
        for (name, swapped) in self.0 {
            // It is stopped and has no restart policy: one that stays costs room until the next boot
            if let Err(error) = swapped.keep(system).await {
                eprintln!("{name}: its old container stays: {error:#}");
            }
        }
    }

    /// Starts the containers of before again, the last one first.
    ///
    /// # Errors
    /// The first that failed, after all were tried.
    pub(super) async fn back(self, system: &Client) -> anyhow::Result<()> {
        let mut failed = Ok(());
        for (name, swapped) in self.0.into_iter().rev() {
            let back = swapped.back(system).await;
            if back.is_ok() {
                println!("{name}: the old container runs again");
            }
            failed = failed.and(back.with_context(|| format!("service {name}")));
        }
        failed
    }
}

/// Whether a service has to be replaced now. One that does not stay, or was stopped, begins with the next boot.
async fn differs(system: &Client, one: &Planned, follows: bool) -> anyhow::Result<bool> {
    if !one.stays {
        return Ok(false);
    }
    let found = match Engine::container_inspect(system, &one.container).await {
        Ok(found) => found,
        // A service that only the new version has
        Err(error) if error.is_not_found() => return Ok(one.request.is_some()),
        Err(error) => return Err(error.into()),
    };
    let Some(request) = &one.request else {
        return Ok(true);
    };
    if !found.state.running {
        return Ok(false);
    }
    let image = system.image_inspect(&request.config.image).await;
    let image = image.with_context(|| format!("service {}", one.name))?;
    Ok(one.changed || follows || image.id != found.image)
}

/// Containers of User Docker that run, and since when; none when User Docker is switched off.
async fn user_containers() -> anyhow::Result<BTreeMap<String, String>> {
    let user = Client::new(USER_DOCKER);
    if user.ping().await.is_err() {
        return Ok(BTreeMap::new());
    }
    let info = user.info().await?;
    ensure!(
        info.live_restore_enabled,
        "User Docker does not keep its containers over a restart: rancher.docker.live_restore is off, or it is in a swarm"
    );
    running(&user).await
}

async fn running(user: &Client) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for summary in user
        .container_list(false, false, &Filters::default())
        .await?
    {
        let one = user.container_inspect(&summary.id, false).await?;
        found.insert(one.id, one.state.started_at);
    }
    Ok(found)
}

/// Waits for User Docker, and asks whether what ran runs on.
async fn check_user_containers(before: &BTreeMap<String, String>) -> anyhow::Result<()> {
    let user = Client::new(USER_DOCKER);
    let end = Instant::now() + DOCKER_DEADLINE;
    while let Err(error) = user.ping().await {
        if Instant::now() > end {
            return Err(error).context(format!(
                "User Docker does not answer after {} s",
                DOCKER_DEADLINE.as_secs()
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    let now = running(&user).await?;
    for (id, since) in before {
        // One that its owner stops meanwhile is not told from one that was lost: then all is undone for nothing
        ensure!(
            now.get(id) == Some(since),
            "container {} of User Docker did not run on",
            id.get(..12).unwrap_or(id)
        );
    }
    Ok(())
}
