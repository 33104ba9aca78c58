//! Whose addresses are in use: those of every network namespace that a process lives in, except this one.
//!
//! dockerd is not there to be asked, and what it has written does not say which containers ended since.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// Addresses, each with the number of the network namespace that has it. A namespace is not told by its address: another
/// container may get the address of one that has ended.
pub(super) type Alive = BTreeSet<(IpAddr, u64)>;

/// Those of this moment. A process that ends while it is looked at is not alive.
pub(super) fn now() -> Alive {
    let own = namespace(Path::new("/proc/self"));
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let is_process = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let path = entry.path();
        if is_process && let Some(number) = namespace(&path).filter(|number| Some(*number) != own) {
            processes.entry(number).or_insert(path);
        }
    }
    let mut alive = Alive::new();
    for (number, process) in processes {
        let text =
            |name: &str| fs::read_to_string(process.join("net").join(name)).unwrap_or_default();
        let of_four = ipv4(&text("fib_trie")).into_iter().map(IpAddr::from);
        let of_six = ipv6(&text("if_inet6")).into_iter().map(IpAddr::from);
        alive.extend(of_four.chain(of_six).map(|address| (address, number)));
    }
    alive
}

/// The number of a process's network namespace, from a link like `net:[4026531840]` (namespaces(7)).
fn namespace(process: &Path) -> Option<u64> {
    let link = fs::read_link(process.join("ns/net")).ok()?;
    let number = link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    number.parse().ok()
}

/// Addresses of a namespace in its /proc/PID/net/fib_trie: each leaf is followed by what it is. Loopback is left out.
fn ipv4(fib_trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut leaf = None;
    let mut found = BTreeSet::new();
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf.filter(|address| !address.is_loopback()));
        }
    }
    found
}

/// The same of /proc/PID/net/if_inet6: 32 hexadecimal digits begin each line. What holds on one link only is left out, too.
fn ipv6(if_inet6: &str) -> BTreeSet<Ipv6Addr> {
    if_inet6
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok())
        .map(Ipv6Addr::from)
        .filter(|address| !address.is_loopback() && !address.is_unicast_link_local())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespaces_own_addresses_are_found() {
        let text = "Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 172.17.0.0/16 2 0 2
        |-- 172.17.0.0
           /16 link UNICAST
        |-- 172.17.0.2
           /32 host LOCAL
        |-- 172.17.255.255
           /32 link BROADCAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
";
        assert_eq!(ipv4(text), BTreeSet::from([Ipv4Addr::new(172, 17, 0, 2)]));
        let text = "00000000000000000000000000000001 01 80 10 80       lo
fe800000000000000042acfffe110002 02 40 20 80     eth0
fd000000000000000000000000000002 02 40 00 80     eth0
";
        assert_eq!(
            ipv6(text),
            BTreeSet::from(["fd00::2".parse::<Ipv6Addr>().unwrap()])
        );
    }

    #[test]
    fn this_machines_own_namespace_is_not_a_containers() {
        let own = namespace(Path::new("/proc/self")).unwrap();
        assert!(now().iter().all(|(_, number)| *number != own));
    }
}
