//! Which entry of `interfaces` is for which link (RancherOS's rules, but the same at every boot).

use std::collections::BTreeMap;

use config::cloud_config::Interface;

/// A link as far as entries are matched with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Name of the link.
    pub name: String,
    /// Hardware address, `52:54:00:12:34:56`.
    pub mac: Option<String>,
    /// Whether `mac=` may mean it: bonds, bridges and VLANs have the addresses of their links.
    pub is_hardware: bool,
    /// A VLAN carries no VLANs, or a glob would go on for ever.
    pub is_vlan: bool,
}

/// What an entry is matched by: its `match`, or its key.
pub fn pattern<'e>(key: &'e str, entry: &'e Interface) -> &'e str {
    entry.matching.as_deref().unwrap_or(key)
}

/// The entry for a link: a hardware address beats an exact name, that beats a glob, and of two globs the one with more
/// plain characters is taken, then the first by name.
pub fn entry_for<'e>(
    entries: &'e BTreeMap<String, Interface>,
    link: &Candidate,
) -> Option<(&'e str, &'e Interface)> {
    entries
        .iter()
        .filter_map(|(key, entry)| Some((rank(pattern(key, entry), link)?, key, entry)))
        // The first of equals: max_by_key would take the last.
        .rev()
        .max_by_key(|(rank, ..)| *rank)
        .map(|(_, key, entry)| (key.as_str(), entry))
}

/// How well a pattern fits; none when it does not.
fn rank(pattern: &str, link: &Candidate) -> Option<(u8, usize)> {
    let plain = pattern.chars().filter(|c| *c != '*').count();
    if let Some(wanted) = hardware(pattern) {
        let mac = link.mac.as_deref().filter(|_| link.is_hardware)?;
        let fits = glob(
            &wanted.to_ascii_lowercase().replace('-', ":"),
            &mac.to_ascii_lowercase(),
        );
        return fits.then_some((if wanted.contains('*') { 3 } else { 4 }, plain));
    }
    if pattern == link.name {
        return Some((2, plain));
    }
    (pattern.contains('*') && glob(pattern, &link.name)).then_some((1, plain))
}

/// The address of `mac=ADDRESS` or `mac:ADDRESS`.
pub fn hardware(pattern: &str) -> Option<&str> {
    pattern
        .strip_prefix("mac=")
        .or_else(|| pattern.strip_prefix("mac:"))
}

/// `*` stands for any characters. Linear: only the last star is ever tried again.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            p = at + 1;
            t = from + 1;
            star = Some((at, t));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, mac: &str) -> Candidate {
        Candidate {
            name: name.into(),
            mac: Some(mac.into()),
            is_hardware: !name.starts_with("bond"),
            is_vlan: false,
        }
    }

    fn entries(patterns: &[(&str, Option<&str>)]) -> BTreeMap<String, Interface> {
        let entry = |matching: &Option<&str>| Interface {
            matching: matching.map(str::to_owned),
            ..Interface::default()
        };
        patterns
            .iter()
            .map(|(key, matching)| ((*key).to_owned(), entry(matching)))
            .collect()
    }

    /// The table of RancherOS's TestFindMatch, and what it left to chance.
    #[test]
    fn the_best_entry_is_taken() {
        for (patterns, name, mac, want) in [
            (
                &[("mac=aa:bb:cc:dd:ee:ff", None), ("eth0", None)][..],
                "eth0",
                "aa:bb:cc:dd:ee:ff",
                Some("mac=aa:bb:cc:dd:ee:ff"),
            ),
            (
                &[("mac:AA:BB:CC:DD:EE:FF", None), ("eth*", None)],
                "eth0",
                "aa:bb:cc:dd:ee:ff",
                Some("mac:AA:BB:CC:DD:EE:FF"),
            ),
            (
                &[("mac=aa:bb:cc:dd:ee:fe", None), ("eth*", None)],
                "eth0",
                "aa:bb:cc:dd:ee:ff",
                Some("eth*"),
            ),
            (
                &[("mac=aa:bb:*", None), ("mac=aa:bb:cc:dd:ee:ff", None)],
                "eth0",
                "aa:bb:cc:dd:ee:ff",
                Some("mac=aa:bb:cc:dd:ee:ff"),
            ),
            (&[("eth*", None), ("eth0", None)], "eth0", "", Some("eth0")),
            (&[("et*", None), ("eth*", None)], "eth5", "", Some("eth*")),
            (&[("*0", None), ("e*", None)], "e0", "", Some("*0")),
            (
                &[("a", Some("eth1")), ("eth1", Some("eth2"))],
                "eth1",
                "",
                Some("a"),
            ),
            (
                &[("mac=aa:bb:cc:dd:ee:ff", None)],
                "bond0",
                "aa:bb:cc:dd:ee:ff",
                None,
            ),
            (&[("eth0", None)], "eth01", "", None),
        ] {
            let entries = entries(patterns);
            let found = entry_for(&entries, &link(name, mac)).map(|(key, _)| key);
            assert_eq!(found, want, "{patterns:?} for {name}");
        }
    }

    #[test]
    fn globs_end_on_long_input() {
        assert!(glob("a*b*c", "aXXbYYc"));
        assert!(!glob(&"*a".repeat(30), &"b".repeat(1000)));
    }
}
