//! Refuses what Docker refuses and what this engine does not do: every field of a create request is either done or
//! answered with a 400; what Docker itself drops with a warning is dropped with the same warning.

use engine_api::{ContainerConfig, Error, HostConfig, Result};

use super::restart;

/// Smallest memory limit, in bytes: below it not even the runtime fits.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;

/// Checks the image-independent part of a container's configuration.
///
/// # Errors
/// 400 with Docker's words.
pub fn config(config: &ContainerConfig) -> Result<()> {
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return refuse(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    for variable in &config.env {
        if variable.is_empty() || variable.starts_with('=') {
            return refuse(format!("invalid environment variable: {variable}"));
        }
    }
    if config.hostname.len() > 64 {
        return refuse(format!(
            "invalid hostname {:?}: longer than 64 bytes",
            config.hostname
        ));
    }
    if config.args_escaped {
        return refuse("ArgsEscaped is for Windows only".to_owned());
    }
    if !config.stop_signal.is_empty() {
        super::signals::parse(&config.stop_signal)?;
    }
    for port in config.exposed_ports.keys() {
        super::ports::parse_exposed(port)?;
    }
    health(config)
}

fn health(config: &ContainerConfig) -> Result<()> {
    let Some(health) = &config.healthcheck else {
        return Ok(());
    };
    const MILLISECOND: i64 = 1_000_000;
    for (name, value) in [
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ] {
        if value != 0 && value < MILLISECOND {
            return refuse(format!("{name} in Healthcheck cannot be less than 1ms"));
        }
    }
    if health.retries < 0 {
        return refuse("Retries in Healthcheck cannot be negative".to_owned());
    }
    match health.test.first().map(String::as_str) {
        None | Some("NONE" | "CMD" | "CMD-SHELL") => Ok(()),
        Some(other) => refuse(format!(
            "unknown type in Healthcheck: {other:?}, use NONE, CMD or CMD-SHELL"
        )),
    }
}

/// Checks and tidies the placement; returns the warnings.
///
/// # Errors
/// 400 with Docker's words, or naming what this engine leaves out.
pub fn host(host: &mut HostConfig) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    left_out(host)?;
    restart::validate(&host.restart_policy)?;
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return refuse("can't create 'AutoRemove' container with restart policy".to_owned());
    }
    if host.shm_size < 0 {
        return refuse("SHM size can not be less than 0".to_owned());
    }
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return refuse(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    if host.annotations.contains_key("") {
        return refuse(
            "invalid Annotations: the empty string is not permitted as an annotation key"
                .to_owned(),
        );
    }
    namespaces(host)?;
    names_and_hosts(host)?;
    log(host)?;
    resources(host, &mut warnings)?;
    Ok(warnings)
}

/// Fields that only make sense elsewhere.
fn left_out(host: &HostConfig) -> Result<()> {
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
    set(
        "HostConfig.StorageOpt",
        !host.storage_opt.is_empty(),
        "the overlay driver has no per-container options",
    )?;
    set(
        "HostConfig.UsernsMode",
        !matches!(host.userns_mode.as_str(), "" | "host"),
        "use \"host\" or leave it empty",
    )?;
    set(
        "HostConfig.Isolation",
        !matches!(host.isolation.as_str(), "" | "default"),
        "isolation is for Windows",
    )?;
    set(
        "HostConfig.CpuCount",
        host.cpu_count != 0,
        "it is for Windows",
    )?;
    set(
        "HostConfig.CpuPercent",
        host.cpu_percent != 0,
        "it is for Windows",
    )?;
    set(
        "HostConfig.IOMaximumIOps",
        host.io_maximum_iops != 0,
        "it is for Windows",
    )?;
    set(
        "HostConfig.IOMaximumBandwidth",
        host.io_maximum_bandwidth != 0,
        "it is for Windows",
    )?;
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
    let requests = host.device_requests.as_deref().unwrap_or_default();
    if let Some(request) = requests.first() {
        return refuse(format!(
            "could not select device driver {:?} with capabilities: {:?}",
            request.driver, request.capabilities
        ));
    }
    if !matches!(
        host.runtime.as_str(),
        "" | super::RUNTIME_NAME | "io.containerd.runc.v2" | "system-docker"
    ) {
        return refuse(format!("unknown or invalid runtime name: {}", host.runtime));
    }
    for option in host.security_opt.iter().flatten() {
        crate::spec::security::parse_option(option)?;
    }
    Ok(())
}

fn namespaces(host: &HostConfig) -> Result<()> {
    let other_container = |mode: &str| {
        mode.strip_prefix("container:")
            .is_some_and(|name| !name.is_empty())
    };
    if !matches!(host.pid_mode.as_str(), "" | "host") && !other_container(&host.pid_mode) {
        return refuse(format!("invalid PID mode: {}", host.pid_mode));
    }
    if !matches!(
        host.ipc_mode.as_str(),
        "" | "none" | "private" | "shareable" | "host"
    ) && !other_container(&host.ipc_mode)
    {
        return refuse(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "host" | "private") {
        return refuse(format!(
            "invalid cgroup namespace mode: {}",
            host.cgroupns_mode
        ));
    }
    if host.network_mode.starts_with("container:") {
        if !other_container(&host.network_mode) {
            return refuse(
                "Invalid network mode: invalid container format container:<name|id>".to_owned(),
            );
        }
        if !host.port_bindings.is_empty() || host.publish_all_ports {
            return refuse(
                "conflicting options: port publishing and the container type network mode"
                    .to_owned(),
            );
        }
        if !host.dns.is_empty() {
            return refuse("conflicting options: dns and the network mode".to_owned());
        }
        if host
            .extra_hosts
            .as_ref()
            .is_some_and(|hosts| !hosts.is_empty())
        {
            return refuse(
                "conflicting options: custom host-to-IP mapping and the network mode".to_owned(),
            );
        }
    }
    if host.network_mode == "host" && host.sysctls.keys().any(|key| key.starts_with("net.")) {
        return refuse(
            "invalid sysctl: net.* is not allowed in the host's network namespace".to_owned(),
        );
    }
    Ok(())
}

fn names_and_hosts(host: &HostConfig) -> Result<()> {
    for entry in host.extra_hosts.iter().flatten() {
        let valid = entry.split_once([':', '=']).is_some_and(|(name, address)| {
            let address = address.trim_start_matches('[').trim_end_matches(']');
            !name.is_empty()
                && (address == "host-gateway" || address.parse::<std::net::IpAddr>().is_ok())
        });
        if !valid {
            return refuse(format!("bad format for add-host: {entry:?}"));
        }
    }
    for server in &host.dns {
        if server.parse::<std::net::IpAddr>().is_err() {
            return refuse(format!("{server} is not an ip address"));
        }
    }
    super::ports::parse_bindings(&host.port_bindings).map(|_| ())
}

fn log(host: &HostConfig) -> Result<()> {
    let kind = host.log_config.typ.as_str();
    if kind == "none" {
        return match host.log_config.config.keys().next() {
            Some(option) => refuse(format!("unknown log opt '{option}' for none log driver")),
            None => Ok(()),
        };
    }
    if !matches!(kind, "" | "json-file" | "local") {
        return refuse(format!(
            "logger: no log driver named '{kind}' is registered"
        ));
    }
    super::logging::limits(&host.log_config).map(|_| ())
}

fn resources(host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<()> {
    memory(host)?;
    processors(host)?;
    block_io(host)?;
    for limit in &host.ulimits {
        crate::spec::process::rlimit_name(&limit.name)?;
        if limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1) {
            return refuse(format!(
                "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                limit.soft, limit.hard
            ));
        }
    }
    // What cgroup v2 has no place for is dropped with Docker's warnings.
    if host.memory_swappiness.is_some_and(|value| value != -1) {
        if !(0..=100).contains(&host.memory_swappiness.unwrap_or_default()) {
            return refuse(format!(
                "Invalid value: {}, valid memory swappiness range is 0-100",
                host.memory_swappiness.unwrap_or_default()
            ));
        }
        warnings.push(dropped("memory swappiness", "Memory swappiness"));
    }
    host.memory_swappiness = None;
    if host.oom_kill_disable == Some(true) {
        warnings.push(dropped("OomKillDisable", "OomKillDisable"));
    }
    host.oom_kill_disable = None;
    if host.kernel_memory != 0 || host.kernel_memory_tcp != 0 {
        warnings.push(dropped("kernel memory limit", "Limitation"));
        (host.kernel_memory, host.kernel_memory_tcp) = (0, 0);
    }
    if host.pids_limit.is_some_and(|limit| limit < 0) {
        host.pids_limit = Some(-1);
    }
    Ok(())
}

fn dropped(what: &str, subject: &str) -> String {
    format!(
        "Your kernel does not support {what} capabilities or the cgroup is not mounted. {subject} discarded."
    )
}

fn memory(host: &HostConfig) -> Result<()> {
    if host.memory != 0 && host.memory < MEMORY_MIN {
        return refuse("Minimum memory limit allowed is 6MB".to_owned());
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return refuse(
            "Minimum memoryswap limit should be larger than memory limit, see usage".to_owned(),
        );
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return refuse(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
                .to_owned(),
        );
    }
    if host.memory_reservation != 0 && host.memory_reservation < MEMORY_MIN {
        return refuse("Minimum memory reservation allowed is 6MB".to_owned());
    }
    if host.memory > 0 && host.memory_reservation > host.memory {
        return refuse(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
                .to_owned(),
        );
    }
    Ok(())
}

fn processors(host: &HostConfig) -> Result<()> {
    if host.nano_cpus > 0 && (host.cpu_period != 0 || host.cpu_quota != 0) {
        let other = if host.cpu_period != 0 {
            "CPU Period"
        } else {
            "CPU Quota"
        };
        return refuse(format!(
            "Conflicting options: Nano CPUs and {other} cannot both be set."
        ));
    }
    let available = crate::system::online_cpus();
    let most = i64::try_from(available)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000_000);
    if host.nano_cpus < 0 || host.nano_cpus > most {
        return refuse(format!(
            "range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available"
        ));
    }
    if host.cpu_shares < 0 {
        return refuse(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares
        ));
    }
    if host.cpu_period != 0 && !(1000..=1_000_000).contains(&host.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
                .to_owned(),
        );
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".to_owned());
    }
    for (what, list, available) in [
        (
            "cpuset cpus",
            &host.cpuset_cpus,
            crate::system::online_cpu_list(),
        ),
        (
            "cpuset mems",
            &host.cpuset_mems,
            crate::system::online_memory_nodes(),
        ),
    ] {
        if list.is_empty() {
            continue;
        }
        let wanted = parse_list(list)
            .ok_or_else(|| Error::bad_parameter(format!("Invalid value {list} for {what}")))?;
        let present = parse_list(&available).unwrap_or_default();
        if !wanted.iter().all(|one| present.contains(one)) {
            let noun = if what == "cpuset cpus" {
                "CPUs"
            } else {
                "memory nodes"
            };
            return refuse(format!(
                "Requested {noun} are not available - requested {list}, available: {available}"
            ));
        }
    }
    Ok(())
}

/// Reads `0-2,7`.
fn parse_list(text: &str) -> Option<Vec<u32>> {
    /// CPUs the kernel can number at most; a longer range is nonsense and would only cost memory.
    const CPU_MAX: u32 = 8192;
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= CPU_MAX {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

fn block_io(host: &HostConfig) -> Result<()> {
    let weight_ok = |weight: u16| weight == 0 || (10..=1000).contains(&weight);
    if !weight_ok(host.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000".to_owned());
    }
    if let Some(device) = host
        .blkio_weight_device
        .iter()
        .find(|device| !weight_ok(device.weight))
    {
        return refuse(format!(
            "Range of blkio weight is from 10 to 1000: {}",
            device.path
        ));
    }
    Ok(())
}

fn refuse<T>(message: String) -> Result<T> {
    Err(Error::bad_parameter(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut HostConfig)) -> String {
        let mut host_config = HostConfig::default();
        change(&mut host_config);
        let error = host(&mut host_config).unwrap_err();
        assert_eq!(error.status, 400);
        error.message
    }

    #[test]
    fn docker_s_words_are_used() {
        assert_eq!(
            refused(|host| host.memory = 1024),
            "Minimum memory limit allowed is 6MB"
        );
        assert!(refused(|host| host.cpuset_cpus = "0-99999999".into()).contains("Invalid value"));
        assert_eq!(
            refused(|host| host.pid_mode = "mine".into()),
            "invalid PID mode: mine"
        );
        assert!(
            refused(|host| host.log_config.typ = "syslog".into())
                .contains("no log driver named 'syslog'")
        );
    }

    #[test]
    fn what_is_left_out_is_named() {
        assert!(refused(|host| host.links = Some(vec!["a:b".into()])).contains("Links"));
        assert!(refused(|host| host.runtime = "kata".into()).contains("kata"));
        assert!(
            refused(|host| host.device_requests = Some(vec![Default::default()]))
                .contains("device driver")
        );
    }

    #[test]
    fn cgroup_v1_knobs_are_dropped_with_a_warning() {
        let mut config = HostConfig {
            memory_swappiness: Some(10),
            oom_kill_disable: Some(true),
            ..HostConfig::default()
        };
        assert_eq!(host(&mut config).unwrap().len(), 2);
        assert_eq!(
            (config.memory_swappiness, config.oom_kill_disable),
            (None, None)
        );
    }
}
