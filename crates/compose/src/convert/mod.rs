//! One compose service to the request its container is created from.

mod holders;
mod mounts;
mod published;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use config::cloud_config::StringMap;
use config::service::{DETACH, DependsOn, Healthcheck, Ulimit};
use config::{Location, Problem, Service};
use engine_api::{
    ContainerConfig, CreateRequest, DeviceMapping, HealthConfig, HostConfig, LogConfig,
    RestartPolicy, Ulimit as Limit,
};

use crate::environment::environment;
use crate::key::path;
use crate::quantity;

/// Labels docker compose puts on its containers; with them `docker compose ps` and `system-docker ps --filter` find them.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
/// The project's name, RancherOS's.
const PROJECT_NAME: &str = "os";

/// A request, unless the service cannot have one, and what was wrong.
#[derive(Debug)]
pub struct Converted {
    /// The request; `None` when the service has no image.
    pub request: Option<CreateRequest>,
    /// What was left out, located at the service.
    pub problems: Vec<Problem>,
}

/// What a service can refer to.
#[derive(Debug)]
pub struct Around<'a> {
    /// Variables of the machine.
    pub variables: StringMap,
    /// All services.
    pub services: &'a BTreeMap<String, Service>,
}

/// Converts the service `name`; a value that makes no sense is reported and left out.
pub fn create_request(name: &str, service: &Service, around: &Around<'_>) -> Converted {
    let mut converter = Converter {
        name,
        service,
        around,
        at: service.at.clone().unwrap_or_else(Location::built_in),
        problems: Vec::new(),
    };
    let request = converter.request();
    converter.dependencies();
    converter.report_ignored();
    Converted {
        request,
        problems: converter.problems,
    }
}

struct Converter<'s> {
    name: &'s str,
    service: &'s Service,
    around: &'s Around<'s>,
    at: Location,
    problems: Vec<Problem>,
}

impl Converter<'_> {
    fn request(&mut self) -> Option<CreateRequest> {
        let Some(image) = self.service.image.clone().filter(|image| !image.is_empty()) else {
            self.error("image", "the service has no image, it is left out");
            return None;
        };
        let mut config = self.config(image);
        let mut host_config = self.host_config();
        self.limits(&mut host_config);
        self.volumes(&mut config, &mut host_config);
        self.volumes_from(&config, &mut host_config);
        self.ports(&mut config, &mut host_config);
        Some(CreateRequest {
            config,
            host_config,
            ..CreateRequest::default()
        })
    }

    fn error(&mut self, key: &str, message: impl Into<String>) {
        let path = format!("{}.{key}", path(self.name));
        self.problems.push(Problem::error(&self.at, path, message));
    }

    fn config(&mut self, image: String) -> ContainerConfig {
        let service = self.service;
        let mut labels = values(&[&service.labels]);
        labels.insert(PROJECT.to_owned(), PROJECT_NAME.to_owned());
        labels.insert(SERVICE.to_owned(), self.name.to_owned());
        ContainerConfig {
            image,
            cmd: service.command.clone(),
            entrypoint: service.entrypoint.clone(),
            env: environment(self.name, &service.environment, &self.around.variables),
            hostname: service.hostname.clone().unwrap_or_default(),
            domainname: service.domainname.clone().unwrap_or_default(),
            user: service.user.clone().unwrap_or_default(),
            working_dir: service.working_dir.clone().unwrap_or_default(),
            tty: service.tty.unwrap_or(false),
            open_stdin: service.stdin_open.unwrap_or(false),
            stop_signal: service.stop_signal.clone().unwrap_or_default(),
            stop_timeout: self.seconds("stop_grace_period", service.stop_grace_period.as_deref()),
            healthcheck: service
                .healthcheck
                .as_ref()
                .map(|check| self.healthcheck(check)),
            labels,
            ..ContainerConfig::default()
        }
    }

    fn host_config(&mut self) -> HostConfig {
        let service = self.service;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        HostConfig {
            network_mode: container_mode(service.network()),
            pid_mode: container_mode(service.pid.as_deref()),
            ipc_mode: container_mode(service.ipc.as_deref()),
            uts_mode: text(&service.uts),
            userns_mode: text(&service.userns_mode),
            cgroupns_mode: text(&service.cgroup),
            cgroup_parent: text(&service.cgroup_parent),
            privileged: service.privileged.unwrap_or(false),
            readonly_rootfs: service.read_only.unwrap_or(false),
            cap_add: some(&service.cap_add),
            cap_drop: some(&service.cap_drop),
            security_opt: some(&service.security_opt),
            group_add: some(&service.group_add),
            extra_hosts: some(&service.extra_hosts),
            device_cgroup_rules: some(&service.device_cgroup_rules),
            dns: service.dns.clone(),
            dns_options: service.dns_opts.clone(),
            dns_search: service.dns_search.clone(),
            devices: service.devices.iter().map(|entry| device(entry)).collect(),
            restart_policy: self.restart(),
            log_config: LogConfig {
                typ: service.logs_by().unwrap_or_default().to_owned(),
                config: values(&[&service.log_opt, &service.logging.options]),
            },
            sysctls: values(&[&service.sysctls]),
            oom_score_adj: service.oom_score_adj.unwrap_or(0),
            init: service.init,
            ..HostConfig::default()
        }
    }

    fn limits(&mut self, host: &mut HostConfig) {
        let service = self.service;
        host.memory = self.bytes("mem_limit", service.mem_limit.as_deref());
        host.memory_swap = self.bytes("memswap_limit", service.memswap_limit.as_deref());
        host.memory_reservation = self.bytes("mem_reservation", service.mem_reservation.as_deref());
        host.shm_size = self.bytes("shm_size", service.shm_size.as_deref());
        host.memory_swappiness = service.mem_swappiness;
        host.oom_kill_disable = service.oom_kill_disable;
        host.pids_limit = service.pids_limit;
        host.cpu_shares = service.cpu_shares.unwrap_or(0);
        host.cpu_quota = service.cpu_quota.unwrap_or(0);
        host.cpu_period = service.cpu_period.unwrap_or(0);
        host.nano_cpus = self.nano_cpus();
        host.cpuset_cpus = service.cpuset.clone().unwrap_or_default();
        if let Some(weight) = service.blkio_weight {
            match u16::try_from(weight) {
                Ok(weight) => host.blkio_weight = weight,
                Err(_) => self.error("blkio_weight", "not between 10 and 1000"),
            }
        }
        for (name, ulimit) in &service.ulimits {
            let (soft, hard) = match ulimit {
                Ulimit::Both(n) => (*n, *n),
                Ulimit::Each { soft, hard } => (*soft, *hard),
                Ulimit::Invalid(_) => {
                    self.error(
                        &format!("ulimits.{name}"),
                        "expected a number, or soft and hard",
                    );
                    continue;
                }
            };
            host.ulimits.push(Limit {
                name: name.clone(),
                soft,
                hard,
            });
        }
    }

    /// Billionths of a processor.
    fn nano_cpus(&mut self) -> i64 {
        /// More than any machine has.
        const MOST: f64 = 10_000.0;
        let Some(text) = self.service.cpus.as_deref() else {
            return 0;
        };
        match text.trim().parse::<f64>() {
            // Engines refuse both.
            Ok(_) if self.service.cpu_quota.is_some() || self.service.cpu_period.is_some() => {
                self.error("cpus", "cpu_quota and cpu_period say it already");
                0
            }
            Ok(cpus) if (0.0..MOST).contains(&cpus) => (cpus * 1e9).round() as i64,
            _ => {
                self.error("cpus", format!("{text:?} is not a number of processors"));
                0
            }
        }
    }

    fn restart(&mut self) -> RestartPolicy {
        let Some(text) = self.service.restart.as_deref() else {
            return RestartPolicy::default();
        };
        let (name, count) = text.split_once(':').unwrap_or((text, "0"));
        let name = match name {
            "no" | "false" => "no",
            "true" => "always",
            other => other,
        };
        match (name, count.parse::<i64>()) {
            ("no" | "always" | "unless-stopped" | "on-failure", Ok(count)) => RestartPolicy {
                name: name.to_owned(),
                maximum_retry_count: count,
            },
            _ => {
                self.error(
                    "restart",
                    format!("{text:?} is not no, always, unless-stopped or on-failure[:count]"),
                );
                RestartPolicy::default()
            }
        }
    }

    fn healthcheck(&mut self, check: &Healthcheck) -> HealthConfig {
        if check.disable == Some(true) {
            return HealthConfig {
                test: vec!["NONE".to_owned()],
                ..HealthConfig::default()
            };
        }
        let test = match check.test.as_slice() {
            [] => Vec::new(),
            [line] if line != "NONE" => vec!["CMD-SHELL".to_owned(), line.clone()],
            words => words.to_vec(),
        };
        HealthConfig {
            test,
            interval: self.nanoseconds("healthcheck.interval", check.interval.as_deref()),
            timeout: self.nanoseconds("healthcheck.timeout", check.timeout.as_deref()),
            start_period: self
                .nanoseconds("healthcheck.start_period", check.start_period.as_deref()),
            retries: check.retries.unwrap_or(0),
            ..HealthConfig::default()
        }
    }

    fn bytes(&mut self, key: &str, text: Option<&str>) -> i64 {
        let Some(text) = text else { return 0 };
        quantity::bytes(text).unwrap_or_else(|| {
            self.error(key, format!("{text:?} is not a size such as 64m"));
            0
        })
    }

    fn seconds(&mut self, key: &str, text: Option<&str>) -> Option<i64> {
        let text = text?;
        let Some(duration) = quantity::duration(text) else {
            self.error(key, format!("{text:?} is not a time such as 10s"));
            return None;
        };
        i64::try_from(duration.as_secs()).ok()
    }

    fn nanoseconds(&mut self, key: &str, text: Option<&str>) -> i64 {
        let Some(text) = text else { return 0 };
        let Some(duration) = quantity::duration(text) else {
            self.error(key, format!("{text:?} is not a time such as 10s"));
            return 0;
        };
        i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
    }

    fn warn(&mut self, key: &str, message: impl Into<String>) {
        let path = format!("{}.{key}", path(self.name));
        self.problems
            .push(Problem::warning(&self.at, path, message));
    }

    /// What is waited for is a service's start, or its end where its label says so.
    fn dependencies(&mut self) {
        let conditions = match &self.service.depends_on {
            Some(DependsOn::Conditions(conditions)) => conditions,
            Some(DependsOn::Invalid(_)) => {
                return self.error("depends_on", "expected names of services");
            }
            _ => return,
        };
        for (name, dependency) in conditions {
            let condition = dependency
                .as_ref()
                .and_then(|dependency| dependency.condition.as_deref())
                .unwrap_or("service_started");
            let ends = self.around.services.get(name);
            let ends = ends.is_some_and(Service::waits_for_exit);
            let key = format!("depends_on.{name}");
            match condition {
                "service_started" => {}
                "service_completed_successfully" if ends => {}
                "service_completed_successfully" => self.warn(
                    &key,
                    format!(
                        "its end is not waited for, unless {name} has the label {DETACH}: \"false\""
                    ),
                ),
                other => self.warn(&key, format!("{other}: only its start is waited for")),
            }
        }
    }

    /// Keys libcompose took and this system has no use for.
    fn report_ignored(&mut self) {
        let service = self.service;
        let ignored = [
            ("external_links", !service.external_links.is_empty()),
            ("links", !service.links.is_empty()),
            ("mac_address", service.mac_address.is_some()),
        ];
        for (key, present) in ignored {
            if present {
                self.warn(key, "not supported for system services, it is ignored");
            }
        }
    }
}

/// `service:NAME` is compose's word for `container:NAME`.
fn container_mode(mode: Option<&str>) -> String {
    let mode = mode.unwrap_or("");
    match mode.strip_prefix("service:") {
        Some(name) => format!("container:{name}"),
        None => mode.to_owned(),
    }
}

fn device(entry: &str) -> DeviceMapping {
    let mut parts = entry.splitn(3, ':');
    let host = parts.next().unwrap_or("").to_owned();
    let container = parts.next().map_or_else(|| host.clone(), str::to_owned);
    DeviceMapping {
        path_on_host: host,
        path_in_container: container,
        cgroup_permissions: parts.next().unwrap_or("rwm").to_owned(),
    }
}

/// A later value of a name wins.
fn values(maps: &[&BTreeMap<String, Option<String>>]) -> BTreeMap<String, String> {
    maps.iter()
        .copied()
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
        .collect()
}
