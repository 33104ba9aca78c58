//! The process part of a specification: command line, environment, limits.

use engine_api::{ContainerConfig, Error, HostConfig, Result, Ulimit};
use runtime::oci;

use super::Files;
use super::security::Security;
use crate::container::Record;
use crate::open_files;

/// Where `--init` finds the small init.
pub(crate) const INIT_PATH: &str = "/sbin/docker-init";
/// The search path of containers whose image sets none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The container's first process.
pub(super) fn first(
    record: &Record,
    files: &Files,
    capabilities: Vec<String>,
    security: &Security,
) -> oci::Process {
    let host = &record.host_config;
    let mut args = Vec::new();
    if files.init.is_some() {
        args.extend([INIT_PATH.to_owned(), "--".to_owned()]);
    }
    args.push(record.path.clone());
    args.extend(record.args.iter().cloned());
    let [height, width] = host
        .console_size
        .map(|cells| u16::try_from(cells).unwrap_or(u16::MAX));
    oci::Process {
        terminal: record.config.tty,
        console_size: (record.config.tty && height > 0 && width > 0)
            .then_some(oci::ConsoleSize { height, width }),
        user: user(&record.config.user, host),
        args,
        env: environment(&record.config, record.config.tty),
        cwd: if record.config.working_dir.is_empty() {
            "/".to_owned()
        } else {
            record.config.working_dir.clone()
        },
        capabilities: Some(sets(capabilities)),
        rlimits: rlimits(host),
        no_new_privileges: security.no_new_privileges,
        apparmor_profile: security.apparmor_profile.clone(),
        oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
    }
}

/// Whom it runs as: the container's own first process looks it up, for only it is held by what the container has in the place
/// of its files.
pub(crate) fn user(name: &str, host: &HostConfig) -> oci::User {
    oci::User {
        username: Some(name.to_owned()),
        additional_groups: host.group_add.clone().unwrap_or_default(),
        ..oci::User::default()
    }
}

/// The capability sets that Docker gives: no inheritable and no ambient ones.
pub(crate) fn sets(capabilities: Vec<String>) -> oci::Capabilities {
    oci::Capabilities {
        bounding: capabilities.clone(),
        effective: capabilities.clone(),
        permitted: capabilities,
        ..oci::Capabilities::default()
    }
}

/// The environment: Docker's own variables first, then the configured ones over them. The runtime adds the user's `HOME`.
pub(crate) fn environment(config: &ContainerConfig, tty: bool) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={}", config.hostname)];
    if tty {
        env.push("TERM=xterm".to_owned());
    }
    override_with(&mut env, &config.env);
    env
}

/// Sets variables over others; `NAME` without a value removes it.
pub(crate) fn override_with(env: &mut Vec<String>, over: &[String]) {
    for variable in over {
        let name = variable.split('=').next().unwrap_or_default();
        let place = env
            .iter()
            .position(|old| old.split('=').next() == Some(name));
        match (variable.contains('='), place) {
            (true, Some(at)) => env[at].clone_from(variable),
            (true, None) => env.push(variable.clone()),
            (false, Some(at)) => drop(env.remove(at)),
            (false, None) => {}
        }
    }
}

pub(crate) fn rlimits(host: &HostConfig) -> Vec<oci::Rlimit> {
    let value = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let one = |limit: &Ulimit| oci::Rlimit {
        kind: format!("RLIMIT_{}", limit.name.to_ascii_uppercase()),
        soft: value(limit.soft),
        hard: value(limit.hard),
    };
    let mut rlimits: Vec<_> = host.ulimits.iter().map(one).collect();
    if !rlimits.iter().any(|limit| limit.kind == "RLIMIT_NOFILE") {
        let most = open_files::most();
        rlimits.push(oci::Rlimit {
            kind: "RLIMIT_NOFILE".to_owned(),
            soft: most,
            hard: most,
        });
    }
    rlimits
}

/// Refuses names that are not those of resource limits.
///
/// # Errors
/// 400 with Docker's words.
pub(crate) fn rlimit_name(name: &str) -> Result<()> {
    const NAMES: [&str; 16] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    if NAMES.contains(&name) {
        Ok(())
    } else {
        Err(Error::bad_parameter(format!("invalid ulimit type: {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_environment_wins_and_can_unset() {
        let config = ContainerConfig {
            hostname: "box".into(),
            env: vec!["PATH=/bin".into(), "TERM".into(), "A=b=c".into()],
            ..ContainerConfig::default()
        };
        assert_eq!(
            environment(&config, true),
            ["PATH=/bin", "HOSTNAME=box", "A=b=c"]
        );
    }

    #[test]
    fn unlimited_is_the_kernels_infinity() {
        let host = HostConfig {
            ulimits: vec![Ulimit {
                name: "core".into(),
                soft: -1,
                hard: -1,
            }],
            ..HostConfig::default()
        };
        let limits = rlimits(&host);
        assert_eq!(
            (limits[0].kind.as_str(), limits[0].soft),
            ("RLIMIT_CORE", u64::MAX)
        );
        assert_eq!(limits[1].kind, "RLIMIT_NOFILE");
    }
}
