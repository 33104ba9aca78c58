//! From the flags of `run` and `create` to the request that the Engine API takes.

mod flags;
mod host;
mod mount;
mod security;
mod values;

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use engine_api::{
    ContainerConfig, CreateRequest, EndpointIpamConfig, EndpointSettings, HealthConfig,
    NetworkingConfig, PortBinding,
};
use serde_json::json;

pub(crate) use flags::{Create, Pull};
use flags::{Health, Stream};
pub(super) use values::{bytes, nano_cpus, pairs, restart_policy};
use values::{file_lines, nanoseconds, with_value};

impl Create {
    /// The request; `detach` says that no client will be attached.
    ///
    /// # Errors
    /// Names the flag whose value is wrong.
    pub(crate) fn request(&self, detach: bool) -> anyhow::Result<CreateRequest> {
        // Hyphens are allowed in what to run, and the first word is of the same argument.
        ensure!(
            !self.image().starts_with('-'),
            "unknown flag: {}",
            self.image()
        );
        ensure!(
            !self.rm || self.restart == "no",
            "conflicting options: cannot specify both --restart and --rm"
        );
        ensure!(
            !detach || self.attach.is_empty(),
            "conflicting options: cannot specify both --attach and --detach"
        );
        let named = |stream| self.attach.contains(&stream);
        let attaches = |stream| !detach && (self.attach.is_empty() || named(stream));
        let attach_stdin = !detach && (self.interactive || named(Stream::Stdin));
        let config = ContainerConfig {
            hostname: self.hostname.clone(),
            domainname: self.domainname.clone(),
            user: self.user.clone(),
            attach_stdin,
            attach_stdout: attaches(Stream::Stdout),
            attach_stderr: attaches(Stream::Stderr),
            tty: self.tty,
            open_stdin: self.interactive,
            stdin_once: attach_stdin && self.interactive,
            env: variables(&self.environment_files, &self.environment)?,
            healthcheck: self.health.config()?,
            cmd: (!self.command().is_empty()).then(|| self.command().to_vec()),
            image: self.image().to_owned(),
            working_dir: self.workdir.clone(),
            // An empty one takes the image's away.
            entrypoint: self
                .entrypoint
                .as_ref()
                .map(|program| vec![program.clone()]),
            mac_address: self.mac_address.clone().unwrap_or_default(),
            labels: self.labels()?,
            stop_signal: self.stop_signal.clone(),
            stop_timeout: self.stop_timeout,
            exposed_ports: self.exposed()?,
            volumes: self
                .volumes
                .iter()
                .filter(|volume| !volume.contains(':'))
                .map(|volume| (volume.clone(), json!({})))
                .collect(),
            ..ContainerConfig::default()
        };
        Ok(CreateRequest {
            config,
            host_config: self.host_config()?,
            networking_config: self.networking(),
            ..CreateRequest::default()
        })
    }

    fn labels(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        for path in &self.label_files {
            labels.extend(pairs("--label-file", &file_lines("--label-file", path)?)?);
        }
        labels.extend(pairs("--label", &self.labels)?);
        Ok(labels)
    }

    fn published(&self) -> anyhow::Result<BTreeMap<String, Option<Vec<PortBinding>>>> {
        let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> = BTreeMap::new();
        for text in &self.publish {
            let published = compose::ports::parse(text).map_err(anyhow::Error::msg);
            for (port, binding) in published.with_context(|| format!("--publish {text}"))? {
                ports
                    .entry(port)
                    .or_default()
                    .get_or_insert_default()
                    .push(binding);
            }
        }
        Ok(ports)
    }

    /// Ports that are published, and those of `--expose`.
    fn exposed(&self) -> anyhow::Result<BTreeMap<String, serde_json::Value>> {
        let mut ports: Vec<String> = self.published()?.into_keys().collect();
        for text in &self.expose {
            if text.contains(':') {
                bail!("invalid port format for --expose: {text}");
            }
            let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let (first, last) = compose::ports::range(range)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("--expose {text}"))?;
            ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
        }
        Ok(ports.into_iter().map(|port| (port, json!({}))).collect())
    }

    fn network_mode(&self) -> &str {
        self.network.as_deref().unwrap_or("default")
    }

    /// Its endpoint in the network that was named; without one the engine makes it.
    fn networking(&self) -> NetworkingConfig {
        let endpoint = endpoint(
            self.ip.as_deref(),
            self.ip6.as_deref(),
            &self.link_local_ip,
            &self.network_alias,
        );
        if endpoint == EndpointSettings::default() {
            return NetworkingConfig::default();
        }
        let endpoint = EndpointSettings {
            mac_address: self.mac_address.clone().unwrap_or_default(),
            ..endpoint
        };
        NetworkingConfig {
            endpoints_config: BTreeMap::from([(self.network_mode().to_owned(), endpoint)]),
        }
    }
}

/// A container's wishes for a network.
pub(super) fn endpoint(
    ip: Option<&str>,
    ip6: Option<&str>,
    link_local_ips: &[String],
    aliases: &[String],
) -> EndpointSettings {
    let has_addresses = ip.is_some() || ip6.is_some() || !link_local_ips.is_empty();
    EndpointSettings {
        ipam_config: has_addresses.then(|| EndpointIpamConfig {
            ipv4_address: ip.unwrap_or_default().to_owned(),
            ipv6_address: ip6.unwrap_or_default().to_owned(),
            link_local_ips: link_local_ips.to_vec(),
        }),
        aliases: (!aliases.is_empty()).then(|| aliases.to_vec()),
        ..EndpointSettings::default()
    }
}

/// Variables of files and flags: those of the files first, so that a flag wins.
pub(super) fn variables(files: &[String], flags: &[String]) -> anyhow::Result<Vec<String>> {
    let mut lines = Vec::new();
    for path in files {
        lines.extend(file_lines("--env-file", path)?);
    }
    lines.extend(flags.iter().cloned());
    Ok(lines.iter().filter_map(|line| with_value(line)).collect())
}

impl Health {
    /// What differs from the image's health check.
    fn config(&self) -> anyhow::Result<Option<HealthConfig>> {
        let time = |flag: &str, text: &Option<String>| {
            text.as_deref()
                .map_or(Ok(0), |text| nanoseconds(flag, text))
        };
        let config = HealthConfig {
            test: match &self.test {
                Some(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
                None => Vec::new(),
            },
            interval: time("--health-interval", &self.interval)?,
            timeout: time("--health-timeout", &self.timeout)?,
            start_period: time("--health-start-period", &self.start_period)?,
            start_interval: time("--health-start-interval", &self.start_interval)?,
            retries: self.retries,
        };
        let is_given = config != HealthConfig::default();
        if self.none {
            ensure!(
                !is_given,
                "--no-healthcheck conflicts with --health-* options"
            );
            return Ok(Some(HealthConfig {
                test: vec!["NONE".to_owned()],
                ..HealthConfig::default()
            }));
        }
        Ok(is_given.then_some(config))
    }
}

#[cfg(test)]
mod tests;
