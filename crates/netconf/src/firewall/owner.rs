//! Rules that are not the user's: what dockerd and `ros` make for User Docker, told by their form.
//!
//! A rule of dockerd's that is taken for the user's would be deleted with the user's command, and a network of containers with it.
//! One of the user's that is taken for dockerd's only stays until the next boot. So in doubt a rule is dockerd's.

use config::words;

use super::Place;

/// Chains of dockerd's begin with it.
const DOCKER: &str = "DOCKER";
/// The chain that dockerd keeps for the user's rules.
const DOCKER_USER: &str = "DOCKER-USER";
/// The chain in which `ros` keeps published ports while dockerd starts.
const PORTS: &str = "RANCHER-PORTS";
/// The mark by which `ros` drops what is routed straight to containers.
const MARK: &str = "0x20000000/0x20000000";
/// Digits in the name of a network's bridge. People call theirs br0 or br-lan.
const BRIDGE_DIGITS: usize = 12;

/// Whether a chain and what is in it are not the user's.
pub(super) fn is_foreign_chain(chain: &str) -> bool {
    chain == PORTS || chain.starts_with(DOCKER) && chain != DOCKER_USER
}

/// Whether somebody else makes and removes the chain: a user may fill DOCKER-USER, but dockerd needs it.
pub(super) fn is_foreign_name(chain: &str) -> bool {
    chain == PORTS || chain.starts_with(DOCKER)
}

/// Whether a rule is not the user's, or cannot be written again as it was read.
pub(super) fn is_foreign(place: &Place, rule: &str) -> bool {
    let Ok(words) = words::split(rule) else {
        return true;
    };
    if rule.chars().any(char::is_control) || is_foreign_chain(&place.chain) {
        return true;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let target = target(&words).unwrap_or_default();
    if place.chain == DOCKER_USER {
        return words == ["-j", "RETURN"]; // dockerd's own
    }
    if is_foreign_chain(target) || target == DOCKER_USER && place.chain == "FORWARD" {
        return true;
    }
    let of_swarm = value(&words, "-m", "u32") && words.contains(&"4789");
    let has_veth = links(&words).any(|link| link.starts_with("veth"));
    if of_swarm || has_veth || words.contains(&MARK) {
        return true;
    }
    let has_docker_link = links(&words).any(is_docker_link);
    match (place.table.as_str(), place.chain.as_str()) {
        ("filter", "FORWARD") => has_docker_link && is_plain(&words),
        ("nat", "POSTROUTING") => {
            let translates = matches!(target, "MASQUERADE" | "SNAT");
            translates && (has_docker_link || is_to_itself(&words))
        }
        ("nat" | "raw", "PREROUTING") => has_docker_link,
        _ => false,
    }
}

/// The chain or the target that a rule leads to.
pub(super) fn target<'a>(words: &[&'a str]) -> Option<&'a str> {
    let mut pairs = words.windows(2);
    pairs.find_map(|pair| matches!(pair[0], "-j" | "-g").then_some(pair[1]))
}

/// Whether an option has a value somewhere.
fn value(words: &[&str], option: &str, value: &str) -> bool {
    words.windows(2).any(|pair| pair == [option, value])
}

/// The links that a rule names, also those that it is not for.
fn links<'a>(words: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    let pairs = words.windows(2);
    pairs.filter_map(|pair| matches!(pair[0], "-i" | "-o").then_some(pair[1]))
}

/// Bridges of Docker's networks, by the names that dockerd gives them.
fn is_docker_link(name: &str) -> bool {
    let of_network = name.strip_prefix("br-").is_some_and(|digits| {
        digits.len() == BRIDGE_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    of_network || name.starts_with("docker")
}

/// Whether a rule asks for nothing but links and the state of the connection, as those of dockerd in FORWARD do.
fn is_plain(words: &[&str]) -> bool {
    let mut options = words.iter().filter(|word| word.starts_with('-'));
    options.all(|option| matches!(*option, "-i" | "-o" | "-j" | "-m" | "--ctstate"))
        && words
            .windows(2)
            .all(|pair| pair[0] != "-m" || pair[1] == "conntrack")
}

/// From a container to itself by its published port.
fn is_to_itself(words: &[&str]) -> bool {
    let after = |option| words.iter().skip_while(move |word| **word != option).nth(1);
    let (source, destination) = (after("-s"), after("-d"));
    source.is_some() && source == destination
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_containers_are_the_users_when_dockerd_has_none_like_them() {
        for (place, rule, foreign) in [
            (
                "filter DOCKER-USER",
                "-i eth0 ! -s 192.0.2.0/24 -j DROP",
                false,
            ),
            ("filter DOCKER-USER", "-i docker0 -j DROP", false),
            ("filter DOCKER-USER", "-j RETURN", true),
            ("filter FORWARD", "-i docker0 -d 10.0.0.0/8 -j DROP", false),
            (
                "filter FORWARD",
                "-i docker0 -o br-0123456789ab -j ACCEPT",
                true,
            ),
            ("filter FORWARD", "-i br-lan -o eth0 -j ACCEPT", false),
            ("filter INPUT", "-i docker0 -j DROP", false),
            ("filter INPUT", "-j DOCKER-USER", false),
            ("filter INPUT", "-i veth12 -j DROP", true),
            (
                "filter INPUT",
                "-m comment --comment \"not -j DOCKER\" -j DROP",
                false,
            ),
            (
                "filter INPUT",
                "-m comment --comment \"it\\'s\" -j DROP",
                false,
            ),
            ("filter INPUT", "-m comment --comment \"open -j DROP", true),
            (
                "filter INPUT",
                "-m comment --comment \"two\nlines\" -j DROP",
                true,
            ),
            (
                "nat POSTROUTING",
                "-s 10.0.0.0/8 -o eth0 -j MASQUERADE",
                false,
            ),
            (
                "nat PREROUTING",
                "-p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080",
                false,
            ),
            ("nat DOCKER", "-p tcp -j ACCEPT", true),
        ] {
            let (table, chain) = place.split_once(' ').unwrap();
            let place = Place {
                table: table.into(),
                chain: chain.into(),
            };
            assert_eq!(is_foreign(&place, rule), foreign, "{place:?} {rule}");
        }
    }
}
