//! Reading the wishes: `PortBindings` and `ExposedPorts`.

use std::net::IpAddr;

use engine_api::{Error, PortBinding, PortMap, Result};

use super::PublishedPort;

/// Ports one container may publish: ranges are written quickly and each port costs sockets and rules.
const PORT_LIMIT: usize = 4096;

/// A port of the container that shall be reachable on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortWish {
    pub(crate) udp: bool,
    pub(crate) container_port: u16,
    /// Host address; `None`: all, IPv4 and IPv6.
    pub(crate) host_address: Option<IpAddr>,
    /// Host ports that will do, first to last; `None`: any free one.
    pub(crate) host_ports: Option<(u16, u16)>,
}

impl PortWish {
    /// Whether this published port may have come of it.
    pub(crate) fn has_become(&self, port: &PublishedPort) -> bool {
        let may = |(first, last)| (first..=last).contains(&port.host_port);
        self.udp == port.udp
            && self.container_port == port.container_port
            && self
                .host_address
                .is_none_or(|address| address == port.host_address)
            && self.host_ports.is_none_or(may)
    }
}

/// Reads `80/tcp` or `8000-8010/udp`: (udp, first, last).
pub(super) fn parse_port(text: &str) -> Result<(bool, u16, u16)> {
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let invalid = || Error::bad_parameter(format!("invalid port specification: {text:?}"));
    let udp = match protocol.to_ascii_lowercase().as_str() {
        "tcp" | "" => false,
        "udp" => true,
        "sctp" => {
            return Err(Error::bad_parameter(
                "sctp ports cannot be published by System Docker",
            ));
        }
        other => return Err(Error::bad_parameter(format!("invalid proto: {other}"))),
    };
    let (first, last) = parse_range(range).ok_or_else(invalid)?;
    if first == 0 {
        Err(invalid())
    } else {
        Ok((udp, first, last))
    }
}

fn parse_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}

fn parse_binding(udp: bool, container_port: u16, binding: &PortBinding) -> Result<PortWish> {
    let host_ports = match binding.host_port.as_str() {
        "" | "0" => None,
        text => Some(
            parse_range(text)
                .filter(|(first, _)| *first > 0)
                .ok_or_else(|| {
                    Error::bad_parameter(format!("invalid port specification: {text:?}"))
                })?,
        ),
    };
    let host_address = match binding.host_ip.as_str() {
        "" => None,
        text => Some(
            text.trim_matches(['[', ']'])
                .parse()
                .map_err(|_| Error::bad_parameter(format!("invalid IP address: {text}")))?,
        ),
    };
    Ok(PortWish {
        udp,
        container_port,
        host_address,
        host_ports,
    })
}

/// The check at container create. Addresses of the host are read at the start, as in Docker.
pub(crate) fn check(bindings: &PortMap, exposed: &[String], publish_all: bool) -> Result<()> {
    let mut anywhere = bindings.clone();
    for binding in anywhere.values_mut().flatten().flatten() {
        binding.host_ip.clear();
    }
    wishes(&anywhere, exposed, publish_all).map(drop)
}

/// Reads `PortBindings`, and `ExposedPorts` when all of them shall be published.
/// Those that name their host ports come first: a wish for any port must not take one of them.
pub(crate) fn wishes(
    bindings: &PortMap,
    exposed: &[String],
    publish_all: bool,
) -> Result<Vec<PortWish>> {
    let mut wishes = Vec::new();
    for (port, bindings) in bindings {
        let (udp, first, last) = parse_port(port)?;
        for container_port in first..=last {
            for binding in bindings.iter().flatten() {
                wishes.push(parse_binding(udp, container_port, binding)?);
            }
        }
    }
    if publish_all {
        for port in exposed {
            let (udp, first, last) = parse_port(port)?;
            for container_port in first..=last {
                if !wishes
                    .iter()
                    .any(|w: &PortWish| w.udp == udp && w.container_port == container_port)
                {
                    wishes.push(PortWish {
                        udp,
                        container_port,
                        host_address: None,
                        host_ports: None,
                    });
                }
            }
        }
    }
    wishes.sort_by_key(|wish| wish.host_ports.is_none());
    if wishes.len() > PORT_LIMIT {
        return Err(Error::bad_parameter(format!(
            "more than {PORT_LIMIT} published ports"
        )));
    }
    Ok(wishes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(host_ip: &str, host_port: &str) -> Option<Vec<PortBinding>> {
        Some(vec![PortBinding {
            host_ip: host_ip.into(),
            host_port: host_port.into(),
        }])
    }

    #[test]
    fn addresses_are_read_at_the_start_only() {
        for (address, is_read) in [
            ("[::1]", true),
            ("[fe80::1%test]", false),
            ("127.0.0.300", false),
        ] {
            let bindings = PortMap::from([("80/tcp".into(), binding(address, "9001"))]);
            assert_eq!(check(&bindings, &[], false), Ok(()), "{address}");
            // Docker publishes on all addresses instead.
            assert_eq!(wishes(&bindings, &[], false).is_ok(), is_read, "{address}");
        }
        let bindings = PortMap::from([("80/tcp".into(), binding("", "x"))]);
        assert!(check(&bindings, &[], false).is_err());
    }

    #[test]
    fn wishes_are_read_with_ranges() {
        let bindings = PortMap::from([
            ("80/tcp".into(), binding("127.0.0.1", "8000-8010")),
            ("53/udp".into(), binding("", "")),
            ("81".into(), None),
        ]);
        let all = wishes(&bindings, &["80/tcp".into(), "90-91".into()], true).unwrap();
        let text: Vec<_> = all
            .iter()
            .map(|w| (w.udp, w.container_port, w.host_ports))
            .collect();
        assert_eq!(
            text,
            [
                (false, 80, Some((8000, 8010))),
                (true, 53, None),
                (false, 90, None),
                (false, 91, None)
            ]
        );
        for (port, host_port) in [
            ("0/tcp", "80"),
            ("80/icmp", "80"),
            ("80/tcp", "9-8"),
            ("x", ""),
            ("80", "70000"),
        ] {
            let bad = PortMap::from([(port.into(), binding("", host_port))]);
            assert_eq!(
                wishes(&bad, &[], false).unwrap_err().status,
                400,
                "{port} {host_port}"
            );
        }
    }
}
