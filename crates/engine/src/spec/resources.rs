//! Limits of the cgroup.

use std::path::Path;

use engine_api::{Error, HostConfig, Result};
use runtime::oci::{
    BlockIo, CpuResources, MemoryResources, PidsResources, Resources, ThrottleDevice, WeightDevice,
};
use rustix::fs::FileType;

/// CFS period for `NanoCpus`, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// The limits that the placement asks for; without device rules.
///
/// # Errors
/// 400 when a block device is not there.
pub(crate) fn resources(host: &HostConfig) -> Result<Resources> {
    Ok(Resources {
        memory: memory(host),
        cpu: cpu(host),
        pids: host
            .pids_limit
            .filter(|limit| *limit != 0)
            .map(|limit| PidsResources { limit }),
        block_io: block_io(host)?,
        ..Resources::default()
    })
}

fn nonzero(value: i64) -> Option<i64> {
    (value != 0).then_some(value)
}

fn memory(host: &HostConfig) -> Option<MemoryResources> {
    // As Docker: with a limit and no word on swap, as much swap again.
    let swap = match (host.memory, host.memory_swap) {
        (limit @ 1.., 0) => Some(limit.saturating_mul(2)),
        (_, swap) => nonzero(swap),
    };
    let memory = MemoryResources {
        limit: nonzero(host.memory),
        reservation: nonzero(host.memory_reservation),
        swap,
    };
    (memory != MemoryResources::default()).then_some(memory)
}

fn cpu(host: &HostConfig) -> Option<CpuResources> {
    let (quota, period) = if host.nano_cpus > 0 {
        let share = i128::from(host.nano_cpus) * i128::from(PERIOD) / 1_000_000_000;
        (i64::try_from(share).ok(), Some(PERIOD))
    } else {
        (
            nonzero(host.cpu_quota),
            u64::try_from(host.cpu_period)
                .ok()
                .filter(|period| *period > 0),
        )
    };
    let cpu = CpuResources {
        shares: u64::try_from(host.cpu_shares)
            .ok()
            .filter(|shares| *shares > 0),
        quota,
        period,
        cpus: host.cpuset_cpus.clone(),
        mems: host.cpuset_mems.clone(),
    };
    (cpu != CpuResources::default()).then_some(cpu)
}

fn block_io(host: &HostConfig) -> Result<Option<BlockIo>> {
    let rates = |list: &[engine_api::ThrottleDevice]| -> Result<Vec<ThrottleDevice>> {
        let one = |device: &engine_api::ThrottleDevice| {
            block_device(&device.path).map(|(major, minor)| ThrottleDevice {
                major,
                minor,
                rate: device.rate,
            })
        };
        list.iter().map(one).collect()
    };
    let weights = host.blkio_weight_device.iter().map(|device| {
        block_device(&device.path).map(|(major, minor)| WeightDevice {
            major,
            minor,
            weight: device.weight,
        })
    });
    let block_io = BlockIo {
        weight: (host.blkio_weight != 0).then_some(host.blkio_weight),
        weight_device: weights.collect::<Result<_>>()?,
        throttle_read_bps_device: rates(&host.blkio_device_read_bps)?,
        throttle_write_bps_device: rates(&host.blkio_device_write_bps)?,
        throttle_read_iops_device: rates(&host.blkio_device_read_iops)?,
        throttle_write_iops_device: rates(&host.blkio_device_write_iops)?,
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

fn block_device(path: &str) -> Result<(u32, u32)> {
    // A child has looked at it (`wake_devices`): the thread of all containers asks no file system, which may not answer.
    let (kind, number) = sys::fs::node_in_cache(Path::new(path))
        .map_err(|error| Error::bad_parameter(format!("block device: {error}")))?;
    if kind != FileType::BlockDevice {
        return Err(Error::bad_parameter(format!(
            "{path} is not a block device"
        )));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_dockers_rules() {
        let host = HostConfig {
            memory: 64 << 20,
            nano_cpus: 1_500_000_000,
            pids_limit: Some(100),
            cpuset_cpus: "0".into(),
            ..HostConfig::default()
        };
        let found = resources(&host).unwrap();
        let memory = found.memory.unwrap();
        assert_eq!(
            (memory.limit, memory.swap),
            (Some(64 << 20), Some(128 << 20))
        );
        let cpu = found.cpu.unwrap();
        assert_eq!(
            (cpu.quota, cpu.period, cpu.cpus.as_str()),
            (Some(150_000), Some(100_000), "0")
        );
        assert_eq!(found.pids.unwrap().limit, 100);
    }

    #[test]
    fn nothing_asked_means_nothing_set() {
        assert_eq!(
            resources(&HostConfig::default()).unwrap(),
            Resources::default()
        );
    }

    #[test]
    fn a_throttled_device_must_be_a_block_device() {
        let host = HostConfig {
            blkio_device_read_bps: vec![engine_api::ThrottleDevice {
                path: "/dev/null".into(),
                rate: 1,
            }],
            ..HostConfig::default()
        };
        assert_eq!(
            resources(&host).unwrap_err().message,
            "/dev/null is not a block device"
        );
    }
}
