//! A container that is put aside while another one takes its name, and the way back. It is what there was until the other one is
//! there: a step that is cut off anywhere costs nothing that was in it.

use crate::{ContainerInspect, ContainerUpdate, Engine, RestartPolicy, Result};

/// What a container of this name is called meanwhile.
#[must_use]
pub fn name_of(name: &str) -> String {
    format!("{name}-before-upgrade")
}

/// The container of this name; none when there is none.
///
/// # Errors
/// When the engine does not say it.
pub async fn find<E: Engine>(engine: &E, name: &str) -> Result<Option<ContainerInspect>> {
    match engine.container_inspect(name).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Stops a container and puts it aside; what lies there from a step that was cut off is removed. A reboot in between must not start
/// both: it has no restart policy then.
///
/// # Errors
/// When the engine cannot do it: the container is as it was, as far as the engine does that.
pub async fn put<E: Engine>(engine: &E, container: &ContainerInspect, name: &str) -> Result<()> {
    let none = RestartPolicy {
        name: "no".to_owned(),
        ..RestartPolicy::default()
    };
    let put = async {
        set_policy(engine, container, &none).await?;
        engine.container_stop(&container.id, None).await?;
        let aside = name_of(name);
        if let Some(left) = find(engine, &aside).await? {
            engine.container_remove(&left.id, true).await?;
        }
        engine.container_rename(&container.id, &aside).await
    };
    let done = put.await;
    if done.is_err() {
        // The first failure is the one to tell
        let _ = revive(engine, container).await;
    }
    done
}

/// Gives a container that was put aside its name, its restart policy, and its run if it ran.
///
/// # Errors
/// When the engine cannot do it.
pub async fn back<E: Engine>(engine: &E, container: &ContainerInspect, name: &str) -> Result<()> {
    engine.container_rename(&container.id, name).await?;
    revive(engine, container).await
}

async fn revive<E: Engine>(engine: &E, container: &ContainerInspect) -> Result<()> {
    let policy = &container.host_config.restart_policy;
    if has_policy(policy) {
        update(engine, &container.id, policy).await?;
    }
    if container.state.running {
        engine.container_start(&container.id).await?;
    }
    Ok(())
}

/// The container of this name, or the one that a step that was cut off has left aside, which has its name again then.
///
/// # Errors
/// When the engine cannot do it.
pub async fn find_again<E: Engine>(
    engine: &E,
    name: &str,
    policy: &RestartPolicy,
) -> Result<Option<ContainerInspect>> {
    if let Some(container) = find(engine, name).await? {
        return Ok(Some(container));
    }
    let Some(mut left) = find(engine, &name_of(name)).await? else {
        return Ok(None);
    };
    take_back(engine, &mut left, name, policy).await?;
    Ok(Some(left))
}

/// Gives a container that was left aside its name, and the restart policy that was taken from it.
///
/// # Errors
/// When the engine cannot do it.
pub async fn take_back<E: Engine>(
    engine: &E,
    left: &mut ContainerInspect,
    name: &str,
    policy: &RestartPolicy,
) -> Result<()> {
    set_policy(engine, left, policy).await?;
    left.host_config.restart_policy = policy.clone();
    engine.container_rename(&left.id, name).await
}

/// Gives a container this restart policy, unless it has it.
///
/// # Errors
/// When the engine cannot do it.
pub async fn set_policy<E: Engine>(
    engine: &E,
    container: &ContainerInspect,
    policy: &RestartPolicy,
) -> Result<()> {
    let had = &container.host_config.restart_policy;
    if had == policy || (!has_policy(had) && !has_policy(policy)) {
        return Ok(());
    }
    update(engine, &container.id, policy).await
}

/// Engines write none as an empty name or as `no`.
fn has_policy(policy: &RestartPolicy) -> bool {
    !matches!(policy.name.as_str(), "" | "no")
}

async fn update<E: Engine>(engine: &E, id: &str, policy: &RestartPolicy) -> Result<()> {
    let mut restart_policy = policy.clone();
    if restart_policy.name.is_empty() {
        // An empty name changes nothing
        "no".clone_into(&mut restart_policy.name);
    }
    let update = ContainerUpdate {
        restart_policy,
        ..ContainerUpdate::default()
    };
    engine.container_update(id, update).await
}
