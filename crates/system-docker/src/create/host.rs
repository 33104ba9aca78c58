//! The part of the request that belongs to the host: mounts, ports, namespaces, rights and limits.

use engine_api::{HostConfig, LogConfig};

use super::flags::{Create, Limits};
use super::mount::mount;
use super::security::Security;
use super::values::{
    bytes, mapping, nano_cpus, pairs, restart_policy, split_once_or_empty, throttle, ulimit,
};

impl Create {
    pub(super) fn host_config(&self) -> anyhow::Result<HostConfig> {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let security = Security::read(&self.security_opt)?;
        let open_paths = security.open_paths.then(Vec::new);
        let host = HostConfig {
            binds: self
                .volumes
                .iter()
                .filter(|volume| volume.contains(':'))
                .cloned()
                .collect(),
            container_id_file: self.cidfile.clone().unwrap_or_default(),
            log_config: LogConfig {
                typ: self.log_driver.clone(),
                config: pairs("--log-opt", &self.log_options)?,
            },
            network_mode: self.network_mode().to_owned(),
            port_bindings: self.published()?,
            publish_all_ports: self.publish_all,
            restart_policy: restart_policy(&self.restart)?,
            auto_remove: self.rm,
            volume_driver: self.volume_driver.clone(),
            volumes_from: self.volumes_from.clone(),
            mounts: self
                .mounts
                .iter()
                .map(|text| mount(text))
                .collect::<anyhow::Result<_>>()?,
            tmpfs: self
                .tmpfs
                .iter()
                .map(|entry| split_once_or_empty(entry, ':'))
                .collect(),
            annotations: pairs("--annotation", &self.annotations)?,
            cap_add: some(&self.cap_add),
            cap_drop: some(&self.cap_drop),
            security_opt: some(&security.options),
            masked_paths: open_paths.clone(),
            readonly_paths: open_paths,
            links: some(&self.links),
            runtime: self.runtime.clone(),
            storage_opt: pairs("--storage-opt", &self.storage_options)?,
            dns: self.dns.clone(),
            dns_options: self.dns_option.clone(),
            dns_search: self.dns_search.clone(),
            extra_hosts: some(&self.add_host),
            group_add: some(&self.group_add),
            pid_mode: self.pid.clone(),
            ipc_mode: self.ipc.clone(),
            uts_mode: self.uts.clone(),
            userns_mode: self.userns.clone(),
            cgroupns_mode: self.cgroupns.clone(),
            privileged: self.privileged,
            readonly_rootfs: self.read_only,
            init: self.init.then_some(true),
            sysctls: pairs("--sysctl", &self.sysctls)?,
            devices: self.devices.iter().map(|device| mapping(device)).collect(),
            device_cgroup_rules: some(&self.device_cgroup_rules),
            ..HostConfig::default()
        };
        self.limits.apply(host)
    }
}

impl Limits {
    fn apply(&self, host: HostConfig) -> anyhow::Result<HostConfig> {
        let size =
            |flag, text: &Option<String>| text.as_deref().map_or(Ok(0), |text| bytes(flag, text));
        let rates = |flag: &str, list: &[String]| -> anyhow::Result<_> {
            list.iter().map(|entry| throttle(flag, entry)).collect()
        };
        Ok(HostConfig {
            memory: size("--memory", &self.memory)?,
            memory_reservation: size("--memory-reservation", &self.memory_reservation)?,
            memory_swap: size("--memory-swap", &self.memory_swap)?,
            memory_swappiness: self.memory_swappiness,
            oom_kill_disable: self.oom_kill_disable.then_some(true),
            oom_score_adj: self.oom_score_adj,
            shm_size: size("--shm-size", &self.shm_size)?,
            nano_cpus: self.cpus.as_deref().map_or(Ok(0), nano_cpus)?,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            blkio_weight: self.blkio_weight,
            blkio_device_read_bps: rates("--device-read-bps", &self.device_read_bps)?,
            blkio_device_write_bps: rates("--device-write-bps", &self.device_write_bps)?,
            blkio_device_read_iops: rates("--device-read-iops", &self.device_read_iops)?,
            blkio_device_write_iops: rates("--device-write-iops", &self.device_write_iops)?,
            cgroup_parent: self.cgroup_parent.clone(),
            pids_limit: self.pids_limit,
            ulimits: self
                .ulimits
                .iter()
                .map(|limit| ulimit(limit))
                .collect::<anyhow::Result<_>>()?,
            ..host
        })
    }
}
