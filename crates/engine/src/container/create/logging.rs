//! `HostConfig.LogConfig`: options of the drivers json-file and local, which differ in their defaults only here.

use std::collections::BTreeMap;

use engine_api::{ContainerConfig, Error, LogConfig, Result};

use crate::logs::LogLimits;

/// Reads the limits; refuses options that the driver does not know.
///
/// # Errors
/// 400 with Docker's words.
pub fn limits(config: &LogConfig) -> Result<LogLimits> {
    let mut limits = LogLimits::DEFAULT;
    if config.config.contains_key("max-file") && !config.config.contains_key("max-size") {
        limits.max_size = None;
    }
    for (option, value) in &config.config {
        let invalid =
            || Error::bad_parameter(format!("invalid value {value:?} for log opt '{option}'"));
        match option.as_str() {
            "max-size" => {
                limits.max_size = if value == "-1" {
                    None
                } else {
                    Some(parse_size(value).ok_or_else(invalid)?)
                }
            }
            "max-file" => {
                limits.max_file = value.parse().map_err(|_| invalid())?;
                if limits.max_file < 1 {
                    return Err(Error::bad_parameter("max-file cannot be less than 1"));
                }
            }
            "compress" if value == "false" => {}
            "compress" => {
                return Err(Error::bad_parameter(
                    "log opt 'compress' is not supported: rotated logs are kept plain",
                ));
            }
            "mode" if value == "blocking" => {}
            "mode" | "max-buffer-size" => {
                return Err(Error::bad_parameter(format!(
                    "log opt '{option}' is not supported: logs are written at once"
                )));
            }
            "labels" | "env" | "tag" => {}
            "labels-regex" | "env-regex" => {
                return Err(Error::bad_parameter(format!(
                    "log opt '{option}' is not supported: name them one by one"
                )));
            }
            _ => {
                return Err(Error::bad_parameter(format!(
                    "unknown log opt '{option}' for json-file log driver"
                )));
            }
        }
    }
    Ok(limits)
}

/// The attributes that `labels` and `env` put on every line.
#[must_use]
pub fn attributes(log: &LogConfig, config: &ContainerConfig) -> BTreeMap<String, String> {
    let names = |option: &str| {
        log.config
            .get(option)
            .map(String::as_str)
            .unwrap_or_default()
            .split(',')
            .map(str::to_owned)
    };
    let labels = names("labels")
        .filter_map(|name| config.labels.get(&name).map(|value| (name, value.clone())));
    let variables = names("env").filter_map(|name| {
        let value = config
            .env
            .iter()
            .find_map(|variable| variable.strip_prefix(name.as_str())?.strip_prefix('='))?;
        Some((name, value.to_owned()))
    });
    labels
        .chain(variables)
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// Reads `10m`, `1g`, `500k`, `100`: bytes in powers of 1000, as Docker's log options are.
fn parse_size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let digits = number.trim_end_matches(['k', 'm', 'g', 't']);
    let unit: u64 = match &number[digits.len()..] {
        "" => 1,
        "k" => 1000,
        "m" => 1000 * 1000,
        "g" => 1000 * 1000 * 1000,
        "t" => 1000 * 1000 * 1000 * 1000,
        _ => return None,
    };
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(unit)
        .filter(|size| *size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[(&str, &str)]) -> LogConfig {
        let config = options
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        LogConfig {
            typ: "json-file".to_owned(),
            config,
        }
    }

    #[test]
    fn sizes_and_counts_are_read() {
        let limits = limits(&with(&[("max-size", "10m"), ("max-file", "3")])).unwrap();
        assert_eq!(
            limits,
            LogLimits {
                max_size: Some(10_000_000),
                max_file: 3
            }
        );
        assert_eq!(super::limits(&with(&[])).unwrap(), LogLimits::DEFAULT);
    }

    #[test]
    fn unknown_options_are_refused() {
        for options in [
            [("max-size", "ten")],
            [("max-file", "0")],
            [("syslog-address", "x")],
            [("compress", "true")],
        ] {
            assert_eq!(limits(&with(&options)).unwrap_err().status, 400);
        }
    }
}
