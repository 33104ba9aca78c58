//! Kernel parameters by their dotted names: /proc/sys (proc_sys(5)).

use std::fs;
use std::path::PathBuf;

use crate::error::{Context, Error, Result};

/// The file of a parameter. Dots and slashes are exchanged, so `net.ipv4.conf.eth0/1.forwarding` names the link `eth0.1`
/// (sysctl.d(5)).
///
/// # Errors
/// When the name is empty or would leave /proc/sys.
pub fn path(name: &str) -> Result<PathBuf> {
    let first = name.find(['.', '/']);
    let exchanged: String = match first.map(|at| name.as_bytes()[at]) {
        Some(b'/') => name.to_owned(),
        _ => name
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect(),
    };
    let bad = exchanged.is_empty()
        || exchanged
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == "..");
    if bad {
        return Err(Error::other(
            format!("sysctl {name:?}"),
            "not a parameter's name",
        ));
    }
    Ok(PathBuf::from("/proc/sys").join(exchanged))
}

/// Sets a parameter.
///
/// # Errors
/// When it does not exist or the kernel refuses the value.
pub fn write(name: &str, value: &str) -> Result<()> {
    fs::write(path(name)?, value).what(|| format!("set sysctl {name} to {value:?}"))
}

/// Reads a parameter, without the line end.
///
/// # Errors
/// When it does not exist.
pub fn read(name: &str) -> Result<String> {
    let text = fs::read_to_string(path(name)?).what(|| format!("read sysctl {name}"))?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_become_slashes_unless_a_slash_comes_first() {
        assert_eq!(
            path("net.ipv4.ip_forward").unwrap(),
            PathBuf::from("/proc/sys/net/ipv4/ip_forward")
        );
        assert_eq!(
            path("net.ipv4.conf.eth0/1.x").unwrap(),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/x")
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/x").unwrap(),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/x")
        );
        assert!(path("").is_err() && path("a..b").is_err() && path("../etc/passwd").is_err());
    }
}
