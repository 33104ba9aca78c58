//! Limits: memory, processors, block devices, rlimits; what cgroup v2 has no place for is dropped with a warning.

use engine_api::{Error, HostConfig, Result};

use super::refuse;

/// Smallest memory limit, in bytes: below it not even the runtime fits.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;

pub(super) fn resources(host: &mut HostConfig, warnings: &mut Vec<String>) -> Result<()> {
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
    // Both are "unlimited", which is what a container has anyway; inspect shows null, as Docker's.
    host.pids_limit = host.pids_limit.filter(|limit| *limit > 0);
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
            "Range of CPUs is from 0.01 to {available}.00, as there are only {available} CPUs available"
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
