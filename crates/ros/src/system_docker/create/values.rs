//! Values of flags as docker writes them: ports, sizes, limits, devices.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use engine_api::{DeviceMapping, PortBinding, RestartPolicy, Ulimit};

/// `NAME=VALUE`; a bare name takes this process's value, and is left out without one.
pub(super) fn with_value(variable: &str) -> Option<String> {
    if variable.contains('=') {
        return Some(variable.to_owned());
    }
    std::env::var(variable)
        .ok()
        .map(|value| format!("{variable}={value}"))
}

/// `KEY=VALUE` entries as a map; a bare key has an empty value.
pub(in crate::system_docker) fn pairs(
    flag: &str,
    entries: &[String],
) -> anyhow::Result<BTreeMap<String, String>> {
    entries
        .iter()
        .map(|entry| match entry.split_once('=') {
            Some(("", _)) => bail!("{flag} {entry}: there is no key"),
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Ok((entry.clone(), String::new())),
        })
        .collect()
}

pub(super) fn split_once_or_empty(text: &str, separator: char) -> (String, String) {
    let (first, rest) = text.split_once(separator).unwrap_or((text, ""));
    (first.to_owned(), rest.to_owned())
}

/// `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`; an IPv6 address stands in brackets.
pub(super) fn published(text: &str) -> anyhow::Result<(String, PortBinding)> {
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
pub(in crate::system_docker) fn restart_policy(text: &str) -> anyhow::Result<RestartPolicy> {
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
pub(in crate::system_docker) fn bytes(flag: &str, text: &str) -> anyhow::Result<i64> {
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
pub(in crate::system_docker) fn nano_cpus(text: &str) -> anyhow::Result<i64> {
    let cpus: f64 = text
        .parse()
        .with_context(|| format!("--cpus {text}: no number"))?;
    if !(0.0..=1e6).contains(&cpus) {
        bail!("--cpus {text}: not a number of processors");
    }
    Ok((cpus * 1e9).round() as i64)
}

pub(super) fn ulimit(text: &str) -> anyhow::Result<Ulimit> {
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

pub(super) fn mapping(text: &str) -> DeviceMapping {
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
