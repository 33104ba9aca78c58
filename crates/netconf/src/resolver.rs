//! resolv.conf(5) for the whole machine, from what the configuration and the servers of its links say.
//!
//! There is one file, and a resolver asks the servers in it in their order, whatever the name (resolv.conf(5)): what each link
//! says is put into one list. What the configuration says comes first, then what was learnt; links are in the order of their
//! metrics, so that the servers of the link that is used first are asked first.

use std::net::IpAddr;

use config::cloud_config::{LinkDns as Entry, Network};
use serde::{Deserialize, Serialize};

use crate::lease::Learnt;
use crate::plan::Plan;

/// The first line of the file.
pub const HEADER: &str =
    "# written by ros netconf: rancher.network, DHCP and router advertisements";

/// Servers that a resolver asks: glibc and musl ignore what stands behind (resolv.conf(5), MAXNS).
pub const MAX_SERVERS: usize = 3;
/// Search domains that are taken: a name that does not exist is looked up in each of them.
const MAX_DOMAINS: usize = 32;

/// What is wanted of the resolver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolver {
    /// Name servers of the whole machine; what is learnt is not used when there are some.
    pub servers: Vec<String>,
    /// Name servers for a machine that has no other.
    pub fallback: Vec<String>,
    /// Whether servers of DHCP were waited for, in vain.
    pub has_waited: bool,
    /// Search domains of the whole machine; those that are learnt are not used when there are some.
    pub search: Vec<String>,
    /// What entries of links say, the best link first.
    pub links: Vec<LinkDns>,
    /// What was wrong.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// What the entry of one link says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkDns {
    /// The link.
    pub link: String,
    /// Its name servers.
    pub servers: Vec<String>,
    /// Its search domains.
    pub search: Vec<String>,
    /// Whether servers that are learnt on it are left out.
    pub refuses_servers: bool,
    /// Whether search domains that are learnt on it are left out.
    pub refuses_search: bool,
}

/// Servers and domains in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The servers that are asked.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
    /// Servers that no resolver would ask.
    pub left_out: Vec<String>,
}

impl Resolver {
    /// From the configuration of the whole machine and its defaults.
    pub fn new(network: &Network, defaults: &Network) -> Resolver {
        let mut problems = Vec::new();
        let dns = &network.dns;
        let (servers, search) = taken(&dns.nameservers, &dns.search, &mut problems);
        Resolver {
            servers,
            search,
            fallback: defaults.dns.nameservers.clone(),
            problems,
            ..Resolver::default()
        }
    }

    /// With what the plan's links say in place of what they said before.
    #[must_use]
    pub fn with_links(mut self, plan: &Plan) -> Resolver {
        let mut links: Vec<_> = plan.links.iter().collect();
        links.sort_by_key(|link| (link.order(), link.name.clone()));
        let said = links.iter().map(|link| &link.dns);
        self.links = said
            .filter(|dns| **dns != LinkDns::of(&dns.link))
            .cloned()
            .collect();
        self
    }

    /// Whether the configuration names servers or domains.
    pub fn is_own(&self) -> bool {
        let mut links = self.links.iter();
        !self.servers.is_empty()
            || !self.search.is_empty()
            || links.any(|link| !link.servers.is_empty() || !link.search.is_empty())
    }

    /// One list, with what the servers of links have said.
    pub fn merge(&self, learnt: &[Learnt]) -> Merged {
        let mut learnt: Vec<&Learnt> = learnt.iter().collect();
        learnt.sort_by_key(|said| (said.metric, &said.link, &said.protocol));
        let entry = |link: &str| self.links.iter().find(|entry| entry.link == link);
        let uses_servers =
            |said: &&&Learnt| !entry(&said.link).is_some_and(|entry| entry.refuses_servers);
        let uses_search =
            |said: &&&Learnt| !entry(&said.link).is_some_and(|entry| entry.refuses_search);
        let mut servers = List::default();
        servers.extend(&self.servers);
        let mut search = List::default();
        search.extend(&self.search);
        for link in &self.links {
            servers.extend(&link.servers);
            search.extend(&link.search);
        }
        if self.servers.is_empty() {
            for said in learnt.iter().filter(uses_servers) {
                servers.extend(&said.servers);
            }
            let takes_search = self.search.is_empty();
            for said in learnt.iter().filter(uses_search).filter(|_| takes_search) {
                search.extend(&said.search);
            }
        }
        // A router's advertisement may come long before the server's answer.
        let is_answered = learnt.iter().any(|said| said.protocol.starts_with("dhcp"));
        if servers.0.is_empty() && (self.has_waited || is_answered) {
            servers.extend(&self.fallback);
        }
        let left_out = servers.0.split_off(servers.0.len().min(MAX_SERVERS));
        search.0.truncate(MAX_DOMAINS);
        Merged {
            servers: servers.0,
            search: search.0,
            left_out,
        }
    }
}

impl LinkDns {
    /// What a link says that says nothing.
    fn of(link: &str) -> LinkDns {
        LinkDns {
            link: link.to_owned(),
            ..LinkDns::default()
        }
    }

    /// From the link's entry, with what is wrong in it.
    pub(crate) fn new(link: &str, entry: &Entry) -> (LinkDns, Vec<String>) {
        let mut problems = Vec::new();
        let (servers, search) = taken(&entry.nameservers, &entry.search, &mut problems);
        let dns = LinkDns {
            link: link.to_owned(),
            servers,
            search,
            refuses_servers: entry.dhcp_nameservers == Some(false),
            refuses_search: entry.dhcp_search == Some(false),
        };
        (dns, problems)
    }
}

impl Merged {
    /// The file.
    pub fn text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if !self.search.is_empty() {
            text.push_str(&format!("search {}\n", self.search.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.left_out.is_empty() {
            let rest = self.left_out.join(" ");
            text.push_str(&format!(
                "# not asked, since a resolver asks {MAX_SERVERS}: {rest}\n"
            ));
        }
        text
    }
}

/// Words in order, each once.
#[derive(Default)]
struct List(Vec<String>);

impl List {
    fn extend(&mut self, words: &[String]) {
        for word in words {
            if !self.0.contains(word) {
                self.0.push(word.clone());
            }
        }
    }
}

/// Servers and domains of an entry that can be used; a word to each that cannot.
fn taken(
    servers: &[String],
    search: &[String],
    problems: &mut Vec<String>,
) -> (Vec<String>, Vec<String>) {
    let (servers, bad): (Vec<_>, Vec<_>) = words(servers).partition(|word| is_server(word));
    let named = bad
        .iter()
        .map(|word| format!("dns.nameservers: {word:?} is not an address"));
    problems.extend(named);
    let (search, bad): (Vec<_>, Vec<_>) = words(search).partition(|word| is_domain(word));
    let named = bad
        .iter()
        .map(|word| format!("dns.search: {word:?} is not a domain"));
    problems.extend(named);
    (servers, search)
}

/// An item may be several words, as RancherOS took them.
fn words(texts: &[String]) -> impl Iterator<Item = String> {
    let words = texts.iter().flat_map(|text| text.split([',', ' ']));
    words.filter(|word| !word.is_empty()).map(str::to_owned)
}

/// Whether it is an address; `fe80::1%eth0` names its link.
pub(crate) fn is_server(word: &str) -> bool {
    let (address, link) = word.split_once('%').unwrap_or((word, "lo"));
    address.parse::<IpAddr>().is_ok() && crate::values::is_name(link)
}

/// Whether it can be looked up in.
pub(crate) fn is_domain(word: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    word.len() <= 253 && word.contains(|c| c != '.') && word.chars().all(is_letter)
}

/// Whether a resolv.conf names a server.
pub fn has_server(text: &str) -> bool {
    text.lines()
        .any(|line| line.trim_start().starts_with("nameserver "))
}

#[cfg(test)]
#[path = "resolver_tests.rs"]
mod tests;
