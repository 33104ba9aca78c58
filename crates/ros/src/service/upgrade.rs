//! `ros service upgrade`: another image for a service, and the old container back if the new one does not work.
//!
//! The old container stays, stopped and under another name, until the new one is well: going back is a rename and a start.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use compose::{Scope, Step};
use engine_api::types::{ContainerInspect, ContainerUpdate, RestartPolicy};
use engine_api::{Client, Engine};

use crate::machine_config::MachineConfig;
use crate::own_file::OwnFile;

/// A container without a health check is well when it has run this long and was not started again.
const STEADY: Duration = Duration::from_secs(10);
/// Longest wait for a health check to say something.
const HEALTH_DEADLINE: Duration = Duration::from_secs(300);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// What the old container is called meanwhile.
const BEFORE: &str = "-before-upgrade";
/// The service that this command runs in.
const CONSOLE: &str = "console";

/// Replaces the container of `name`, by one of `image` if that is given.
///
/// # Errors
/// When the new container does not work: the old one then runs again, and the configuration is as it was.
pub(super) fn main(name: &str, image: Option<&str>) -> anyhow::Result<ExitCode> {
    ensure!(
        name != CONSOLE,
        "the console is a part of the system, and this command runs in it: `ros os upgrade`"
    );
    let step = step(name, image)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no event loop")?;
    runtime.block_on(replace(&step))?;
    if let Some(image) = image {
        keep(name, image)?;
    }
    println!("{name}: runs {}", step.request.config.image);
    Ok(ExitCode::SUCCESS)
}

/// The service as the next boot would make it, if its image were this one.
fn step(name: &str, image: Option<&str>) -> anyhow::Result<Step> {
    let machine = MachineConfig::load();
    let mut services = machine.loaded.config.rancher.services;
    let Some(service) = services.get_mut(name) else {
        bail!("{name} is not a valid service: ros service list --all");
    };
    if let Some(image) = image {
        service.image = Some(image.to_owned());
    }
    let plan = compose::plan(&services, &machine.loaded.config.rancher.environment);
    let step = plan.steps.into_iter().find(|step| step.name == name);
    let step = step.with_context(|| format!("{name} has errors: ros config validate"))?;
    ensure!(
        !step.create_only && !step.wait_for_exit,
        "{name} runs to its end at each boot: the next one takes a new image"
    );
    Ok(step)
}

/// Writes the image into the configuration, so that the next boot takes it, too.
fn keep(name: &str, image: &str) -> anyhow::Result<()> {
    let mut file = OwnFile::read()?;
    let value = format!("{image:?}");
    file.set_at(&["rancher", "services", name, "image"], &value)?;
    file.write()?;
    let services = MachineConfig::load().loaded.config.rancher.services;
    let taken = services.get(name).and_then(|service| service.image.clone());
    if taken.as_deref() != Some(image) {
        eprintln!(
            "warning: another file of the configuration sets the image of {name}: the next boot takes {}",
            taken.unwrap_or_default()
        );
    }
    Ok(())
}

async fn replace(step: &Step) -> anyhow::Result<()> {
    let client = Client::new(match step.scope {
        Scope::System => "/run/system-docker.sock",
        Scope::User => "/run/docker.sock",
    });
    let name = step.container_name.as_str();
    let image = step.request.config.image.as_str();
    // All that can take long or fail happens while the old container runs
    if !client.image_exists(image).await? {
        println!("pulling {image}");
        client
            .image_pull(image)
            .await
            .with_context(|| format!("pull {image}"))?;
    }
    let before = format!("{name}{BEFORE}");
    let old = aside(&client, name, &before).await?;
    let failed = match start(&client, step).await {
        Ok(()) => well(&client, name).await.err(),
        Err(error) => Some(error),
    };
    let Some(failed) = failed else {
        if old.is_some() {
            Engine::container_remove(&client, &before, true).await?;
        }
        return Ok(());
    };
    let Some(old) = old else {
        return Err(failed);
    };
    let began = Instant::now();
    back(&client, name, &before, &old).await.with_context(|| {
        format!("{name} failed ({failed:#}), and the old container cannot be started")
    })?;
    println!(
        "{name}: the old container runs again, {} ms later",
        began.elapsed().as_millis()
    );
    Err(failed.context(format!("{name} is not upgraded")))
}

/// Stops the container of this name and gives it another one; what it was, if there is one.
async fn aside(
    client: &Client,
    name: &str,
    before: &str,
) -> anyhow::Result<Option<ContainerInspect>> {
    let current = find(client, name).await?;
    let left = find(client, before).await?;
    let old = match (current, left) {
        // A command that was cut off: what it had put aside is the one that worked
        (None, Some(left)) => return Ok(Some(left)),
        (None, None) => return Ok(None),
        (Some(current), left) => {
            if left.is_some() {
                Engine::container_remove(client, before, true).await?;
            }
            current
        }
    };
    // A reboot in between must not start both
    update_policy(client, &old.id, "no").await?;
    Engine::container_stop(client, &old.id, None).await?;
    client.container_rename(&old.id, before).await?;
    Ok(Some(old))
}

async fn find(client: &Client, name: &str) -> anyhow::Result<Option<ContainerInspect>> {
    match Engine::container_inspect(client, name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn update_policy(client: &Client, id: &str, policy: &str) -> anyhow::Result<()> {
    let update = ContainerUpdate {
        restart_policy: RestartPolicy {
            name: policy.to_owned(),
            ..RestartPolicy::default()
        },
        ..ContainerUpdate::default()
    };
    client.container_update(id, &update).await?;
    Ok(())
}

async fn start(client: &Client, step: &Step) -> anyhow::Result<()> {
    let name = step.container_name.as_str();
    Engine::container_create(client, name, step.request.clone()).await?;
    Engine::container_start(client, name).await?;
    Ok(())
}

async fn back(
    client: &Client,
    name: &str,
    before: &str,
    old: &ContainerInspect,
) -> anyhow::Result<()> {
    if find(client, name).await?.is_some() {
        Engine::container_remove(client, name, true).await?;
    }
    client.container_rename(before, name).await?;
    let policy = old.host_config.restart_policy.name.as_str();
    if !policy.is_empty() {
        update_policy(client, name, policy).await?;
    }
    if old.state.running {
        Engine::container_start(client, name).await?;
    }
    Ok(())
}

/// Waits until the new container is well.
///
/// # Errors
/// When it is not, with the last line that it has said.
async fn well(client: &Client, name: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let found = Engine::container_inspect(client, name).await?;
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
}
