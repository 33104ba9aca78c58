//! Phase "start services": the plan of crate compose, executed; each service as soon as those that
//! it comes after are there.

mod change;
mod make;
mod retry;
mod start;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use compose::{Plan, Rebuild, Scope, Step};
use config::{Problem, Severity};
use engine_api::Engine;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::change::{CONSOLE, Changed};
use self::make::{exists, make, start_afresh};
use self::start::{START_DEADLINE, fetch_and_start, start_in_user_docker};
use crate::machine::Machine;
use crate::{configuration, log, warnings};

/// Longest wait for the configuration, as in the boot phases that read and apply it first.
const RELOAD_DEADLINE: Duration = Duration::from_secs(40);
/// What warnings about definitions of services are about.
pub(crate) const WARNINGS: &str = "services";
/// How often a boot reads the configuration again; services that reload it can bring others of their kind.
const MOST_RELOADS: usize = 4;

/// How far a service is on its way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Waiting,
    /// Its image is not here, or it comes after such a service: the boot does not wait for it.
    Deferred,
    /// Its process runs; others may have to wait for its end.
    Started,
    /// Those that come after it can start. Also when it failed.
    Passed,
}

/// The services on their way up; what has happened so far can be read at any time.
pub(crate) struct Launch<E> {
    engine: E,
    plan: Plan,
    progress: Rc<Progress>,
    /// Every service that was begun.
    stages: BTreeMap<String, watch::Receiver<Stage>>,
    /// Containers that are made while a service that reloads the configuration runs.
    early: BTreeMap<String, JoinHandle<Option<Made>>>,
    /// Told of a configuration that was read again.
    configured: Box<dyn Fn(&Machine)>,
    /// Reads and applies the configuration again.
    reread: fn(Machine) -> anyhow::Result<Machine>,
}

/// A container that was made before its turn.
struct Made {
    container: String,
    /// Of the definition that it was made from.
    hash: String,
}

#[derive(Default)]
struct Progress {
    errors: RefCell<Vec<String>>,
}

impl<E: Engine + Clone + 'static> Launch<E> {
    /// Plans the configuration's services; what is wrong with them is logged.
    pub(crate) fn new(engine: &E, machine: &Machine) -> Launch<E> {
        let mut launch = Launch {
            engine: engine.clone(),
            plan: Plan::default(),
            progress: Rc::new(Progress::default()),
            stages: BTreeMap::new(),
            early: BTreeMap::new(),
            configured: Box::new(|_| {}),
            reread: configuration::reread,
        };
        launch.plan(machine);
        launch
    }

    /// Has `told` called with every configuration that is read again, before services are planned from it.
    pub(crate) fn on_configuration(&mut self, told: impl Fn(&Machine) + 'static) {
        self.configured = Box::new(told);
    }

    fn plan(&mut self, machine: &Machine) {
        let rancher = &machine.config.rancher;
        let services = machine_config::with_files(&rancher.services, &machine.config.write_files);
        let mut plan = compose::plan(&services, rancher);
        start_afresh(machine, &mut plan);
        for problem in &plan.problems {
            if self.plan.problems.contains(problem) {
                continue;
            }
            if is_warning(problem) {
                warnings::warn(WARNINGS, &problem.to_string());
            } else {
                self.progress.fail(&format!("{problem}"));
            }
        }
        self.plan = plan;
    }

    /// Starts them all; returns when the last one was started, has failed, or waits for its image.
    ///
    /// Services that write configuration (label `io.rancher.os.reloadconfig`) come first, with what they come after.
    /// Then the configuration is read again, and the others are planned from what it says now.
    pub(crate) async fn run(&mut self, machine: &mut Machine) {
        for _ in 0..MOST_RELOADS {
            let first = self.reloading();
            if first.is_empty() {
                break;
            }
            let (first, others): (Vec<Step>, Vec<Step>) =
                self.left().partition(|step| first.contains(&step.name));
            let begun = self.begin(first);
            self.make_early(&others);
            begun.settled().await;
            self.reload(machine).await;
        }
        let left: Vec<Step> = self.left().collect();
        self.begin(left).settled().await;
        self.drop_early().await;
    }

    /// The steps that were not begun.
    fn left(&self) -> impl Iterator<Item = Step> {
        let steps = self.plan.steps.iter();
        steps
            .filter(|step| !self.stages.contains_key(&step.name))
            .cloned()
    }

    /// Services that reload the configuration and were not begun, and all that they come after.
    fn reloading(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        // Each step stands after those that it comes after, so one pass from the end finds them all.
        for step in self.plan.steps.iter().rev() {
            if step.reloads_config && !self.stages.contains_key(&step.name) {
                names.insert(step.name.clone());
            }
            if names.contains(&step.name) {
                names.extend(step.after.iter().cloned());
            }
        }
        names.retain(|name| !self.stages.contains_key(name));
        names
    }

    fn begin(&mut self, steps: Vec<Step>) -> Begun {
        let mut begun = Begun::default();
        for step in steps {
            let names = step.after.iter();
            let before: Vec<_> = names
                .filter_map(|name| self.stages.get(name).cloned())
                .collect();
            let (stage, receiver) = watch::channel(Stage::Waiting);
            self.stages.insert(step.name.clone(), receiver.clone());
            let (engine, progress) = (self.engine.clone(), Rc::clone(&self.progress));
            let early = self.early.remove(&step.name);
            let task = engine_api::tasks::spawn(async move {
                if !passed(&before, &stage).await {
                    log::info(&format!(
                        "service: {}: waits for a service that is not up yet",
                        step.name
                    ));
                }
                let made = match early {
                    Some(making) => making.await.ok().flatten(),
                    None => None,
                };
                let made = made.is_some_and(|made| made.hash == step.hash());
                start_and_report(&engine, &step, made, &stage, &progress).await;
                stage.send_replace(Stage::Passed);
            });
            begun.0.push((receiver, task));
        }
        begun
    }

    /// Makes containers of services that are begun later, while there is time. What cannot be made yet (an image to be
    /// pulled, another's volumes) is made, or reported, in its turn.
    fn make_early(&mut self, steps: &[Step]) {
        for step in steps {
            // A container that is kept whatever its definition says must be made from the last word about it.
            if step.scope != Scope::System || step.rebuild == Rebuild::Never {
                continue;
            }
            let before: Vec<_> = step
                .after
                .iter()
                .filter_map(|name| self.stages.get(name).cloned())
                .collect();
            // Only what waits for the services that run now has nothing better to do.
            if before.is_empty() {
                continue;
            }
            let (engine, step) = (self.engine.clone(), step.clone());
            let name = step.name.clone();
            let making = engine_api::tasks::spawn(async move {
                reached(&before, Stage::Started).await;
                make_one_early(&engine, &step).await.then(|| Made {
                    hash: step.hash().to_owned(),
                    container: step.container_name,
                })
            });
            self.early.insert(name, making);
        }
    }

    /// Removes what was made early for services that the configuration does not have any more.
    async fn drop_early(&mut self) {
        for (_, making) in std::mem::take(&mut self.early) {
            if let Ok(Some(made)) = making.await {
                // It may be gone already; a container that stays is never started.
                let _ = Engine::container_remove(&self.engine, &made.container, true).await;
            }
        }
    }

    /// Reads and applies the configuration in a thread: files and modules can keep it waiting.
    async fn reload(&mut self, machine: &mut Machine) {
        let before = machine.clone();
        let reread = {
            let reread = self.reread;
            tokio::task::spawn_blocking(move || reread(before))
        };
        let result = match timeout(RELOAD_DEADLINE, reread).await {
            Ok(Ok(result)) => result.map_err(|error| format!("{error:#}")),
            Ok(Err(panic)) => Err(panic.to_string()),
            Err(_) => Err(format!("no end after {} s", RELOAD_DEADLINE.as_secs())),
        };
        match result {
            Ok(changed) => *machine = changed,
            Err(error) => {
                self.progress
                    .fail(&format!("the configuration cannot be read again: {error}"));
            }
        }
        (self.configured)(machine);
        self.plan(machine);
    }

    /// What failed, in one line; none when all is well.
    pub(crate) fn errors(&self) -> Option<String> {
        let errors = self.progress.errors.borrow();
        (!errors.is_empty()).then(|| errors.join("; "))
    }
}

/// Services that were begun together.
#[derive(Default)]
struct Begun(Vec<(watch::Receiver<Stage>, JoinHandle<()>)>);

impl Begun {
    /// Waits until each service is passed or deferred. The starts of the deferred ones run on.
    async fn settled(self) {
        for (mut stage, task) in self.0 {
            let deferred = stage
                .wait_for(|stage| *stage >= Stage::Deferred)
                .await
                .is_ok_and(|stage| *stage == Stage::Deferred);
            if !deferred && let Err(panic) = task.await {
                log::error(&format!("service: a service's start {panic}"));
            }
        }
    }
}

impl Progress {
    fn fail(&self, error: &str) {
        log::error(&format!("service: {error}"));
        self.errors.borrow_mut().push(error.to_owned());
    }
}

/// Whether it costs a service nothing, such as a key that is not applied.
fn is_warning(problem: &Problem) -> bool {
    problem.severity == Severity::Warning
}

/// Waits until all of these are that far.
async fn reached(services: &[watch::Receiver<Stage>], wanted: Stage) {
    for service in services {
        // The sender is dropped only when its task has ended or panicked: nothing is to be waited for then.
        let _ = service.clone().wait_for(|stage| *stage >= wanted).await;
    }
}

/// Waits until all of these are passed. False when one of them was deferred, and so this one is.
async fn passed(services: &[watch::Receiver<Stage>], own: &watch::Sender<Stage>) -> bool {
    let mut at_once = true;
    for service in services {
        let mut service = service.clone();
        // As in `reached`.
        let deferred = service
            .wait_for(|stage| *stage >= Stage::Deferred)
            .await
            .is_ok_and(|stage| *stage == Stage::Deferred);
        if deferred {
            at_once = false;
            own.send_replace(Stage::Deferred);
        }
        let _ = service.wait_for(|stage| *stage == Stage::Passed).await;
    }
    at_once
}

/// Makes the container while the services that it comes after run to their end. Whether it did.
async fn make_one_early<E: Engine>(engine: &E, step: &Step) -> bool {
    let image = step.request.config.image.as_str();
    // Only the last word about a service may cost it a container that it would keep.
    if step.rebuild != Rebuild::Always && exists(engine, &step.container_name).await {
        return false;
    }
    engine.image_exists(image).await.unwrap_or(false)
        && timeout(START_DEADLINE, make(engine, step))
            .await
            .is_ok_and(|made| made.is_ok())
}

async fn start_and_report<E: Engine + Clone + 'static>(
    engine: &E,
    step: &Step,
    made: bool,
    stage: &watch::Sender<Stage>,
    progress: &Progress,
) {
    let start_s = sys::clock::boottime().as_secs_f64();
    let result = match step.scope {
        Scope::System => fetch_and_start(engine, step, made, stage).await,
        Scope::User => start_in_user_docker(step, stage).await,
    };
    let duration_s = sys::clock::boottime().as_secs_f64() - start_s;
    match result {
        Ok(()) => log::info(&format!(
            "service: {}: started, {duration_s:.2} s",
            step.name
        )),
        Err(error) => progress.fail(&format!("{}: {error:#}", step.name)),
    }
}
