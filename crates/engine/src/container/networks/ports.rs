//! Ports as the API writes them: `80/tcp`, ranges, and where they are published.

use engine_api::{Error, PortMap, Result};

/// Reads `80`, `80/udp` or `8000-8010/tcp` into port numbers and protocol.
///
/// # Errors
/// 400 with Docker's words.
pub fn parse_exposed(text: &str) -> Result<(std::ops::RangeInclusive<u16>, &str)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(Error::bad_parameter(format!(
            "invalid port specification: \"{text}\": invalid protocol: {protocol}"
        )));
    }
    parse_range(range)
        .map(|range| (range, protocol))
        .ok_or_else(|| Error::bad_parameter(format!("invalid port specification: \"{text}\"")))
}

/// Reads `80` or `8000-8010`; zero is not a port.
fn parse_range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    (first > 0 && first <= last).then_some(first..=last)
}

/// Checks every binding: container port, host port or range. The host's address is read at the start.
///
/// # Errors
/// 400 with Docker's words.
pub fn parse_bindings(bindings: &PortMap) -> Result<()> {
    for (port, hosts) in bindings {
        parse_exposed(port)?;
        for host in hosts.iter().flatten() {
            let port_ok = host.host_port.is_empty()
                || host.host_port == "0"
                || parse_range(&host.host_port).is_some();
            if !port_ok {
                return Err(Error::bad_parameter(format!(
                    "invalid port specification: \"{}\"",
                    host.host_port
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_ranges_are_read() {
        assert_eq!(parse_exposed("80").unwrap(), (80..=80, "tcp"));
        assert_eq!(parse_exposed("53/udp").unwrap(), (53..=53, "udp"));
        assert_eq!(
            parse_exposed("8000-8010/tcp").unwrap(),
            (8000..=8010, "tcp")
        );
        for bad in ["", "0", "x", "80/icmp", "90-80", "65536"] {
            assert!(parse_exposed(bad).is_err(), "{bad}");
        }
    }
}
