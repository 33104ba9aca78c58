//! `docker update`: limits of a running container, and its restart policy.

use engine_api::{ContainerUpdate, Error, HostConfig, Result};

use super::create::validate;
use super::life::restart;
use super::{Container, Status};
use crate::Engine;

impl Engine {
    /// `POST /containers/{id}/update`; returns warnings.
    ///
    /// # Errors
    /// 400 for what makes no sense, 404, 409 when the container is being removed, 500 when the kernel refuses a limit.
    pub async fn container_update(
        &self,
        reference: &str,
        request: ContainerUpdate,
    ) -> Result<Vec<String>> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::conflict(format!(
                "Cannot update container {}: Container is marked for removal and cannot be \"update\".",
                container.id
            )));
        }
        let before = container.record().host_config.clone();
        let mut after = merged(&before, &request)?;
        if after.auto_remove && !matches!(after.restart_policy.name.as_str(), "" | "no") {
            return Err(Error::bad_parameter(
                "Restart policy cannot be updated because AutoRemove is enabled for the container",
            ));
        }
        let mut warnings = validate::host(&mut after)?;
        if container.status().is_alive() {
            self.wake_devices(&after).await?;
            warnings.extend(apply_limits(&container, &after)?);
        }
        container.change(|record| record.host_config = after)?;
        if !request.restart_policy.name.is_empty() {
            container.backoff.borrow_mut().reset();
        }
        self.publish(&container, "update");
        Ok(warnings)
    }
}

/// Writes the limits into the container's cgroup; returns what the machine cannot enforce.
fn apply_limits(container: &Container, host: &HostConfig) -> Result<Vec<String>> {
    let resources = crate::spec::resources(host)?;
    let group = sys::cgroup::Cgroup::at(&container.cgroup);
    runtime::apply_resources(&group, &resources).map_err(|error| {
        Error::server(format!("Cannot update container {}: {error}", container.id))
    })
}

/// The placement with what the request names; zero and empty mean "as it is".
fn merged(before: &HostConfig, request: &ContainerUpdate) -> Result<HostConfig> {
    let mut after = before.clone();
    if !request.restart_policy.name.is_empty() {
        restart::validate(&request.restart_policy)?;
        after.restart_policy = request.restart_policy.clone();
    }
    refuse_unchangeable(request)?;
    for (field, value) in [
        (&mut after.cpu_shares, request.cpu_shares),
        (&mut after.memory, request.memory),
        (&mut after.nano_cpus, request.nano_cpus),
        (&mut after.cpu_period, request.cpu_period),
        (&mut after.cpu_quota, request.cpu_quota),
        (&mut after.memory_reservation, request.memory_reservation),
        (&mut after.memory_swap, request.memory_swap),
    ] {
        if value != 0 {
            *field = value;
        }
    }
    if request.blkio_weight != 0 {
        after.blkio_weight = request.blkio_weight;
    }
    if !request.cpuset_cpus.is_empty() {
        after.cpuset_cpus.clone_from(&request.cpuset_cpus);
    }
    if !request.cpuset_mems.is_empty() {
        after.cpuset_mems.clone_from(&request.cpuset_mems);
    }
    if request.pids_limit.is_some() {
        after.pids_limit = request.pids_limit;
    }
    // A limit below the present swap limit needs a word on swap too.
    if request.memory > 0
        && request.memory_swap == 0
        && before.memory_swap > 0
        && request.memory > before.memory_swap
    {
        return Err(Error::bad_parameter(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        ));
    }
    Ok(after)
}

fn refuse_unchangeable(request: &ContainerUpdate) -> Result<()> {
    let refuse = |is_set: bool, field: &str| {
        if is_set {
            Err(Error::bad_parameter(format!("{field} cannot be updated")))
        } else {
            Ok(())
        }
    };
    refuse(!request.cgroup_parent.is_empty(), "CgroupParent")?;
    refuse(!request.devices.is_empty(), "Devices")?;
    refuse(
        request
            .device_cgroup_rules
            .as_ref()
            .is_some_and(|rules| !rules.is_empty()),
        "DeviceCgroupRules",
    )?;
    refuse(
        request
            .device_requests
            .as_ref()
            .is_some_and(|requests| !requests.is_empty()),
        "DeviceRequests",
    )?;
    refuse(!request.ulimits.is_empty(), "Ulimits")?;
    let throttled = !request.blkio_device_read_bps.is_empty()
        || !request.blkio_device_write_bps.is_empty()
        || !request.blkio_device_read_iops.is_empty()
        || !request.blkio_device_write_iops.is_empty()
        || !request.blkio_weight_device.is_empty();
    refuse(throttled, "block device limits")?;
    refuse(
        request.cpu_realtime_period != 0 || request.cpu_realtime_runtime != 0,
        "CPU real-time limits",
    )
}

#[cfg(test)]
mod tests {
    use engine_api::RestartPolicy;

    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let before = HostConfig {
            memory: 64 << 20,
            memory_swap: 128 << 20,
            cpu_shares: 5,
            ..HostConfig::default()
        };
        let request = ContainerUpdate {
            cpu_shares: 7,
            restart_policy: RestartPolicy {
                name: "always".into(),
                maximum_retry_count: 0,
            },
            ..ContainerUpdate::default()
        };
        let after = merged(&before, &request).unwrap();
        assert_eq!(
            (
                after.memory,
                after.cpu_shares,
                after.restart_policy.name.as_str()
            ),
            (64 << 20, 7, "always")
        );
        assert!(
            merged(
                &before,
                &ContainerUpdate {
                    memory: 256 << 20,
                    ..ContainerUpdate::default()
                }
            )
            .is_err()
        );
        assert!(
            merged(
                &before,
                &ContainerUpdate {
                    cgroup_parent: "/x".into(),
                    ..ContainerUpdate::default()
                }
            )
            .is_err()
        );
    }
}
