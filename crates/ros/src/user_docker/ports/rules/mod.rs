//! Which rules are kept, as text: from what iptables-save(8) prints to what iptables-restore(8) reads.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::alive::Alive;
use crate::user_docker::firewall::MARK;

/// The chain of ours, in both tables.
pub(super) const CHAIN: &str = "RANCHER-PORTS";
/// dockerd's, in both tables.
const DOCKER: &str = "DOCKER";
/// dockerd's tables of ports: where they lead, and which packets may go there.
const TABLES: [&str; 2] = ["nat", "filter"];

/// The rules of one family that are kept.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Rule {
    table: String,
    /// As iptables(8) takes it, after the chain's name.
    text: String,
    /// The container's address, and the namespaces that had it: the rule ends with the last of them.
    container: Option<(IpAddr, BTreeSet<u64>)>,
}

impl Kept {
    /// What is to be kept of all tables: the rules of running containers' ports. Those that an earlier start kept count, too,
    /// because its dockerd may have ended before it had its own again.
    pub(super) fn of(saved: &str, alive: &Alive) -> Kept {
        let mut rules: Vec<Rule> = Vec::new();
        let lines = lines(saved);
        for chain in [DOCKER, CHAIN] {
            let of_chain = lines.iter().filter(|line| line.chain == chain);
            let of_chain = of_chain.filter_map(|line| kept(line, alive));
            for rule in of_chain {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
        if rules.iter().all(|rule| rule.container.is_none()) {
            return Kept::default();
        }
        for link in links_to_containers(&lines) {
            rules.push(Rule {
                table: "filter".into(),
                text: format!("-o {link} -j MARK --set-xmark {MARK}"),
                container: None,
            });
        }
        // As in dockerd's chain, what is marked may be accepted after it.
        rules.sort_by_key(|rule| rule.container.is_some());
        Kept { rules }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The same without containers that have ended.
    pub(super) fn living(&self, alive: &Alive) -> Kept {
        let lives = |rule: &&Rule| match &rule.container {
            Some((address, namespaces)) => namespaces
                .iter()
                .any(|number| alive.contains(&(*address, *number))),
            None => true,
        };
        Kept {
            rules: self.rules.iter().filter(lives).cloned().collect(),
        }
    }

    /// Makes the chains what they are to be, at once: for `iptables-restore --noflush`.
    pub(super) fn chains(&self) -> String {
        TABLES
            .map(|table| format!("*{table}\n{}COMMIT\n", self.chain(table)))
            .concat()
    }

    /// The same, and packets are led to them as they are to dockerd's.
    pub(super) fn begin(&self, saved: &str) -> String {
        let lines = lines(saved);
        let mut text = String::new();
        for table in TABLES {
            text += &format!("*{table}\n{}", self.chain(table));
            for line in jumps(&lines, table, CHAIN) {
                text += &format!("-D {} {}\n", line.chain, line.rule);
            }
            let ours = format!("-j {CHAIN}");
            if table == "filter" {
                // After dockerd's own rules, before what is marked is dropped.
                text += &match position_of_drop(&lines) {
                    Some(position) => format!("-I FORWARD {position} {ours}\n"),
                    None => format!("-A FORWARD {ours}\n"),
                };
            } else {
                for line in ways(&lines, table) {
                    let condition = line
                        .rule
                        .rsplit_once("-j ")
                        .map_or("", |(before, _)| before);
                    text += &format!("-A {} {condition}{ours}\n", line.chain);
                }
            }
            text += "COMMIT\n";
        }
        text
    }

    fn chain(&self, table: &str) -> String {
        let rules = self.rules.iter().filter(|rule| rule.table == table);
        let rules = rules.map(|rule| format!("-A {CHAIN} {}\n", rule.text));
        format!(":{CHAIN} - [0:0]\n{}", rules.collect::<String>())
    }
}

/// Takes the chains and the ways to them away, at once; nothing where there are none.
pub(super) fn end(saved: &str) -> Option<String> {
    let lines = lines(saved);
    let mut text = String::new();
    for table in TABLES {
        if !has_chain(saved, table) {
            continue;
        }
        text += &format!("*{table}\n:{CHAIN} - [0:0]\n");
        for line in jumps(&lines, table, CHAIN) {
            text += &format!("-D {} {}\n", line.chain, line.rule);
        }
        text += &format!("-X {CHAIN}\nCOMMIT\n");
    }
    (!text.is_empty()).then_some(text)
}

/// One rule of `iptables-save`.
#[derive(Debug)]
struct Line<'a> {
    table: &'a str,
    chain: &'a str,
    /// What follows the chain's name.
    rule: &'a str,
}

fn lines(saved: &str) -> Vec<Line<'_>> {
    let mut table = "";
    let mut found = Vec::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some((chain, rule)) = line
            .strip_prefix("-A ")
            .and_then(|line| line.split_once(' '))
        {
            found.push(Line { table, chain, rule });
        }
    }
    found
}

/// Whether `table` has the chain of ours.
fn has_chain(saved: &str, table: &str) -> bool {
    let mut lines = saved.lines();
    lines.any(|line| line.strip_prefix('*') == Some(table))
        && lines.take_while(|line| !line.starts_with('*')).any(|line| {
            line.strip_prefix(':')
                .and_then(|line| line.split(' ').next())
                == Some(CHAIN)
        })
}

/// The word after `option`, unless the option is negated.
fn value<'a>(rule: &'a str, option: &str) -> Option<&'a str> {
    let mut words = rule.split_whitespace();
    let mut last = "";
    while let Some(word) = words.next() {
        if word == option && last != "!" {
            return words.next();
        }
        last = word;
    }
    None
}

/// A rule of dockerd's that is kept: where a port leads or may lead, and what is left to docker-proxy.
fn kept(line: &Line<'_>, alive: &Alive) -> Option<Rule> {
    let address = match (line.table, value(line.rule, "-j")?) {
        ("nat", "RETURN") => None,
        ("nat", "DNAT") => Some(host_of(value(line.rule, "--to-destination")?)?),
        ("filter", "ACCEPT") => Some(host_of(value(line.rule, "-d")?)?),
        _ => return None,
    };
    let container = match address {
        Some(address) => {
            let namespaces: BTreeSet<u64> = alive
                .iter()
                .filter(|(of, _)| *of == address)
                .map(|(_, number)| *number)
                .collect();
            if namespaces.is_empty() {
                return None;
            }
            Some((address, namespaces))
        }
        None => None,
    };
    Some(Rule {
        table: line.table.to_owned(),
        text: line.rule.to_owned(),
        container,
    })
}

/// The address in `172.17.0.2:80`, `172.17.0.2/32`, `[fd00::2]:80` or `fd00::2/128`. A network is not one container's.
fn host_of(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next()?.parse().ok();
    }
    let text = text
        .strip_suffix("/32")
        .or_else(|| text.strip_suffix("/128"))
        .unwrap_or(text);
    text.parse()
        .ok()
        .or_else(|| text.rsplit_once(':')?.0.parse().ok())
}

/// Rules of `table` that lead to `chain`.
fn jumps<'a>(
    lines: &'a [Line<'a>],
    table: &'a str,
    chain: &'a str,
) -> impl Iterator<Item = &'a Line<'a>> {
    lines
        .iter()
        .filter(move |line| line.table == table && value(line.rule, "-j") == Some(chain))
}

/// How packets come to dockerd's chain; where it has taken that away already, how they came to ours.
fn ways<'a>(lines: &'a [Line<'a>], table: &'a str) -> Vec<&'a Line<'a>> {
    let mut ways: Vec<_> = jumps(lines, table, DOCKER).collect();
    for line in jumps(lines, table, CHAIN) {
        if ways.iter().all(|way| way.chain != line.chain) {
            ways.push(line);
        }
    }
    ways
}

/// Links behind which dockerd's containers are.
fn links_to_containers<'a>(lines: &'a [Line<'a>]) -> BTreeSet<&'a str> {
    jumps(lines, "filter", DOCKER)
        .filter(|line| line.chain == "FORWARD")
        .filter_map(|line| value(line.rule, "-o"))
        .collect()
}

/// Where in FORWARD the rule stands that drops what is still marked, counted from 1, without rules of ours before it.
fn position_of_drop(lines: &[Line<'_>]) -> Option<usize> {
    let forward = lines
        .iter()
        .filter(|line| line.table == "filter" && line.chain == "FORWARD");
    let mut without_ours = forward.filter(|line| value(line.rule, "-j") != Some(CHAIN));
    let is_drop = |line: &Line<'_>| {
        value(line.rule, "--mark") == Some(MARK) && value(line.rule, "-j") == Some("DROP")
    };
    without_ours.position(is_drop).map(|index| index + 1)
}

#[cfg(test)]
mod tests;
