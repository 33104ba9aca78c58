//! Whether a machine is again what it was, by the kernel's own state.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use sys::netlink::{Cidr, Link, Rtnetlink};
use sys::sysctl;

use crate::machine::Machine;

/// How the mark of a link begins that the service network has made or given something (netconf, clean.rs). Links of containers
/// and of other programs have none, and come and go.
const MARK: &str = "rancher.network";
/// The resolver's file, and the most of it that is read.
const RESOLV_CONF: &str = "/etc/resolv.conf";
const LONGEST_RESOLV_CONF: u64 = 64 << 10;
/// How long the earlier addresses and routes may take to be back: a server of DHCP answers in that time.
const BACK_DEADLINE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Links, addresses, gateways and name servers, in words; none when nobody has looked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot(Option<BTreeSet<String>>);

impl Snapshot {
    /// As they are now; without netlink there is nothing to compare.
    pub(super) fn take() -> Snapshot {
        Snapshot(look().ok())
    }

    /// Waits until everything is as it was here; what is not. `during` is how it was while the change held.
    pub(super) async fn back(&self, during: &Snapshot) -> Vec<String> {
        let end = tokio::time::Instant::now() + BACK_DEADLINE;
        loop {
            let wrong = self.differs(during, &look().unwrap_or_default());
            if wrong.is_empty() || tokio::time::Instant::now() > end {
                return wrong;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What came by itself in between (another lease, a router's prefix) is not left over from the change.
    fn differs(&self, during: &Snapshot, now: &BTreeSet<String>) -> Vec<String> {
        let Some(before) = &self.0 else {
            return Vec::new();
        };
        let gone = before.iter().filter(|line| !now.contains(*line));
        let during = during.0.iter().flatten();
        let left = during.filter(|line| now.contains(*line) && !before.contains(*line));
        gone.map(|line| format!("{line} is missing"))
            .chain(left.map(|line| format!("{line} is left over")))
            .collect()
    }
}

fn is_marked(link: &Link) -> bool {
    let alias = link.alias.as_deref();
    alias.is_some_and(|alias| alias.starts_with(MARK))
}

fn look() -> sys::netlink::Result<BTreeSet<String>> {
    let mut netlink = Rtnetlink::open()?;
    let links = netlink.links()?;
    let is_own = |link: &&Link| link.name != "lo" && (link.kind.is_empty() || is_marked(link));
    let own = |index: u32| {
        let link = links.iter().find(|link| link.index == index);
        link.filter(is_own).map(|link| link.name.as_str())
    };
    let mut lines: BTreeSet<String> = links.iter().filter(is_own).flat_map(of_link).collect();
    for link in links.iter().filter(is_own) {
        if let Some(master) = links.iter().find(|one| Some(one.index) == link.master) {
            lines.insert(format!("{} in {}", link.name, master.name));
        }
    }
    for address in netlink.addresses()? {
        if let Some(link) = own(address.link).filter(|_| !address.link_local) {
            // A link that a router tells its prefix may choose another address there (RFC 7217, RFC 8981).
            let cidr = address.cidr;
            let shown = if cidr.is_ipv6() { cidr.network() } else { cidr };
            lines.insert(format!("address {shown} of {link}"));
        }
    }
    for route in netlink.routes()? {
        let is_default = route.destination.prefix() == 0;
        if let (Some(gateway), Some(link)) = (route.gateway.filter(|_| is_default), own(route.link))
        {
            let gateway: Cidr = Cidr::host(gateway);
            lines.insert(format!("gateway {} through {link}", gateway.address()));
        }
    }
    let text = sys::regular::read(Path::new(RESOLV_CONF), LONGEST_RESOLV_CONF);
    lines.extend(of_resolver(&String::from_utf8_lossy(
        &text.unwrap_or_default(),
    )));
    Ok(lines)
}

/// Its size, and that it is there: a card that is pulled out is not a matter of the configuration.
fn of_link(link: &Link) -> Vec<String> {
    let made = (!link.kind.is_empty()).then(|| format!("link {}", link.name));
    let size = format!("MTU {} of {}", link.mtu, link.name);
    made.into_iter().chain([size]).collect()
}

/// Each server and domain.
fn of_resolver(text: &str) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in text.lines() {
        let (key, words) = line.split_once(' ').unwrap_or((line, ""));
        if matches!(key, "nameserver" | "search") {
            let words = words.split_ascii_whitespace();
            lines.extend(words.map(|word| format!("{key} {word}")));
        }
    }
    lines
}

/// What of PID 1's own part is not as the configuration says.
pub(super) fn machine(machine: &Machine) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = sysctl::read("kernel.hostname").unwrap_or_default();
    // A DHCP server may say another one at any time.
    if machine.is_named && name != machine.hostname {
        wrong.push(format!("the host name is {name}, not {}", machine.hostname));
    }
    for (key, value) in &machine.config.rancher.sysctl {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let (now, want) = (
            sysctl::read(key).unwrap_or_default(),
            value.as_deref().unwrap_or(""),
        );
        if words(&now) != words(want) {
            wrong.push(format!("rancher.sysctl: {key} is {now:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(lines: &[&str]) -> Snapshot {
        Snapshot(Some(lines.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn what_is_gone_and_what_the_change_left_is_named_and_nothing_else() {
        let before = snapshot(&["address a", "gateway g", "MTU 1500 of eth0"]);
        let during = snapshot(&["address b", "MTU 70 of eth0", "link bond0"]);
        let wrong = |now: &[&str]| before.differs(&during, &snapshot(now).0.expect("lines"));
        let all = ["address a", "gateway g", "MTU 1500 of eth0", "address c"];
        assert!(wrong(&all).is_empty(), "c came by itself");
        assert_eq!(
            wrong(&["address b", "gateway g", "MTU 70 of eth0", "link bond0"]),
            [
                "MTU 1500 of eth0 is missing",
                "address a is missing",
                "MTU 70 of eth0 is left over",
                "address b is left over",
                "link bond0 is left over"
            ]
        );
        // A program that has taken over does not know what was before.
        let unknown = Snapshot::default();
        assert!(unknown.differs(&during, &BTreeSet::new()).is_empty());
    }

    #[test]
    fn the_resolvers_file_is_its_servers_and_domains() {
        let text = "# a comment\nsearch a.b c.d\nnameserver 10.0.2.3\noptions x\n";
        let lines: Vec<String> = of_resolver(text).into_iter().collect();
        assert_eq!(lines, ["nameserver 10.0.2.3", "search a.b", "search c.d"]);
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn links_of_the_machine_are_seen_and_links_of_others_are_not() {
        let netns = sys::netlink::new_netns().expect("a namespace");
        let lines = sys::netlink::in_netns(std::os::fd::AsFd::as_fd(&netns), || {
            let mut netlink = Rtnetlink::open()?;
            for (name, mtu) in [("own0", 1400), ("other0", 1300)] {
                netlink.create_link(&sys::netlink::NewLink {
                    name,
                    kind: sys::netlink::LinkKind::Bridge(Default::default()),
                    mac: None,
                    mtu: Some(mtu),
                    master: None,
                    netns: None,
                    up: false,
                })?;
            }
            let index = netlink
                .links()?
                .iter()
                .find(|l| l.name == "own0")
                .map_or(0, |l| l.index);
            let change = sys::netlink::LinkChange {
                alias: Some("rancher.network made=1"),
                ..Default::default()
            };
            netlink.change_link(index, "own0", &change)?;
            look()
        })
        .expect("entered")
        .expect("looked");
        assert!(lines.contains("link own0") && lines.contains("MTU 1400 of own0"));
        assert!(
            !lines.iter().any(|line| line.contains("other0")),
            "{lines:?}"
        );
    }
}
