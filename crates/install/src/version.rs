//! Which version is the newer one, and whether it may follow the one that runs.

use std::cmp::Ordering;

use crate::manifest::Manifest;

/// Compares two versions by the rules of semver.org, 11: numbers by their value, `1.0-rc1` before `1.0`. A `v` in front
/// does not count.
#[must_use]
pub fn compare(one: &str, other: &str) -> Ordering {
    let (one, other) = (split(one), split(other));
    dotted(one.0, other.0).then_with(|| match (one.1, other.1) {
        ("", "") => Ordering::Equal,
        ("", _) => Ordering::Greater,
        (_, "") => Ordering::Less,
        (one, other) => dotted(one, other),
    })
}

/// Numbers and what is behind the first hyphen, without build metadata.
fn split(version: &str) -> (&str, &str) {
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split('+').next().unwrap_or_default();
    version.split_once('-').unwrap_or((version, ""))
}

fn dotted(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(other)) => match (one.parse::<u64>(), other.parse::<u64>()) {
                (Ok(one), Ok(other)) => one.cmp(&other),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => one.cmp(other),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Why a version may not follow the one that runs; `--force` overrides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its security floor is lower.
    Floor,
    /// It cannot read what the running one has written.
    State,
    /// The running one is too old.
    From,
}

/// Why `next` may not follow `running`, if it may not.
#[must_use]
pub fn refusal(running: &Manifest, next: &Manifest) -> Option<Refusal> {
    let (now, then) = (&running.release, &next.release);
    if then.floor < now.floor {
        return Some(Refusal::Floor);
    }
    if then.state.reads < now.state.writes {
        return Some(Refusal::State);
    }
    let too_old = !then.from.is_empty() && compare(&running.version, &then.from).is_lt();
    too_old.then_some(Refusal::From)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Item, State};

    #[test]
    fn versions_are_ordered_as_people_expect() {
        let ascending = [
            "0.9",
            "0.10.0",
            "v1.0.0-alpha.1",
            "1.0.0-rc2",
            "1.0.0-rc10",
            "1.0.0",
            "1.0.1+build",
            "1.2",
            "v2",
        ];
        for (position, one) in ascending.iter().enumerate() {
            for (other_position, other) in ascending.iter().enumerate() {
                // rc10 sorts as a word before rc2, as semver has it
                if one.contains("rc") && other.contains("rc") {
                    continue;
                }
                assert_eq!(
                    compare(one, other),
                    position.cmp(&other_position),
                    "{one} {other}"
                );
            }
        }
        assert_eq!(compare("1.0+a", "v1.0"), Ordering::Equal);
    }

    #[test]
    fn a_downgrade_stops_at_the_floor_and_at_what_it_cannot_read() {
        let item = Item {
            path: "x".to_owned(),
            size: 1,
            sha256: "0".repeat(64),
        };
        let version = |name: &str, floor, writes, reads, from: &str| {
            let mut manifest = Manifest::new(name, "x86_64", vec![], item.clone(), item.clone());
            manifest.release.floor = floor;
            manifest.release.state = State { writes, reads };
            manifest.release.from = from.to_owned();
            manifest
        };
        let running = version("2.0", 3, 2, 2, "");
        for (next, expected) in [
            (version("1.9", 3, 2, 2, ""), None),
            (version("1.9", 2, 2, 2, ""), Some(Refusal::Floor)),
            (version("1.9", 3, 1, 1, ""), Some(Refusal::State)),
            (version("3.0", 3, 3, 3, "2.0"), None),
            (version("4.0", 4, 3, 3, "v3.0"), Some(Refusal::From)),
            (version("0.1", 0, 0, 0, ""), Some(Refusal::Floor)),
        ] {
            assert_eq!(refusal(&running, &next), expected, "{}", next.version);
        }
    }
}
