//! Published ports: `[[address:]host:]container[/protocol]`, with ranges.

use engine_api::PortBinding;

/// A port in the container, as `80/tcp`, and where it is published; no binding means exposed only.
pub type Published = (String, PortBinding);

/// The ports one entry of `ports:` publishes.
///
/// # Errors
/// A message that says what is not a port.
pub fn parse(text: &str) -> Result<Vec<Published>, String> {
    let (rest, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(format!("{protocol:?} is not tcp, udp or sctp"));
    }
    let (rest, container) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (address, host) = match rest.rsplit_once(':') {
        Some((address, host)) => (address.trim_start_matches('[').trim_end_matches(']'), host),
        None => ("", rest),
    };
    let container = range(container)?;
    let host = if host.is_empty() {
        None
    } else {
        Some(range(host)?)
    };
    // A range on the host for one port of the container: the engine takes the first that is free.
    if let Some((first, last)) = host
        && first < last
        && container.0 == container.1
    {
        let binding = PortBinding {
            host_ip: address.to_owned(),
            host_port: format!("{first}-{last}"),
        };
        return Ok(vec![(format!("{}/{protocol}", container.0), binding)]);
    }
    if let Some((first, last)) = host
        && last - first != container.1 - container.0
    {
        return Err("the two port ranges differ in length".to_owned());
    }
    Ok((container.0..=container.1)
        .map(|port| {
            let host_port = host.map(|(first, _)| (first + (port - container.0)).to_string());
            let binding = PortBinding {
                host_ip: address.to_owned(),
                host_port: host_port.unwrap_or_default(),
            };
            (format!("{port}/{protocol}"), binding)
        })
        .collect())
}

/// `80` or `8000-8010`; the order and the bounds are checked.
///
/// # Errors
/// What is wrong with it, in words.
pub fn range(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| {
        text.parse::<u16>()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("{text:?} is not a port"))
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("the port range {text:?} is backwards"));
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, String> {
        let published = parse(text)?;
        let lines: Vec<String> = published
            .into_iter()
            .map(|(port, at)| format!("{port}={}:{}", at.host_ip, at.host_port))
            .collect();
        Ok(lines.join(" "))
    }

    #[test]
    fn entries_of_ports() {
        for (text, want) in [
            ("80", "80/tcp=:"),
            ("8080:80", "80/tcp=:8080"),
            ("53:53/udp", "53/udp=:53"),
            ("127.0.0.1:8080:80", "80/tcp=127.0.0.1:8080"),
            ("127.0.0.1::80", "80/tcp=127.0.0.1:"),
            ("[::1]:8080:80", "80/tcp=::1:8080"),
            ("8000-8001:80-81", "80/tcp=:8000 81/tcp=:8001"),
            ("8000-8010:80", "80/tcp=:8000-8010"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(want), "{text}");
        }
        for text in ["", "x", "0", "70000", "90-80", "1-3:1-2", "80/icmp", "a:80"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
