//! What a value must be beyond its type.

use std::net::{IpAddr, SocketAddr};

/// A rule for a scalar, or for each item of a list of them.
///
/// A value that breaks it is reported and kept: whoever applies it knows best what to do without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A whole number from the first to the second.
    Range(i64, i64),
    /// `10.0.0.1` or `fd00::1`.
    Address,
    /// `10.0.0.2/24`; without a prefix it is one host's.
    Prefix,
    /// Domains that names are looked up in: `example.org`, or several with spaces or commas between them.
    Domain,
    /// What sshd listens on: an address, or an address and a port (sshd_config(5), ListenAddress). A name that cannot be
    /// resolved would keep sshd from starting.
    Listen,
}

impl Rule {
    /// Whether the text obeys. What holds a variable is not judged: its value comes later.
    pub fn holds(self, text: &str) -> bool {
        let text = text.trim();
        if text.is_empty() || text.contains('$') {
            return true;
        }
        match self {
            Rule::Range(from, to) => text
                .parse()
                .is_ok_and(|number| (from..=to).contains(&number)),
            Rule::Address => text.parse::<IpAddr>().is_ok(),
            Rule::Prefix => is_prefix(text),
            Rule::Domain => text.split([',', ' ']).all(is_domain),
            Rule::Listen => is_listen_address(text),
        }
    }

    /// What to ask about a value that obeys: it is good, and seldom what its writer means.
    pub fn doubt(self, text: &str) -> Option<String> {
        let address: IpAddr = text.trim().parse().ok()?;
        let (whole, usual) = if address.is_ipv6() {
            (128, 64)
        } else {
            (32, 24)
        };
        (self == Rule::Prefix).then(|| {
            format!(
                "it has no prefix and is taken as {address}/{whole}, one host without neighbours; write {address}/{usual} for a usual network, or {address}/{whole}"
            )
        })
    }

    /// What is expected, for a message.
    pub fn describe(self) -> String {
        match self {
            Rule::Range(from, to) => format!("a number from {from} to {to}"),
            Rule::Address => "an IP address, as 10.0.0.1".to_owned(),
            Rule::Prefix => "an IP address with its prefix, as 10.0.0.2/24".to_owned(),
            Rule::Domain => "a domain, as example.org; `~example.org`, which sends some names to the servers of one link, cannot be had, since a resolver asks the same servers for all names".to_owned(),
            Rule::Listen => "an IP address, as 10.0.0.1 or 10.0.0.1:22".to_owned(),
        }
    }
}

fn is_prefix(text: &str) -> bool {
    let (address, prefix) = text.split_once('/').unwrap_or((text, "0"));
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let most = if address.is_ipv6() { 128 } else { 32 };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
}

fn is_domain(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    text.chars().all(is_letter)
}

/// Whether sshd can listen on the text without resolving a name.
pub fn is_listen_address(text: &str) -> bool {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::Rule;

    #[test]
    fn rules_hold_for_what_machines_can_use() {
        for (rule, good, bad) in [
            (
                Rule::Range(1, 65535),
                &["1", "65535", "$port"][..],
                &["0", "65536", "x"][..],
            ),
            (
                Rule::Address,
                &["10.0.0.1", "fd00::1"],
                &["10.0.0", "10.0.0.1/8", "host"],
            ),
            (
                Rule::Prefix,
                &["10.0.0.2/24", "10.0.0.2", "fd00::1/64", "$private_ipv4/24"],
                &["10.0.0.2/33", "10.0.0.2/", "10.0.0.300/24", "fd00::1/129"],
            ),
            (
                Rule::Domain,
                &["example.org", "a, b.c", "_x.a-b.", "$domain"],
                &["~corp.example", "a/b", "ä"],
            ),
            (
                Rule::Listen,
                &["0.0.0.0", "::", "[::1]", "[::1]:22", "10.0.0.1:2222"],
                &["nowhere", "10.0.0.1:x", "[::1"],
            ),
        ] {
            for text in good {
                assert!(rule.holds(text), "{rule:?}: {text}");
            }
            for text in bad {
                assert!(!rule.holds(text), "{rule:?}: {text}");
            }
        }
    }
}
