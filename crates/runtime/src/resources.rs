//! Limits of a cgroup (v2) from the OCI specification, whose numbers are those of version 1.

use std::path::PathBuf;

use sys::cgroup::Cgroup;
use sys::device_filter::{self, Access, DeviceKind, Rule};

use super::error::{Error, Result};
use super::oci::{BlockIo, CpuResources, DeviceCgroup, MemoryResources, Resources, ThrottleDevice};

/// A file of the cgroup and what is written to it.
type Setting = (String, String);

/// Writes all limits. A controller that this machine or the parent group does not have is not an error: the returned texts name
/// what is not enforced.
///
/// # Errors
/// A value that the kernel refuses.
pub fn apply(group: &Cgroup, resources: &Resources) -> Result<Vec<String>> {
    let settings = settings(resources)?;
    let needed: Vec<&str> = settings
        .iter()
        .filter_map(|(file, _)| file.split('.').next())
        .collect();
    enable(group, &needed);
    let mut warnings = Vec::new();
    for (file, value) in settings {
        if group.path().join(&file).exists() {
            group.write(&file, &value)?;
        } else if !is_default(&value) {
            let controller = file.split('.').next().unwrap_or_default().to_owned();
            warnings.push(format!(
                "no limit {file}={value}: the cgroup has no {controller} controller for it"
            ));
        }
    }
    Ok(warnings)
}

/// Puts the device rules on the cgroup; without rules nothing is filtered.
///
/// # Errors
/// No right, or a kernel without BPF for cgroups: device nodes are then all that confines.
pub(super) fn filter_devices(group: &Cgroup, resources: &Resources) -> sys::Result<()> {
    if resources.devices.is_empty() {
        return Ok(());
    }
    let rules: Vec<Rule> = resources.devices.iter().map(device_rule).collect();
    device_filter::attach(group.open()?, &rules)
}

/// A default that needs no controller.
fn is_default(value: &str) -> bool {
    value == "max" || value.is_empty()
}

/// Asks the groups above, from the root of the tree, to hand down the controllers. Failing is found out by the file
/// that is then missing.
fn enable(group: &Cgroup, controllers: &[&str]) {
    let mut above: Vec<PathBuf> = group
        .path()
        .ancestors()
        .skip(1)
        .map(PathBuf::from)
        .collect();
    above.retain(|path| path.join("cgroup.subtree_control").exists());
    for path in above.iter().rev() {
        let _ = Cgroup::at(path).enable_controllers(controllers);
    }
}

fn settings(resources: &Resources) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut set = |file: &str, value: String| settings.push((file.to_owned(), value));
    if let Some(memory) = &resources.memory {
        memory_settings(memory, &mut set)?;
    }
    if let Some(cpu) = &resources.cpu {
        cpu_settings(cpu, &mut set);
    }
    if let Some(pids) = &resources.pids {
        set(
            "pids.max",
            if pids.limit > 0 {
                pids.limit.to_string()
            } else {
                "max".to_owned()
            },
        );
    }
    if let Some(block_io) = &resources.block_io {
        io_settings(block_io, &mut set);
    }
    for huge in &resources.hugepage_limits {
        set(
            &format!("hugetlb.{}.max", huge.page_size),
            huge.limit.to_string(),
        );
    }
    for (file, value) in &resources.unified {
        if file.contains('/') || !file.contains('.') {
            return Err(Error::other(format!("{file:?} is not a file of a cgroup")));
        }
        set(file, value.clone());
    }
    Ok(settings)
}

/// A negative number means: no limit.
fn bytes(value: i64) -> String {
    if value < 0 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

fn memory_settings(memory: &MemoryResources, set: &mut impl FnMut(&str, String)) -> Result<()> {
    // Swap first when it grows and last when it shrinks would matter for updates; the kernel checks neither against
    // the other in version 2.
    if let Some(limit) = memory.limit.filter(|limit| *limit != 0) {
        set("memory.max", bytes(limit));
    }
    if let Some(reservation) = memory.reservation.filter(|reservation| *reservation != 0) {
        set("memory.low", bytes(reservation));
    }
    if let Some(swap) = memory.swap.filter(|swap| *swap != 0) {
        // Version 1 counts memory and swap together.
        let value = match memory.limit.filter(|limit| *limit > 0) {
            _ if swap < 0 => "max".to_owned(),
            Some(limit) if swap >= limit => (swap - limit).to_string(),
            Some(limit) => {
                return Err(Error::other(format!(
                    "memory and swap {swap} is less than memory {limit}"
                )));
            }
            None => return Err(Error::other("a swap limit needs a memory limit")),
        };
        set("memory.swap.max", value);
    }
    Ok(())
}

fn cpu_settings(cpu: &CpuResources, set: &mut impl FnMut(&str, String)) {
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        set("cpu.weight", weight_of_shares(shares).to_string());
    }
    if cpu.quota.is_some_and(|quota| quota != 0) || cpu.period.is_some_and(|period| period != 0) {
        let quota = cpu
            .quota
            .filter(|quota| *quota > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        let period = cpu
            .period
            .filter(|period| *period != 0)
            .unwrap_or(DEFAULT_PERIOD);
        set("cpu.max", format!("{quota} {period}"));
    }
    if !cpu.cpus.is_empty() {
        set("cpuset.cpus", cpu.cpus.clone());
    }
    if !cpu.mems.is_empty() {
        set("cpuset.mems", cpu.mems.clone());
    }
}

/// The kernel's period of cpu.max, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// 2..262144 onto 1..10000, in a straight line, as the other runtimes do: 1024 becomes 39.
fn weight_of_shares(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn io_settings(block_io: &BlockIo, set: &mut impl FnMut(&str, String)) {
    // 10..1000 onto 1..10000.
    let weight_of = |weight: u16| 1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9_999 / 990;
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        set("io.weight", format!("default {}", weight_of(weight)));
    }
    for device in &block_io.weight_device {
        set(
            "io.weight",
            format!(
                "{}:{} {}",
                device.major,
                device.minor,
                weight_of(device.weight)
            ),
        );
    }
    let mut throttle = |devices: &[ThrottleDevice], key: &str| {
        for device in devices {
            set(
                "io.max",
                format!("{}:{} {key}={}", device.major, device.minor, device.rate),
            );
        }
    };
    throttle(&block_io.throttle_read_bps_device, "rbps");
    throttle(&block_io.throttle_write_bps_device, "wbps");
    throttle(&block_io.throttle_read_iops_device, "riops");
    throttle(&block_io.throttle_write_iops_device, "wiops");
}

fn device_rule(device: &DeviceCgroup) -> Rule {
    let number = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
    Rule {
        allow: device.allow,
        kind: match device.kind.as_str() {
            "b" => DeviceKind::Block,
            "c" | "u" => DeviceKind::Character,
            _ => DeviceKind::All,
        },
        major: number(device.major),
        minor: number(device.minor),
        access: Access::from_letters(&device.access),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::PidsResources;

    #[test]
    fn numbers_of_version_one_become_those_of_version_two() {
        assert_eq!(
            (
                weight_of_shares(2),
                weight_of_shares(1024),
                weight_of_shares(262_144)
            ),
            (1, 39, 10_000)
        );
        let resources = Resources {
            memory: Some(MemoryResources {
                limit: Some(100),
                swap: Some(150),
                reservation: Some(-1),
            }),
            cpu: Some(CpuResources {
                quota: Some(50_000),
                ..CpuResources::default()
            }),
            pids: Some(PidsResources { limit: -1 }),
            ..Resources::default()
        };
        let settings = settings(&resources).unwrap();
        let value = |file: &str| {
            settings
                .iter()
                .find(|(name, _)| name == file)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(value("memory.swap.max"), Some("50"));
        assert_eq!(value("memory.low"), Some("max"));
        assert_eq!(value("cpu.max"), Some("50000 100000"));
        assert_eq!(value("pids.max"), Some("max"));
    }

    #[test]
    fn impossible_limits_are_refused() {
        let swap = Resources {
            memory: Some(MemoryResources {
                limit: Some(100),
                swap: Some(50),
                reservation: None,
            }),
            ..Resources::default()
        };
        assert!(settings(&swap).is_err());
        let mut unified = Resources::default();
        unified
            .unified
            .insert("../cgroup.kill".to_owned(), "1".to_owned());
        assert!(settings(&unified).is_err());
    }
}
