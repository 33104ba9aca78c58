//! Whether a machine is again what it was, by the kernel's own state.

use std::time::Duration;

use sys::netlink::{Cidr, Rtnetlink};
use sys::sysctl;

use crate::machine::Machine;

/// Links that are not the machine's own: containers come and go.
const FOREIGN: &[&str] = &[
    "lo", "docker", "br-", "veth", "cni", "flannel", "cali", "dummy", "ifb",
];
/// How long the earlier addresses and routes may take to be back: a server of DHCP answers in that time.
const BACK_DEADLINE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Addresses and gateways, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Snapshot(Vec<String>);

impl Snapshot {
    /// As they are now; without netlink there is nothing to compare.
    pub(super) fn take() -> Snapshot {
        Snapshot(look().unwrap_or_default())
    }

    /// Waits until everything is back; what is not.
    pub(super) async fn back(&self) -> Vec<String> {
        let end = tokio::time::Instant::now() + BACK_DEADLINE;
        loop {
            let missing = self.missing(&look().unwrap_or_default());
            if missing.is_empty() || tokio::time::Instant::now() > end {
                return missing;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn missing(&self, now: &[String]) -> Vec<String> {
        let gone = self.0.iter().filter(|line| !now.contains(line));
        gone.map(|line| format!("{line} is missing")).collect()
    }
}

fn look() -> sys::netlink::Result<Vec<String>> {
    let mut netlink = Rtnetlink::open()?;
    let own: Vec<_> = netlink
        .links()?
        .into_iter()
        .filter(|link| !FOREIGN.iter().any(|prefix| link.name.starts_with(prefix)))
        .collect();
    let name = |index: u32| {
        own.iter()
            .find(|link| link.index == index)
            .map(|link| link.name.clone())
    };
    let mut lines = Vec::new();
    for address in netlink.addresses()? {
        let is_own = !address.link_local;
        if let Some(link) = name(address.link).filter(|_| is_own) {
            // A link that a router tells its prefix may choose another address there (RFC 7217, RFC 8981).
            let cidr = address.cidr;
            let shown = if cidr.is_ipv6() { cidr.network() } else { cidr };
            lines.push(format!("address {shown} of {link}"));
        }
    }
    for route in netlink.routes()? {
        let is_default = route.destination.prefix() == 0;
        if let (Some(gateway), Some(link)) =
            (route.gateway.filter(|_| is_default), name(route.link))
        {
            let gateway: Cidr = Cidr::host(gateway);
            lines.push(format!("gateway {} through {link}", gateway.address()));
        }
    }
    Ok(lines)
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
    use super::Snapshot;

    #[test]
    fn what_is_gone_is_named_and_what_is_new_is_not() {
        let before = Snapshot(vec!["address a".into(), "gateway g".into()]);
        assert_eq!(
            before.missing(&["gateway g".into(), "address b".into()]),
            ["address a is missing"]
        );
        assert!(
            before
                .missing(&["gateway g".into(), "address a".into()])
                .is_empty()
        );
    }
}
