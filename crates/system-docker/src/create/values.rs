//! Values of flags as docker writes them: sizes, times, limits, devices, files of variables.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use compose::quantity;
use engine_api::{DeviceMapping, RestartPolicy, ThrottleDevice, Ulimit};

/// `NAME=VALUE`; a bare name takes this process's value, and is left out without one.
pub(super) fn with_value(variable: &str) -> Option<String> {
    if variable.contains('=') {
        return Some(variable.to_owned());
    }
    std::env::var(variable)
        .ok()
        .map(|value| format!("{variable}={value}"))
}

/// The entries of a file of variables or labels: a line each; comments and empty lines are left out.
///
/// # Errors
/// Names the file and the line that is not an entry.
pub(super) fn file_lines(flag: &str, path: &str) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{flag} {path}"))?;
    let mut entries = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let name = line.split_once('=').map_or(line, |(name, _)| name);
        let number = number + 1;
        ensure!(
            !name.is_empty(),
            "{flag} {path}, line {number}: no variable name on line '{line}'"
        );
        ensure!(
            !name.contains(char::is_whitespace),
            "{flag} {path}, line {number}: variable '{name}' contains whitespaces"
        );
        entries.push(line.to_owned());
    }
    Ok(entries)
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

pub(super) fn split_once_or_empty(text: &str, separator: char) -> (String, String) {
    let (first, rest) = text.split_once(separator).unwrap_or((text, ""));
    (first.to_owned(), rest.to_owned())
}

/// `no`, `always`, `unless-stopped`, `on-failure[:N]`.
pub(crate) fn restart_policy(text: &str) -> anyhow::Result<RestartPolicy> {
    let (name, count) = text.split_once(':').unwrap_or((text, "0"));
    let maximum_retry_count = count
        .parse()
        .with_context(|| format!("--restart {text}: {count:?} is not a number"))?;
    Ok(RestartPolicy {
        name: name.to_owned(),
        maximum_retry_count,
    })
}

/// A size such as `64m`, in bytes; powers of 1024 as docker has them.
pub(crate) fn bytes(flag: &str, text: &str) -> anyhow::Result<i64> {
    quantity::bytes(text)
        .with_context(|| format!("{flag} {text}: not a size: there are b, k, m, g and t"))
}

/// A time such as `1m30s`, in nanoseconds.
pub(super) fn nanoseconds(flag: &str, text: &str) -> anyhow::Result<i64> {
    quantity::duration(text)
        .and_then(|duration| i64::try_from(duration.as_nanos()).ok())
        .with_context(|| format!("{flag} {text}: not a time such as 1m30s"))
}

/// `DEVICE:RATE`; the rate may have a unit.
pub(super) fn throttle(flag: &str, text: &str) -> anyhow::Result<ThrottleDevice> {
    let (path, rate) = text
        .rsplit_once(':')
        .filter(|(path, _)| path.starts_with("/dev/"))
        .with_context(|| format!("{flag} {text}: not DEVICE:RATE"))?;
    Ok(ThrottleDevice {
        path: path.to_owned(),
        rate: u64::try_from(bytes(flag, rate)?)
            .with_context(|| format!("{flag} {text}: a rate below 0"))?,
    })
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

pub(super) fn ulimit(text: &str) -> anyhow::Result<Ulimit> {
    let (name, limits) = text
        .split_once('=')
        .with_context(|| format!("--ulimit {text}: not NAME=SOFT[:HARD]"))?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| {
        text.parse()
            .with_context(|| format!("--ulimit {name}: {text:?} is not a number"))
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
    #[test]
    fn rates_and_times() {
        let rate = throttle("--device-read-bps", "/dev/sda:1mb").expect("a rate");
        assert_eq!((rate.path.as_str(), rate.rate), ("/dev/sda", 1 << 20));
        for text in ["sda:1", "/dev/sda", "/dev/sda:-1"] {
            assert!(throttle("--device-read-bps", text).is_err(), "{text}");
        }
        assert_eq!(
            nanoseconds("--health-interval", "1.5s").ok(),
            Some(1_500_000_000)
        );
        assert!(nanoseconds("--health-interval", "soon").is_err());
    }

    #[test]
    fn files_have_an_entry_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("variables");
        let path = path.to_str().unwrap();
        std::fs::write(path, "\u{feff}A=1\n\n# no\n  B= x=y \nC\n").unwrap();
        assert_eq!(
            file_lines("--env-file", path).unwrap(),
            ["A=1", "B= x=y ", "C"]
        );
        for (text, words) in [("A=1\nB C=2\n", "line 2"), ("=1\n", "no variable name")] {
            std::fs::write(path, text).unwrap();
            let error = file_lines("--env-file", path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
