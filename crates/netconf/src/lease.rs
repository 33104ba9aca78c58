//! What dhcpcd tells the program that it runs for each event of a lease, in variables (dhcpcd-run-hooks(8)).
//!
//! Their values are a stranger's: words that are not what they should be are left out.

use serde::{Deserialize, Serialize};

use crate::resolver::{is_domain, is_server};

/// Metric of a link that dhcpcd does not say one of.
const NO_METRIC: u32 = u32::MAX;
/// Router advertisements, and options of one, that are looked at.
const MAX_OPTIONS: usize = 16;

/// Name servers and search domains that one protocol of one link has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learnt {
    /// The link.
    pub link: String,
    /// `dhcp`, `dhcp6` or `ra`.
    pub protocol: String,
    /// Metric of the link's routes.
    pub metric: u32,
    /// Addresses of name servers.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What the link has from now on; nothing when it has lost it.
    pub learnt: Option<Learnt>,
    /// The link.
    pub link: String,
    /// Who says it.
    pub protocol: String,
    /// What the server calls the machine, unchecked.
    pub name: Option<String>,
    /// Why dhcpcd says it, such as `BOUND`.
    pub reason: String,
    /// Parts of the machine that `nohook` takes from dhcpcd.
    skipped: Vec<String>,
}

impl Event {
    /// From the variables; none when nothing has changed for the machine.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Option<Event> {
        let is = |name: &str| variable(name).as_deref() == Some("true");
        let word = |name: &str| variable(name).unwrap_or_default();
        let (link, protocol, reason) = (word("interface"), word("protocol"), word("reason"));
        let is_up = is("if_up") || reason == "ROUTERADVERT";
        let is_known = matches!(protocol.as_str(), "dhcp" | "dhcp6" | "ra");
        let is_link = crate::values::is_name(&link);
        if !is("if_configured") || !is_known || !is_link || !(is_up || is("if_down")) {
            return None;
        }
        let (servers, search) = said(&protocol, &variable);
        let metric = variable("ifmetric").and_then(|metric| metric.parse().ok());
        let learnt = Learnt {
            link: link.clone(),
            protocol: protocol.clone(),
            metric: metric.unwrap_or(NO_METRIC),
            servers,
            search,
        };
        // A lease without servers is an answer; an advertisement without them is nothing.
        let is_empty = learnt.servers.is_empty() && learnt.search.is_empty();
        let has_some = is_up && !(protocol == "ra" && is_empty);
        Some(Event {
            learnt: has_some.then_some(learnt),
            name: variable("new_host_name").filter(|_| protocol == "dhcp" && is_up),
            link,
            protocol,
            reason,
            skipped: words(&word("skip_hooks")),
        })
    }

    /// Whether `nohook` names this part (dhcpcd.conf(5)).
    pub fn is_skipped(&self, part: &str) -> bool {
        self.skipped.iter().any(|skipped| skipped == part)
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Servers and domains in the words of a protocol.
fn said(protocol: &str, variable: &impl Fn(&str) -> Option<String>) -> (Vec<String>, Vec<String>) {
    let list = |name: &str| words(&variable(name).unwrap_or_default());
    let (mut servers, mut search) = match protocol {
        "dhcp" => {
            let mut search = list("new_domain_search");
            if search.is_empty() {
                search = list("new_domain_name");
            }
            (list("new_domain_name_servers"), search)
        }
        "dhcp6" => (
            list("new_dhcp6_name_servers"),
            list("new_dhcp6_domain_search"),
        ),
        _ => advertised(variable),
    };
    servers.retain(|word| is_server(word));
    search.retain(|word| is_domain(word));
    (servers, search)
}

/// What routers say, as long as it holds (RFC 8106, 5.1 and 5.2: a lifetime in seconds, 0 takes it back).
fn advertised(variable: &impl Fn(&str) -> Option<String>) -> (Vec<String>, Vec<String>) {
    let number = |name: String| variable(&name)?.parse::<u64>().ok();
    let (mut servers, mut search) = (Vec::new(), Vec::new());
    for router in 1..=MAX_OPTIONS {
        let acquired = number(format!("nd{router}_acquired"));
        let (Some(acquired), Some(now)) = (acquired, number(format!("nd{router}_now"))) else {
            break;
        };
        let age = now.saturating_sub(acquired);
        let kinds = [
            ("rdnss", "servers", &mut servers),
            ("dnssl", "search", &mut search),
        ];
        for (kind, value, list) in kinds {
            for option in 1..=MAX_OPTIONS {
                let name = format!("nd{router}_{kind}{option}");
                let Some(lifetime) = number(format!("{name}_lifetime")) else {
                    break;
                };
                if lifetime > age {
                    list.extend(words(
                        &variable(&format!("{name}_{value}")).unwrap_or_default(),
                    ));
                }
            }
        }
    }
    (servers, search)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(words: &[&str]) -> Option<Event> {
        Event::new(|name| {
            let mut pairs = words.iter().filter_map(|word| word.split_once('='));
            pairs
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.to_owned())
        })
    }

    const DHCP: [&str; 5] = [
        "interface=eth0",
        "protocol=dhcp",
        "if_configured=true",
        "reason=BOUND",
        "ifmetric=1002",
    ];

    #[test]
    fn a_lease_has_servers_domains_and_a_name() {
        let mut words = DHCP.to_vec();
        words.extend([
            "if_up=true",
            "new_domain_name_servers=10.0.0.1 x;y 10.0.0.2",
            "new_domain_name=lan.example $(reboot)",
            "new_host_name=node",
            "skip_hooks=ntp hostname",
        ]);
        let event = event(&words).unwrap();
        let learnt = event.learnt.clone().unwrap();
        assert_eq!(learnt.servers, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(learnt.search, ["lan.example"]);
        assert_eq!((learnt.metric, event.name.as_deref()), (1002, Some("node")));
        assert!(event.is_skipped("hostname") && !event.is_skipped("resolv.conf"));
    }

    #[test]
    fn a_lease_that_ends_has_nothing_and_other_events_say_nothing() {
        let mut words = DHCP.to_vec();
        words.extend(["if_down=true", "new_domain_name_servers=10.0.0.1"]);
        assert_eq!(event(&words).unwrap().learnt, None);
        assert_eq!(event(&DHCP), None);
        assert_eq!(
            event(&[
                "interface=eth0",
                "protocol=link",
                "if_configured=true",
                "if_up=true"
            ]),
            None
        );
        let strange = [
            "interface=../x",
            "protocol=dhcp",
            "if_configured=true",
            "if_up=true",
        ];
        assert_eq!(event(&strange), None);
    }

    #[test]
    fn what_a_router_says_holds_for_its_time() {
        let words = [
            "interface=eth0",
            "protocol=ra",
            "if_configured=true",
            "reason=ROUTERADVERT",
            "nd1_acquired=100",
            "nd1_now=160",
            "nd1_rdnss1_lifetime=60",
            "nd1_rdnss1_servers=fd00::1",
            "nd1_rdnss2_lifetime=61",
            "nd1_rdnss2_servers=fd00::2 fe80::2%eth0",
            "nd1_dnssl1_lifetime=4294967295",
            "nd1_dnssl1_search=six.example",
        ];
        let learnt = event(&words).unwrap().learnt.unwrap();
        assert_eq!(learnt.servers, ["fd00::2", "fe80::2%eth0"]);
        assert_eq!(learnt.search, ["six.example"]);
        assert_eq!(event(&words[..6]).unwrap().learnt, None);
    }
}
