//! One service: its image, its container, its start, in System Docker or in User Docker.

use std::time::Duration;

use compose::{Account, Step};
use engine_api::Client;
use tokio::sync::watch;
use tokio::time::timeout;

use super::make::{has_kept, make};
use super::{Stage, retry};
use crate::log;

/// User Docker's socket, for services of user scope.
pub(super) const USER_SOCKET: &str = "/run/docker.sock";
/// Longest wait for a service that others wait to end (RancherOS's cloud-init gives up after 5 min).
const EXIT_DEADLINE: Duration = Duration::from_secs(300);
/// Longest wait for one service to be made and started, and for one attempt to pull its image.
pub(super) const START_DEADLINE: Duration = Duration::from_secs(600);
/// Longest wait for User Docker, from its service's start.
const USER_DOCKER_DEADLINE: Duration = Duration::from_secs(120);
/// How long the pull of a service's image is tried: a machine whose network comes up late has it by then.
const PULL_DEADLINE: Duration = Duration::from_secs(3600);
const FIRST_PULL_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PULL_PAUSE: Duration = Duration::from_secs(60);
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Starts it; an image that is not here is pulled first, again and again, and the boot does not wait for that.
pub(super) async fn fetch_and_start<E: engine_api::Engine + Clone + 'static>(
    engine: &E,
    step: &Step,
    made: bool,
    stage: &watch::Sender<Stage>,
) -> anyhow::Result<()> {
    let image = step.request.config.image.as_str();
    if !made && !is_here(engine, image).await? {
        stage.send_replace(Stage::Deferred);
        log::info(&format!("service: {}: pulls {image}", step.name));
        pull(engine, step).await?;
    }
    match start_in_time(engine, step, made, stage).await {
        Err(error) => start_in_memory(engine, step, stage, error).await,
        started => started,
    }
}

async fn start_in_time<E: engine_api::Engine + Clone + 'static>(
    engine: &E,
    step: &Step,
    made: bool,
    stage: &watch::Sender<Stage>,
) -> anyhow::Result<()> {
    timeout(START_DEADLINE, start(engine, step, made, stage))
        .await
        .unwrap_or_else(|_| {
            Err(anyhow::anyhow!(
                "not started after {} s",
                START_DEADLINE.as_secs()
            ))
        })
}

/// Another try for a service that failed where the disk takes nothing (full, read-only, broken): its container is kept in
/// memory, so that the owner of the machine can get in. One whose container has something to lose is not tried again: the
/// other takes its place.
///
/// # Errors
/// `error` when the disk is well, or when this fails, too.
async fn start_in_memory<E: engine_api::Engine + Clone + 'static>(
    engine: &E,
    step: &Step,
    stage: &watch::Sender<Stage>,
    error: anyhow::Error,
) -> anyhow::Result<()> {
    if has_kept(engine, step).await {
        return Err(error);
    }
    let (name, request) = (step.container_name.as_str(), step.request.clone());
    let made = engine.container_create_in_memory(name, request).await;
    let second = match made {
        Ok(None) => return Err(error),
        Ok(Some(_)) => {
            log::warning(&format!(
                "service: {}: {error:#}: again in memory",
                step.name
            ));
            match start_in_time(engine, step, true, stage).await {
                Ok(()) => return Ok(()),
                Err(second) => second,
            }
        }
        Err(second) => second.into(),
    };
    Err(error.context(format!("in memory: {second:#}")))
}

/// Whether an engine has the image. User Docker may be there and never answer.
async fn is_here<E: engine_api::Engine>(engine: &E, image: &str) -> anyhow::Result<bool> {
    let answer = timeout(START_DEADLINE, engine.image_exists(image)).await;
    Ok(answer.map_err(|_| anyhow::anyhow!("the engine does not answer"))??)
}

/// Pulls the image of a service. The network may come up late: only the last attempt's error counts.
async fn pull<E: engine_api::Engine>(engine: &E, step: &Step) -> anyhow::Result<()> {
    let image = step.request.config.image.as_str();
    let account = step.account.as_ref().map(Account::config);
    let mut pause = FIRST_PULL_PAUSE;
    let end = tokio::time::Instant::now() + PULL_DEADLINE;
    loop {
        let error = match timeout(START_DEADLINE, engine.image_pull(image, account)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => anyhow::Error::from(error),
            Err(_) => anyhow::anyhow!("not pulled after {} s", START_DEADLINE.as_secs()),
        };
        if tokio::time::Instant::now() + pause > end {
            return Err(error.context(format!("cannot pull {image}")));
        }
        log::warning(&format!(
            "service: {}: cannot pull {image}, trying again: {error:#}",
            step.name
        ));
        tokio::time::sleep(pause).await;
        // It may have been loaded in the meantime (preload, `system-docker load`).
        if is_here(engine, image).await? {
            return Ok(());
        }
        pause = (pause * 2).min(LONGEST_PULL_PAUSE);
    }
}

pub(super) async fn start_in_user_docker(
    step: &Step,
    stage: &watch::Sender<Stage>,
) -> anyhow::Result<()> {
    let client = Client::new(USER_SOCKET);
    let answers = async {
        while client.ping().await.is_err() {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    timeout(USER_DOCKER_DEADLINE, answers)
        .await
        .map_err(|_| anyhow::anyhow!("user docker does not answer"))?;
    fetch_and_start(&client, step, false, stage).await
}

/// Makes the container if that is still to do, starts it, and waits for its end if the service asks for that.
async fn start<E: engine_api::Engine + Clone + 'static>(
    engine: &E,
    step: &Step,
    made: bool,
    stage: &watch::Sender<Stage>,
) -> anyhow::Result<()> {
    let name = step.container_name.as_str();
    if !made {
        make(engine, step).await?;
    }
    if step.create_only {
        return Ok(());
    }
    retry::start(engine, step).await?;
    stage.send_replace(Stage::Started);
    if step.wait_for_exit {
        let code = timeout(EXIT_DEADLINE, engine.container_wait(name))
            .await
            .map_err(|_| anyhow::anyhow!("still running after {} s", EXIT_DEADLINE.as_secs()))??;
        if code != 0 {
            anyhow::bail!("ended with exit code {code}: see `system-docker logs {name}`");
        }
    }
    Ok(())
}
