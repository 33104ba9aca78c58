//! From the flags of `run` and `create` to the request that the Engine API takes.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use clap::Args;
use engine_api::{
    ContainerConfig, CreateRequest, DeviceMapping, HostConfig, LogConfig, PortBinding,
    RestartPolicy, Ulimit,
};
use serde_json::json;

/// The flags that describe a container.
#[derive(Debug, Default, Args)]
pub(crate) struct Create {
    /// Keep standard input open
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Remove it when it ends
    #[arg(long)]
    pub(crate) rm: bool,
    /// Its name
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Set a variable, as NAME=VALUE
    #[arg(short, long = "env")]
    environment: Vec<String>,
    /// Bind mount or volume, as SOURCE:TARGET[:OPTIONS]
    #[arg(short, long = "volume")]
    volumes: Vec<String>,
    /// Mount the volumes of another container
    #[arg(long)]
    volumes_from: Vec<String>,
    /// Mount a tmpfs, as PATH[:OPTIONS]
    #[arg(long)]
    tmpfs: Vec<String>,
    /// Publish a port, as [[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]
    #[arg(short, long = "publish")]
    publish: Vec<String>,
    /// Publish all exposed ports
    #[arg(short = 'P', long)]
    publish_all: bool,
    /// Network: bridge, host, none, container:NAME or a network's name
    #[arg(long, visible_alias = "net")]
    network: Option<String>,
    /// Name servers
    #[arg(long)]
    dns: Vec<String>,
    /// Line of /etc/hosts, as NAME:ADDRESS
    #[arg(long)]
    add_host: Vec<String>,
    /// Working directory
    #[arg(short, long, default_value = "")]
    workdir: String,
    /// User, as NAME or UID[:GID]
    #[arg(short, long, default_value = "")]
    user: String,
    /// Host name
    #[arg(short = 'h', long, default_value = "")]
    hostname: String,
    /// Program to run in place of the image's
    #[arg(long)]
    entrypoint: Option<String>,
    /// Label, as KEY=VALUE
    #[arg(short, long = "label")]
    labels: Vec<String>,
    /// Everything that root may do
    #[arg(long)]
    privileged: bool,
    /// Add a capability
    #[arg(long)]
    cap_add: Vec<String>,
    /// Take a capability away
    #[arg(long)]
    cap_drop: Vec<String>,
    /// Security option, such as no-new-privileges
    #[arg(long)]
    security_opt: Vec<String>,
    /// A device of the host, as HOST[:CONTAINER[:rwm]]
    #[arg(long = "device")]
    devices: Vec<String>,
    /// Restart policy: no, always, unless-stopped or on-failure[:N]
    #[arg(long, default_value = "no")]
    restart: String,
    /// Most memory, such as 64m
    #[arg(short, long)]
    memory: Option<String>,
    /// Most processors, such as 1.5
    #[arg(long)]
    cpus: Option<String>,
    /// Most processes
    #[arg(long)]
    pids_limit: Option<i64>,
    /// Resource limit, as NAME=SOFT[:HARD]
    #[arg(long = "ulimit")]
    ulimits: Vec<String>,
    /// Kernel setting, as KEY=VALUE
    #[arg(long = "sysctl")]
    sysctls: Vec<String>,
    /// Size of /dev/shm
    #[arg(long)]
    shm_size: Option<String>,
    /// PID namespace: host or container:NAME
    #[arg(long, default_value = "")]
    pid: String,
    /// IPC namespace: host, private, shareable, none or container:NAME
    #[arg(long, default_value = "")]
    ipc: String,
    /// UTS namespace: host
    #[arg(long, default_value = "")]
    uts: String,
    /// User namespace: host
    #[arg(long, default_value = "")]
    userns: String,
    /// Read-only root file system
    #[arg(long)]
    read_only: bool,
    /// Run an init that reaps and passes signals on
    #[arg(long)]
    init: bool,
    /// Signal that stops it
    #[arg(long, default_value = "")]
    stop_signal: String,
    /// Log driver
    #[arg(long, default_value = "")]
    log_driver: String,
    /// Option of the log driver, as KEY=VALUE
    #[arg(long = "log-opt")]
    log_options: Vec<String>,
    /// The image
    pub(crate) image: String,
    /// What to run in it
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Create {
    /// The request; `attach` says that this client waits for the output.
    ///
    /// # Errors
    /// Names the flag whose value is wrong.
    pub(crate) fn request(&self, attach: bool) -> anyhow::Result<CreateRequest> {
        let config = ContainerConfig {
            hostname: self.hostname.clone(),
            user: self.user.clone(),
            attach_stdin: attach && self.interactive,
            attach_stdout: attach,
            attach_stderr: attach,
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: attach && self.interactive,
            env: self
                .environment
                .iter()
                .filter_map(|variable| with_value(variable))
                .collect(),
            cmd: (!self.command.is_empty()).then(|| self.command.clone()),
            image: self.image.clone(),
            working_dir: self.workdir.clone(),
            entrypoint: self
                .entrypoint
                .as_ref()
                .map(|program| vec![program.clone()]),
            labels: pairs("--label", &self.labels)?,
            stop_signal: self.stop_signal.clone(),
            exposed_ports: self
                .published()?
                .into_keys()
                .map(|port| (port, json!({})))
                .collect(),
            volumes: self
                .volumes
                .iter()
                .filter(|v| !v.contains(':'))
                .map(|v| (v.clone(), json!({})))
                .collect(),
            ..ContainerConfig::default()
        };
        Ok(CreateRequest {
            config,
            host_config: self.host_config()?,
            ..CreateRequest::default()
        })
    }

    fn host_config(&self) -> anyhow::Result<HostConfig> {
        let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
        let bytes_of =
            |flag, text: &Option<String>| text.as_deref().map_or(Ok(0), |text| bytes(flag, text));
        Ok(HostConfig {
            binds: self
                .volumes
                .iter()
                .filter(|volume| volume.contains(':'))
                .cloned()
                .collect(),
            log_config: LogConfig {
                typ: self.log_driver.clone(),
                config: pairs("--log-opt", &self.log_options)?,
            },
            network_mode: self.network.clone().unwrap_or_else(|| "default".to_owned()),
            port_bindings: self.published()?,
            publish_all_ports: self.publish_all,
            restart_policy: restart_policy(&self.restart)?,
            auto_remove: self.rm,
            volumes_from: self.volumes_from.clone(),
            tmpfs: self
                .tmpfs
                .iter()
                .map(|entry| split_once_or_empty(entry, ':'))
                .collect(),
            cap_add: some(&self.cap_add),
            cap_drop: some(&self.cap_drop),
            security_opt: some(&self.security_opt),
            dns: self.dns.clone(),
            extra_hosts: some(&self.add_host),
            pid_mode: self.pid.clone(),
            ipc_mode: self.ipc.clone(),
            uts_mode: self.uts.clone(),
            userns_mode: self.userns.clone(),
            privileged: self.privileged,
            readonly_rootfs: self.read_only,
            init: self.init.then_some(true),
            sysctls: pairs("--sysctl", &self.sysctls)?,
            shm_size: bytes_of("--shm-size", &self.shm_size)?,
            memory: bytes_of("--memory", &self.memory)?,
            nano_cpus: self.cpus.as_deref().map_or(Ok(0), nano_cpus)?,
            pids_limit: self.pids_limit,
            ulimits: self
                .ulimits
                .iter()
                .map(|limit| ulimit(limit))
                .collect::<anyhow::Result<_>>()?,
            devices: self.devices.iter().map(|device| mapping(device)).collect(),
            ..HostConfig::default()
        })
    }

    fn published(&self) -> anyhow::Result<BTreeMap<String, Option<Vec<PortBinding>>>> {
        let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
        for text in &self.publish {
            let (port, binding) = published(text)?;
            ports
                .entry(port)
                .or_default()
                .get_or_insert_default()
                .push(binding);
        }
        Ok(ports)
    }
}

/// `NAME=VALUE`; a bare name takes this process's value, and is left out without one.
fn with_value(variable: &str) -> Option<String> {
    if variable.contains('=') {
        return Some(variable.to_owned());
    }
    std::env::var(variable)
        .ok()
        .map(|value| format!("{variable}={value}"))
}

/// `KEY=VALUE` entries as a map; a bare key has an empty value.
pub(crate) fn pairs(flag: &str, entries: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    entries
        .iter()
        .map(|entry| match entry.split_once('=') {
            Some(("", _)) => bail!("{flag} {entry}: there is no key"),
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Ok((entry.clone(), String::new())),
        })
        .collect()
}

fn split_once_or_empty(text: &str, separator: char) -> (String, String) {
    let (first, rest) = text.split_once(separator).unwrap_or((text, ""));
    (first.to_owned(), rest.to_owned())
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`; an IPv6 address stands in brackets.
fn published(text: &str) -> anyhow::Result<(String, PortBinding)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (rest, container) = ports.rsplit_once(':').unwrap_or(("", ports));
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => (address.trim_start_matches('[').trim_end_matches(']'), host),
        None => ("", rest),
    };
    container
        .parse::<u16>()
        .with_context(|| format!("--publish {text}: {container:?} is no port"))?;
    let binding = PortBinding {
        host_ip: address.to_owned(),
        host_port: host.to_owned(),
    };
    Ok((format!("{container}/{protocol}"), binding))
}

/// `no`, `always`, `unless-stopped`, `on-failure[:N]`.
pub(crate) fn restart_policy(text: &str) -> anyhow::Result<RestartPolicy> {
    let (name, count) = text.split_once(':').unwrap_or((text, "0"));
    let maximum_retry_count = count
        .parse()
        .with_context(|| format!("--restart {text}: {count:?} is no number"))?;
    Ok(RestartPolicy {
        name: name.to_owned(),
        maximum_retry_count,
    })
}

/// A size such as `64m`, in bytes; powers of 1024 as docker has them.
pub(crate) fn bytes(flag: &str, text: &str) -> anyhow::Result<i64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match lower[digits.len()..]
        .trim_end_matches('b')
        .trim_end_matches('i')
    {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        unit => bail!("{flag} {text}: {unit:?} is no unit: there are b, k, m, g and t"),
    };
    let number: i64 = digits
        .parse()
        .with_context(|| format!("{flag} {text}: {digits:?} is no number"))?;
    number
        .checked_mul(1 << shift)
        .with_context(|| format!("{flag} {text} is too large"))
}

/// `1.5` processors in billionths.
pub(crate) fn nano_cpus(text: &str) -> anyhow::Result<i64> {
    let cpus: f64 = text
        .parse()
        .with_context(|| format!("--cpus {text}: no number"))?;
    if !(0.0..=1e6).contains(&cpus) {
        bail!("--cpus {text}: not a number of processors");
    }
    Ok((cpus * 1e9).round() as i64)
}

fn ulimit(text: &str) -> anyhow::Result<Ulimit> {
    let (name, limits) = text
        .split_once('=')
        .with_context(|| format!("--ulimit {text}: not NAME=SOFT[:HARD]"))?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| {
        text.parse()
            .with_context(|| format!("--ulimit {name}: {text:?} is no number"))
    };
    Ok(Ulimit {
        name: name.to_owned(),
        soft: number(soft)?,
        hard: number(hard)?,
    })
}

fn mapping(text: &str) -> DeviceMapping {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default().to_owned();
    let container = parts.next().map_or_else(|| host.clone(), str::to_owned);
    let permissions = parts.next().unwrap_or("rwm").to_owned();
    DeviceMapping {
        path_on_host: host,
        path_in_container: container,
        cgroup_permissions: permissions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_have_dockers_forms() {
        let cases = [
            ("80", "80/tcp", "", ""),
            ("8080:80", "80/tcp", "", "8080"),
            ("127.0.0.1:8080:80/udp", "80/udp", "127.0.0.1", "8080"),
            ("[::1]:8080:80", "80/tcp", "::1", "8080"),
            ("127.0.0.1::80", "80/tcp", "127.0.0.1", ""),
        ];
        for (text, port, address, host) in cases {
            let (found, binding) = published(text).expect(text);
            assert_eq!(
                (
                    found.as_str(),
                    binding.host_ip.as_str(),
                    binding.host_port.as_str()
                ),
                (port, address, host)
            );
        }
        assert!(published("8080:http").is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("-m", "64m").ok(), Some(64 << 20));
        assert_eq!(bytes("-m", "1GiB").ok(), Some(1 << 30));
        assert_eq!(bytes("-m", "512").ok(), Some(512));
        assert!(bytes("-m", "1x").is_err());
        assert!(bytes("-m", "99999999999999t").is_err());
        assert_eq!(nano_cpus("1.5").ok(), Some(1_500_000_000));
        assert!(nano_cpus("-1").is_err());
    }

    #[test]
    fn policies_and_limits() {
        let policy = restart_policy("on-failure:3").expect("a policy");
        assert_eq!(
            (policy.name.as_str(), policy.maximum_retry_count),
            ("on-failure", 3)
        );
        let limit = ulimit("nofile=1024:2048").expect("a limit");
        assert_eq!((limit.soft, limit.hard), (1024, 2048));
        assert!(ulimit("nofile").is_err());
    }
}
