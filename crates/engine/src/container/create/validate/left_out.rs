//! Fields of a create request that this engine leaves out, each with the reason.

use engine_api::{Error, HostConfig, Result};

use super::refuse;

/// Fields that only make sense elsewhere.
pub(super) fn left_out(host: &HostConfig) -> Result<()> {
    let set = |field: &str, is_set: bool, why: &str| {
        if is_set {
            refuse(format!("{field} is not supported: {why}"))
        } else {
            Ok(())
        }
    };
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    set(
        "HostConfig.Links",
        some(&host.links),
        "links are Docker's legacy; put the containers on a user-defined network",
    )?;
    storage(host)?;
    set(
        "HostConfig.UsernsMode",
        !matches!(host.userns_mode.as_str(), "" | "host"),
        "use \"host\" or leave it empty",
    )?;
    if !matches!(host.isolation.as_str(), "" | "default") {
        return refuse(format!(
            "Invalid isolation: {:?} - linux only supports 'default'",
            host.isolation
        ));
    }
    let for_windows = [
        ("HostConfig.CpuCount", host.cpu_count != 0),
        ("HostConfig.CpuPercent", host.cpu_percent != 0),
        ("HostConfig.IOMaximumIOps", host.io_maximum_iops != 0),
        (
            "HostConfig.IOMaximumBandwidth",
            host.io_maximum_bandwidth != 0,
        ),
    ];
    for (field, is_set) in for_windows {
        set(field, is_set, "it is for Windows")?;
    }
    set(
        "HostConfig.Cgroup",
        !host.cgroup.is_empty(),
        "use CgroupParent",
    )?;
    let realtime = host.cpu_realtime_period != 0 || host.cpu_realtime_runtime != 0;
    set(
        "HostConfig.CpuRealtimePeriod",
        realtime,
        "the kernel does not support CPU real-time scheduler",
    )?;
    devices(host)?;
    if !matches!(
        host.runtime.as_str(),
        "" | crate::container::RUNTIME_NAME | "io.containerd.runc.v2" | "system-docker"
    ) {
        return refuse(format!("unknown or invalid runtime name: {}", host.runtime));
    }
    for option in host.security_opt.iter().flatten() {
        crate::spec::security::parse_option(option)?;
    }
    Ok(())
}

/// Docker's words for devices that a driver is to choose: there is no such driver here.
fn devices(host: &HostConfig) -> Result<()> {
    let requests = host.device_requests.as_deref().unwrap_or_default();
    let Some(request) = requests.first() else {
        return Ok(());
    };
    let alternatives = request.capabilities.iter();
    let capabilities: Vec<String> = alternatives
        .map(|all| format!("[{}]", all.join(" ")))
        .collect();
    refuse(format!(
        "could not select device driver {:?} with capabilities: [{}]",
        request.driver,
        capabilities.join(" ")
    ))
}

/// Docker's words, and its status, for a storage driver without quotas.
fn storage(host: &HostConfig) -> Result<()> {
    let mut options = host.storage_opt.keys();
    if let Some(unknown) = options.find(|option| !option.eq_ignore_ascii_case("size")) {
        return Err(Error::server(format!("Unknown option {unknown}")));
    }
    if host.storage_opt.is_empty() {
        return Ok(());
    }
    Err(Error::server(
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
    ))
}
