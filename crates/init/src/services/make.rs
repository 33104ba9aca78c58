//! A service's container: the one of an earlier boot as long as it is what the service asks for, or a new one.

use anyhow::{Context as _, bail};
use compose::keep::Found;
use compose::{Plan, Rebuild, Step};
use engine_api::{ContainerInspect, Engine, aside};

use crate::log;
use crate::machine::Machine;

/// Has the services that come with the system start from their images at each boot, whatever became of their containers: one
/// that somebody got into is as it was made, and there is nothing to keep in them.
pub(super) fn start_afresh(machine: &Machine, plan: &mut Plan) {
    for step in &mut plan.steps {
        if step.rebuild == Rebuild::OnChange
            && machine_config::is_built_in(&machine.tree, &step.name)
        {
            step.rebuild = Rebuild::Always;
        }
    }
}

/// Makes the container unless the one of the last boot is still right.
pub(super) async fn make<E: Engine>(engine: &E, step: &Step) -> anyhow::Result<()> {
    let name = step.container_name.as_str();
    let mut existing = aside::find(engine, name).await?;
    let mut old = aside::find(engine, &aside::name_of(name)).await?;
    if let (Rebuild::Always, Some(left)) = (step.rebuild, &old) {
        // An upgrade without a reboot was cut off; this boot makes a new one in any case
        if let Err(error) = engine.container_remove(&left.id, true).await {
            not_removed(step, &error);
        }
        old = None;
    }
    if existing.is_none() && old.is_none() {
        engine.container_create(name, step.request.clone()).await?;
        return Ok(());
    }
    let mut found = Found {
        image: engine.image(&step.request.config.image).await?,
        ..Found::default()
    };
    for other in step.shares() {
        if let Some(container) = aside::find(engine, other).await? {
            found.shared.insert(other.to_owned(), container);
        }
    }
    if let Some(old) = old {
        existing = Some(one_of(engine, step, existing, old, &found).await?);
    }
    let Some(existing) = existing else {
        return Ok(());
    };
    if !step.is_current(&existing, &found) {
        return replace(engine, step, &existing, &found).await;
    }
    if step.is_made_so(&existing, &found) {
        // `ros service upgrade` takes it away for a moment, and may have been cut off then
        let policy = &step.request.host_config.restart_policy;
        aside::set_policy(engine, &existing, policy).await?;
    }
    Ok(())
}

/// Where a replacement was cut off, here or in `ros service upgrade`, the old container is aside, next to the new one or alone: the one
/// that the service asks for stays.
async fn one_of<E: Engine>(
    engine: &E,
    step: &Step,
    new: Option<ContainerInspect>,
    mut old: ContainerInspect,
    found: &Found,
) -> anyhow::Result<ContainerInspect> {
    if let Some(new) = new {
        let is_new = step.is_new(&new, &old, found);
        let gone = if is_new { &old } else { &new };
        // It may run in User Docker. What does not end is killed by its removal.
        let _ = engine.container_stop(&gone.id, None).await;
        let removed = engine.container_remove(&gone.id, true).await;
        if is_new {
            if let Err(error) = removed {
                not_removed(step, &error);
            }
            return Ok(new);
        }
        removed?;
    }
    let policy = &step.request.host_config.restart_policy;
    aside::take_back(engine, &mut old, &step.container_name, policy).await?;
    log::info(&format!(
        "service: {}: its earlier container is there again: its replacement was cut off",
        step.name
    ));
    Ok(old)
}

fn not_removed(step: &Step, error: &engine_api::Error) {
    log::warning(&format!(
        "service: {}: its earlier container cannot be removed: {error}",
        step.name
    ));
}

/// Makes another container in the place of this one. One with something in it is put aside, and goes only when the other one is there:
/// a definition that no container can be made from costs nothing.
async fn replace<E: Engine>(
    engine: &E,
    step: &Step,
    existing: &ContainerInspect,
    found: &Found,
) -> anyhow::Result<()> {
    let replacement = step.replacement(existing, found);
    let name = step.container_name.as_str();
    if step.rebuild == Rebuild::Always {
        // What was told to end has its data in order. It does not run at a boot of System Docker, and whatever does not end is
        // killed by its removal.
        let _ = engine.container_stop(&existing.id, None).await;
        engine.container_remove(&existing.id, true).await?;
        let made = engine.container_create(name, replacement.request).await;
        made.context("its earlier container is removed, and the new one cannot be made")?;
        return Ok(());
    }
    aside::put(engine, existing, name).await?;
    if let Err(error) = engine.container_create(name, replacement.request).await {
        let words = back(engine, existing, name).await;
        bail!("its new container cannot be made: {error}; {words}");
    }
    log::info(&format!(
        "service: {}: its definition or its image has changed: it has a new container",
        step.name
    ));
    if !replacement.left.is_empty() {
        log::warning(&format!(
            "service: {}: its new container does not have volumes of the old one, which stay: {}",
            step.name,
            replacement.left.join(", ")
        ));
    }
    if let Err(error) = engine.container_remove(&existing.id, true).await {
        not_removed(step, &error);
    }
    Ok(())
}

/// What became of a container that was aside and takes its name again.
async fn back<E: Engine>(engine: &E, old: &ContainerInspect, name: &str) -> String {
    match aside::back(engine, old, name).await {
        Ok(()) => "its earlier container stays".to_owned(),
        Err(back) => format!("its earlier container does not run again: {back}"),
    }
}

/// Starts a service that runs from its image again, as the boot does: what was written into its container is gone. The old
/// container is aside until the new one runs. A service that is switched off stays so.
pub(super) async fn renew<E: Engine>(engine: &E, step: &Step) -> anyhow::Result<()> {
    let name = step.container_name.as_str();
    let policy = &step.request.host_config.restart_policy;
    let Some(old) = aside::find_again(engine, name, policy).await? else {
        return Ok(());
    };
    aside::put(engine, &old, name).await?;
    let new = async {
        let id = engine.container_create(name, step.request.clone()).await?;
        engine.container_start(&id).await
    };
    if let Err(error) = new.await {
        let _ = engine.container_remove(name, true).await; // absent when it could not be made
        let words = back(engine, &old, name).await;
        bail!("its new container does not start: {error}; {words}");
    }
    if let Err(error) = engine.container_remove(&old.id, true).await {
        not_removed(step, &error);
    }
    Ok(())
}

/// Whether the service has a container of an earlier boot that is not simply replaced: what it wrote is in it.
pub(super) async fn has_kept<E: Engine>(engine: &E, step: &Step) -> bool {
    let name = step.container_name.as_str();
    // An engine that does not answer must not cost data.
    step.rebuild != Rebuild::Always
        && (aside::find(engine, name)
            .await
            .map_or(true, |found| found.is_some_and(|found| has_run(&found)))
            || aside::find(engine, &aside::name_of(name))
                .await
                .map_or(true, |found| found.is_some()))
}

/// Docker writes the year 1 for a start that never was.
fn has_run(container: &ContainerInspect) -> bool {
    let started = &container.state.started_at;
    !started.is_empty() && !started.starts_with("0001-")
}

/// Whether there is a container of this name, or one that was put aside.
pub(super) async fn exists<E: Engine>(engine: &E, name: &str) -> bool {
    for name in [name, &aside::name_of(name)] {
        if matches!(aside::find(engine, name).await, Ok(Some(_))) {
            return true;
        }
    }
    false
}
