//! Services whose definition has changed in the running machine.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use compose::{Rebuild, Scope, Step};
use config::Problem;
use engine_api::{Client, Engine};
use tokio::sync::watch;
use tokio::time::timeout;

use super::make::renew;
use super::start::{START_DEADLINE, USER_SOCKET, fetch_and_start, start_in_user_docker};
use super::{Stage, WARNINGS, is_warning};
use crate::machine::Machine;
use crate::{log, warnings};

/// The service that makes users and keys.
pub(crate) const CONSOLE: &str = "console";

/// What changes between two configurations.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    /// Services to make, in order.
    make: Vec<Step>,
    /// Services to remove.
    remove: Vec<Step>,
    /// All of the new configuration.
    steps: Vec<Step>,
    /// What is wrong with definitions.
    said: Vec<Problem>,
    /// What was wrong with them before.
    known: Vec<Problem>,
    made: RefCell<BTreeSet<String>>,
}

impl Changed {
    /// Compares definitions. With `keep_files` the files for services (`write_files`) are taken as they were put aside at
    /// the boot, since their numbers have changed.
    pub(crate) fn between(before: &Machine, after: &Machine, keep_files: bool) -> Changed {
        let plan = |machine: &Machine, files: &Machine| {
            let rancher = &machine.config.rancher;
            let services = machine_config::with_files(&rancher.services, &files.config.write_files);
            compose::plan(&services, rancher)
        };
        let (old, new) = (
            plan(before, before),
            plan(after, if keep_files { before } else { after }),
        );
        let hashes: BTreeMap<&str, &str> = old
            .steps
            .iter()
            .map(|step| (step.name.as_str(), step.hash()))
            .collect();
        let is_there = |step: &Step| {
            new.steps
                .iter()
                .any(|new| new.container_name == step.container_name && new.scope == step.scope)
        };
        let remove = old
            .steps
            .iter()
            .filter(|step| !is_there(step))
            .cloned()
            .collect();
        let make = new
            .steps
            .iter()
            .filter(|step| hashes.get(step.name.as_str()) != Some(&step.hash()))
            // One that runs once per boot has run.
            .filter(|step| !step.reloads_config)
            .cloned()
            .collect();
        Changed {
            make,
            remove,
            steps: new.steps,
            said: new.problems,
            known: old.problems,
            made: RefCell::default(),
        }
    }

    /// Whether a service's container was replaced, and has read the configuration with that.
    pub(crate) fn is_made(&self, name: &str) -> bool {
        self.made.borrow().contains(name)
    }

    /// Has a service that runs start from its image again.
    pub(crate) async fn renew<E: Engine + Clone + 'static>(
        &self,
        engine: &E,
        name: &str,
    ) -> anyhow::Result<()> {
        let Some(step) = self.steps.iter().find(|step| step.name == name).cloned() else {
            return Ok(()); // it has no container any more
        };
        let engine = engine.clone();
        // Whoever waits for it may stop waiting, and half of it would be no console.
        engine_api::tasks::spawn(async move { renew(&engine, &step).await }).await?
    }

    /// Removes and makes the services of one of the Dockers; what failed. A service whose image is not here is not waited
    /// for.
    pub(crate) async fn make<E: Engine + Clone + 'static>(
        &self,
        engine: &E,
        scope: Scope,
    ) -> Vec<String> {
        let mut failed = Vec::new();
        for step in self.remove.iter().filter(|step| step.scope == scope) {
            match remove(engine, step).await {
                Ok(()) => log::info(&format!("service: {}: removed", step.name)),
                Err(error) => failed.push(format!("{}: {error:#}", step.name)),
            }
        }
        for step in self.make.iter().filter(|step| step.scope == scope) {
            if step.rebuild == Rebuild::Never && exists(engine, step).await {
                log::warning(&format!(
                    "service: {}: its container is kept, as its label asks",
                    step.name
                ));
                continue;
            }
            self.made.borrow_mut().insert(step.name.clone());
            // A definition that cannot be started must not cost the way in.
            let done = if step.name == CONSOLE && can_be_made(engine, step).await {
                self.renew(engine, CONSOLE).await
            } else {
                start(engine.clone(), step.clone()).await
            };
            if let Err(error) = done {
                failed.push(format!("{}: {error:#}", step.name));
            }
        }
        if scope == Scope::System {
            warnings::clear(WARNINGS);
            for problem in self.said.iter().filter(|problem| is_warning(problem)) {
                warnings::warn(WARNINGS, &problem.to_string());
            }
            let new = self.said.iter().filter(|problem| !is_warning(problem));
            let new = new.filter(|problem| !self.known.contains(problem));
            failed.extend(new.map(ToString::to_string));
        }
        failed
    }
}

async fn exists<E: Engine>(engine: &E, step: &Step) -> bool {
    step.scope == Scope::System && engine.container_inspect(&step.container_name).await.is_ok()
}

/// Whether it has a container, and the image of another one is here.
async fn can_be_made<E: Engine>(engine: &E, step: &Step) -> bool {
    let image = engine.image_exists(&step.request.config.image).await;
    image.unwrap_or(false) && exists(engine, step).await
}

async fn remove<E: Engine>(engine: &E, step: &Step) -> anyhow::Result<()> {
    let name = step.container_name.as_str();
    match step.scope {
        Scope::System => stop_and_remove(engine, name).await,
        Scope::User => {
            let client = Client::new(USER_SOCKET);
            timeout(START_DEADLINE, stop_and_remove(&client, name))
                .await
                .map_err(|_| anyhow::anyhow!("user docker does not answer"))?
        }
    }
}

async fn stop_and_remove<E: Engine>(engine: &E, name: &str) -> anyhow::Result<()> {
    match engine.container_stop(name, None).await {
        Err(error) if error.is_not_found() => return Ok(()),
        result => result?,
    }
    Ok(engine.container_remove(name, true).await?)
}

/// Starts it in place of its earlier container, which runs on while its image is pulled; returns when it runs or its image
/// is being pulled.
async fn start<E: Engine + Clone + 'static>(engine: E, step: Step) -> anyhow::Result<()> {
    let (stage, mut receiver) = watch::channel(Stage::Waiting);
    let work = engine_api::tasks::spawn(async move {
        let done = match step.scope {
            Scope::System => fetch_and_start(&engine, &step, false, &stage).await,
            Scope::User => start_in_user_docker(&step, &stage).await,
        };
        let was_deferred = *stage.borrow() == Stage::Deferred;
        if let (true, Err(error)) = (was_deferred, &done) {
            log::error(&format!("service: {}: {error:#}", step.name));
        }
        stage.send_replace(Stage::Passed);
        done
    });
    let deferred = receiver
        .wait_for(|stage| *stage >= Stage::Deferred)
        .await
        .is_ok_and(|stage| *stage == Stage::Deferred);
    if deferred {
        return Ok(());
    }
    work.await?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> Machine {
        let source = config::Source {
            name: "t.yml",
            text,
        };
        let loaded = config::load(&[source], &config::CommandLine::default());
        Machine {
            config: loaded.config,
            ..Machine::default()
        }
    }

    #[test]
    fn only_what_changed_is_made_and_what_is_gone_is_removed() {
        let before = machine(
            "rancher: {environment: {TAG: '1'}, services: {a: {image: a, labels: {io.rancher.os.scope: system}}, b: {image: 'b:${TAG}'}, c: {image: c}, u: {image: u, environment: [TAG]}}}",
        );
        let after = machine(
            "rancher: {environment: {TAG: '2'}, services: {a: {image: a, labels: {io.rancher.os.scope: system}}, b: {image: 'b:${TAG}'}, d: {image: d}, u: {image: u, environment: [TAG]}}}",
        );
        let changed = Changed::between(&before, &after, false);
        let names = |steps: &[Step]| {
            steps
                .iter()
                .map(|step| step.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&changed.make), ["b", "d", "u"]);
        assert_eq!(names(&changed.remove), ["c"]);
        let same = Changed::between(&after, &after, false);
        assert!(same.make.is_empty() && same.remove.is_empty());
    }
}
