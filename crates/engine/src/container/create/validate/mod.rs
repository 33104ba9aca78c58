//! Refuses what Docker refuses and what this engine does not do: every field of a create request is either done or
//! answered with a 400; what Docker itself drops with a warning is dropped with the same warning.

mod left_out;
mod namespaces;
mod resources;

use engine_api::{ContainerConfig, Error, HealthConfig, HostConfig, Result};

use crate::container::life::restart;
use left_out::left_out;
use namespaces::namespaces;
pub use namespaces::shared;
use resources::resources;

/// Checks the image-independent part of a container's configuration; returns the warnings.
///
/// # Errors
/// 400 with Docker's words.
pub fn config(config: &ContainerConfig) -> Result<Vec<String>> {
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
        crate::container::stop::signals::parse(&config.stop_signal)?;
    }
    for port in config.exposed_ports.keys() {
        crate::container::networks::ports::parse_exposed(port)?;
    }
    health(config.healthcheck.as_ref())?;
    Ok(health_warning(config.healthcheck.as_ref())
        .into_iter()
        .collect())
}

/// Checks the times of a health check.
///
/// # Errors
/// 400 with Docker's words.
pub fn health(health: Option<&HealthConfig>) -> Result<()> {
    let Some(health) = health else {
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
    Ok(())
}

/// Docker takes a health check of a kind that it does not know, and does nothing with it; its log says so, here the client
/// hears it.
fn health_warning(health: Option<&HealthConfig>) -> Option<String> {
    match health?.test.first()?.as_str() {
        "" | "NONE" | "CMD" | "CMD-SHELL" => None,
        other => Some(format!(
            "Unknown healthcheck type '{other}' (expected 'CMD', 'CMD-SHELL' or 'NONE'). Health is not checked."
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
    if host.network_mode == "host" && !host.port_bindings.is_empty() {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    resources(host, &mut warnings)?;
    Ok(warnings)
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
    crate::container::networks::ports::parse_bindings(&host.port_bindings).map(|_| ())
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
            "error looking up logging plugin {kind}: plugin {kind:?} not found"
        ));
    }
    crate::container::create::logging::limits(&host.log_config).map(|_| ())
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
    fn a_health_check_of_an_unknown_kind_is_warned_of() {
        let warnings = |test: &[&str]| {
            let check = HealthConfig {
                test: test.iter().map(|word| (*word).to_owned()).collect(),
                ..HealthConfig::default()
            };
            config(&ContainerConfig {
                healthcheck: Some(check),
                ..ContainerConfig::default()
            })
            .unwrap()
        };
        for known in [&[][..], &["NONE"], &["CMD", "true"], &["CMD-SHELL", "true"]] {
            assert!(warnings(known).is_empty(), "{known:?}");
        }
        let warned = warnings(&["true"]);
        assert!(
            warned[0].starts_with("Unknown healthcheck type 'true'"),
            "{warned:?}"
        );
    }

    #[test]
    fn a_storage_driver_without_quotas_says_so() {
        for (option, words) in [
            (
                "size",
                "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            ),
            ("x", "Unknown option x"),
        ] {
            let mut host_config = HostConfig::default();
            host_config.storage_opt.insert(option.into(), "12m".into());
            let error = host(&mut host_config).unwrap_err();
            assert_eq!(
                (error.status.as_u16(), error.message.as_str()),
                (500, words)
            );
        }
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
                .contains("error looking up logging plugin syslog")
        );
    }

    #[test]
    fn a_shared_namespace_has_no_wishes_of_its_own() {
        let refused = |mode: &str, uts: &str, change: fn(&mut ContainerConfig)| {
            let mut config = ContainerConfig::default();
            change(&mut config);
            let host = HostConfig {
                network_mode: mode.into(),
                uts_mode: uts.into(),
                ..HostConfig::default()
            };
            shared(&config, &host).err().map(|error| error.message)
        };
        let expose = |config: &mut ContainerConfig| {
            config
                .exposed_ports
                .insert("80/tcp".into(), serde_json::json!({}));
        };
        let name = |config: &mut ContainerConfig| config.hostname = "x".into();
        let mac = |config: &mut ContainerConfig| config.mac_address = "02:00:00:00:00:01".into();
        for (change, what) in [
            (
                expose as fn(&mut ContainerConfig),
                "port exposing and the container type network mode",
            ),
            (name, "hostname and the network mode"),
            (mac, "mac-address and the network mode"),
        ] {
            let words = format!("conflicting options: {what}");
            assert_eq!(refused("container:a", "", change), Some(words));
            assert_eq!(refused("bridge", "", change), None);
        }
        assert_eq!(
            refused("", "host", name).as_deref(),
            Some("conflicting options: hostname and the UTS mode")
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
