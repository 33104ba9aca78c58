//! What is seen of the network: carriers, default routes, name servers, and whether DHCP is asked.

use std::fs;
use std::path::Path;

/// Links as the kernel shows them.
const LINKS: &str = "/sys/class/net";
/// The lowest bit of a link's flags (netdevice(7), IFF_UP).
const IFF_UP: u32 = 1;
/// The program that asks for addresses; the service network starts it when a link is to have one.
const DHCP: &str = "dhcpcd";

/// The network at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Network {
    /// Whether there is a default route of IPv4, and of IPv6.
    pub(super) routes: (bool, bool),
    /// Whether there is a name server.
    pub(super) dns: bool,
    /// Cards that are switched on.
    pub(super) up: usize,
    /// Those of them that have a carrier.
    pub(super) carriers: usize,
    /// Whether somebody asks for addresses.
    pub(super) dhcp: bool,
}

impl Network {
    /// Looks at the machine.
    pub(super) fn look() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let (up, carriers) = cards(Path::new(LINKS));
        Self {
            routes: (
                has_default_v4(&read("/proc/net/route")),
                has_default_v6(&read("/proc/net/ipv6_route")),
            ),
            dns: has_name_server(&read("/etc/resolv.conf")),
            up,
            carriers,
            dhcp: runs(DHCP),
        }
    }
}

/// How many cards are up, and how many of these have a carrier; bridges, tunnels and the like are none.
fn cards(links: &Path) -> (usize, usize) {
    let (mut up, mut carriers) = (0, 0);
    for entry in fs::read_dir(links).into_iter().flatten().flatten() {
        let folder = entry.path();
        let flags = fs::read_to_string(folder.join("flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16);
        if !folder.join("device").exists() || flags.unwrap_or(0) & IFF_UP == 0 {
            continue;
        }
        up += 1;
        let carrier = fs::read_to_string(folder.join("carrier"));
        carriers += usize::from(carrier.is_ok_and(|text| text.trim() == "1"));
    }
    (up, carriers)
}

/// Whether a process of this name runs; the console sees all of the machine.
fn runs(program: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|entry| fs::read_to_string(entry.path().join("comm")).unwrap_or_default())
        .any(|name| name.trim_end() == program)
}

/// A route to 0.0.0.0/0 (proc_net_route: destination, then seven fields, then the mask).
fn has_default_v4(table: &str) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    })
}

/// A route to ::/0 by a link that is not loopback: the kernel has one for `lo` that rejects everything.
fn has_default_v6(table: &str) -> bool {
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let everything = fields
            .first()
            .is_some_and(|to| to.bytes().all(|byte| byte == b'0'));
        everything && fields.get(1) == Some(&"00") && fields.last() != Some(&"lo")
    })
}

fn has_name_server(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().starts_with("nameserver "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_are_told_from_others() {
        let head =
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
        let line = |to: &str, mask: &str| {
            format!("{head}eth0\t{to}\t0202000A\t0003\t0\t0\t100\t{mask}\t0\t0\t0\n")
        };
        assert!(has_default_v4(&line("00000000", "00000000")));
        assert!(!has_default_v4(&line("00000000", "000000FF")), "0.0.0.0/8");
        assert!(!has_default_v4(&line("0002000A", "00FFFFFF")));
        assert!(!has_default_v4(head));
        let zeros = "0".repeat(32);
        let line = |bits: &str, link: &str| {
            format!("{zeros} {bits} {zeros} 00 {zeros} 00000400 1 0 00000003 {link}\n")
        };
        assert!(has_default_v6(&line("00", "eth0")));
        assert!(!has_default_v6(&line("00", "lo")));
        assert!(!has_default_v6(&line("40", "eth0")));
    }

    #[test]
    fn only_cards_that_are_up_can_miss_a_carrier() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, card: bool, flags: &str, carrier: Option<&str>| {
            let link = folder.path().join(name);
            fs::create_dir_all(&link).unwrap();
            if card {
                fs::create_dir(link.join("device")).unwrap();
            }
            fs::write(link.join("flags"), flags).unwrap();
            if let Some(carrier) = carrier {
                fs::write(link.join("carrier"), carrier).unwrap();
            }
        };
        link("lo", false, "0x9\n", Some("1\n"));
        link("docker0", false, "0x1003\n", Some("1\n"));
        link("eth0", true, "0x1003\n", Some("0\n"));
        // The carrier of a link that is down cannot be read
        link("eth1", true, "0x1002\n", None);
        assert_eq!(cards(folder.path()), (1, 0));
        link("eth2", true, "0x1003\n", Some("1\n"));
        assert_eq!(cards(folder.path()), (2, 1));
    }
}
