//! Phase "start services": the plan of crate compose, executed; each service as soon as those that
//! it comes after are there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use compose::{Plan, Rebuild, Scope, Step};
use engine::Engine;
use engine_api::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::log;
use crate::machine::Machine;

/// User Docker's socket, for services of user scope.
const USER_SOCKET: &str = "/run/docker.sock";

/// Longest wait for a service that others wait to end (RancherOS's cloud-init gives up after 5 min).
const EXIT_DEADLINE: Duration = Duration::from_secs(300);
/// Longest wait for one service to be made and started; its image may have to be pulled.
const START_DEADLINE: Duration = Duration::from_secs(600);
/// Longest wait for User Docker, from its service's start.
const USER_DOCKER_DEADLINE: Duration = Duration::from_secs(120);
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// How far a service is on its way up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    /// Its process runs; others may have to wait for its end.
    Started,
    /// Those that come after it can start. Also when it failed.
    Passed,
}

/// The services on their way up; what has happened so far can be read at any time.
pub(crate) struct Launch {
    engine: Engine,
    plan: Plan,
    progress: Rc<Progress>,
}

#[derive(Default)]
struct Progress {
    errors: RefCell<Vec<String>>,
}

impl Launch {
    /// Plans the configuration's services; what is wrong with them is logged.
    pub(crate) fn new(engine: &Engine, machine: &Machine) -> Launch {
        let rancher = &machine.config.rancher;
        let plan = compose::plan(&rancher.services, &rancher.environment);
        let progress = Rc::new(Progress::default());
        for problem in &plan.problems {
            progress.fail(&format!("{problem}"));
        }
        Launch {
            engine: engine.clone(),
            plan,
            progress,
        }
    }

    /// Starts them all; returns when the last one was started or has failed.
    pub(crate) async fn run(&mut self) {
        let mut stages: BTreeMap<String, watch::Receiver<Stage>> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for step in std::mem::take(&mut self.plan.steps) {
            let before: Vec<_> = step
                .after
                .iter()
                .filter_map(|name| stages.get(name).cloned())
                .collect();
            let (stage, receiver) = watch::channel(Stage::Waiting);
            stages.insert(step.name.clone(), receiver);
            let (engine, progress) = (self.engine.clone(), Rc::clone(&self.progress));
            tasks.spawn_local(async move {
                reached(&before, Stage::Started).await;
                let made = !before.is_empty() && make_early(&engine, &step).await;
                reached(&before, Stage::Passed).await;
                start_and_report(&engine, &step, made, &stage, &progress).await;
                stage.send_replace(Stage::Passed);
            });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(panic) = ended {
                self.progress.fail(&format!("a service's start {panic}"));
            }
        }
    }

    /// What failed, in one line; none when all is well.
    pub(crate) fn errors(&self) -> Option<String> {
        let errors = self.progress.errors.borrow();
        (!errors.is_empty()).then(|| errors.join("; "))
    }
}

impl Progress {
    fn fail(&self, error: &str) {
        log::error(&format!("service: {error}"));
        self.errors.borrow_mut().push(error.to_owned());
    }
}

/// Waits until all of these are that far.
async fn reached(services: &[watch::Receiver<Stage>], wanted: Stage) {
    for service in services {
        // The sender is dropped only when its task has ended or panicked: nothing is to be waited for then.
        let _ = service.clone().wait_for(|stage| *stage >= wanted).await;
    }
}

/// Makes the container while the services that it comes after run to their end. Whether it did: what cannot be made yet
/// (an image to be pulled, another's volumes) is made, or reported, in its turn.
async fn make_early<E: engine_api::Engine>(engine: &E, step: &Step) -> bool {
    let image = step.request.config.image.as_str();
    step.scope == Scope::System
        && engine.image_exists(image).await.unwrap_or(false)
        && timeout(START_DEADLINE, make(engine, step))
            .await
            .is_ok_and(|made| made.is_ok())
}

async fn start_and_report(
    engine: &Engine,
    step: &Step,
    made: bool,
    stage: &watch::Sender<Stage>,
    progress: &Progress,
) {
    let start_s = sys::clock::boottime().as_secs_f64();
    let result = match step.scope {
        Scope::System => timeout(START_DEADLINE, start(engine, step, made, stage)).await,
        Scope::User => timeout(START_DEADLINE, start_in_user_docker(step, stage)).await,
    };
    let result = result.unwrap_or_else(|_| {
        Err(anyhow::anyhow!(
            "not started after {} s",
            START_DEADLINE.as_secs()
        ))
    });
    let duration_s = sys::clock::boottime().as_secs_f64() - start_s;
    match result {
        Ok(()) => log::info(&format!(
            "service: {}: started, {duration_s:.2} s",
            step.name
        )),
        Err(error) => progress.fail(&format!("{}: {error:#}", step.name)),
    }
}

async fn start_in_user_docker(step: &Step, stage: &watch::Sender<Stage>) -> anyhow::Result<()> {
    let client = Client::new(USER_SOCKET);
    let answers = async {
        while client.ping().await.is_err() {
            tokio::time::sleep(TRY_AGAIN).await;
        }
    };
    timeout(USER_DOCKER_DEADLINE, answers)
        .await
        .map_err(|_| anyhow::anyhow!("user docker does not answer"))?;
    start(&client, step, false, stage).await
}

/// Makes the container unless the one of the last boot is still right.
async fn make<E: engine_api::Engine>(engine: &E, step: &Step) -> anyhow::Result<()> {
    if keep_existing(engine, step).await? {
        return Ok(());
    }
    let image = step.request.config.image.as_str();
    if !engine.image_exists(image).await? {
        engine.image_pull(image).await?;
    }
    let name = step.container_name.as_str();
    engine.container_create(name, step.request.clone()).await?;
    Ok(())
}

/// Makes the container if that is still to do, starts it, and waits for its end if the service asks for that.
async fn start<E: engine_api::Engine>(
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
    engine.container_start(name).await?;
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

/// Whether a container of an earlier boot stays; one that does not is removed.
///
/// Only a service that says so (`io.docker.compose.rebuild: "false"`) keeps its container: all else
/// returns to its original state at a reboot, and its image may be another one now.
async fn keep_existing<E: engine_api::Engine>(engine: &E, step: &Step) -> anyhow::Result<bool> {
    let existing = match engine.container_inspect(&step.container_name).await {
        Ok(existing) => existing,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if step.rebuild == Rebuild::Never {
        return Ok(true);
    }
    engine.container_remove(&existing.id, true).await?;
    Ok(false)
}
