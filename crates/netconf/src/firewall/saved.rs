//! Tables, chains and rules in what iptables-save(8) prints.

use std::collections::BTreeMap;

use super::Place;

/// Chains of the kernel's. They are there in every table that has them, also when nobody has used the table yet.
const BUILT_IN: [&str; 5] = ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"];
/// What a chain of the kernel's does when nobody has said anything else.
pub(super) const ACCEPT: &str = "ACCEPT";

/// The rules of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Saved {
    pub(super) tables: BTreeMap<String, Table>,
}

/// Chains by name.
pub(super) type Table = BTreeMap<String, Chain>;

/// One chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// What happens at its end; a chain that somebody made has none.
    pub(super) policy: Option<String>,
    /// As iptables(8) takes them, after the chain's name.
    pub(super) rules: Vec<String>,
}

impl Saved {
    /// Reads it. What is not understood is left out.
    pub fn parse(text: &str) -> Saved {
        let mut saved = Saved::default();
        let mut table: Option<&mut Table> = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(name) = line.strip_prefix('*') {
                table = is_name(name).then(|| saved.tables.entry(name.to_owned()).or_default());
                continue;
            }
            let Some(table) = table.as_deref_mut() else {
                continue;
            };
            if let Some(line) = line.strip_prefix(':') {
                let mut words = line.split(' ');
                if let (Some(name), Some(policy)) = (words.next(), words.next())
                    && is_name(name)
                {
                    let is_built_in = policy.bytes().all(|byte| byte.is_ascii_uppercase());
                    table.entry(name.to_owned()).or_default().policy =
                        is_built_in.then(|| policy.to_owned());
                }
            } else if let Some(line) = line.strip_prefix("-A ") {
                let line = whole(line, &mut lines);
                let (name, rule) = line.split_once(' ').unwrap_or((&line, ""));
                if is_name(name) {
                    let chain = table.entry(name.to_owned()).or_default();
                    chain.rules.push(rule.to_owned());
                }
            }
        }
        saved
    }

    /// A chain; an empty one where it is not there.
    pub(super) fn chain(&self, place: &Place) -> Chain {
        let table = self.tables.get(&place.table);
        let chain = table.and_then(|table| table.get(&place.chain));
        chain.cloned().unwrap_or_default()
    }

    /// Whether a chain is there, or is the kernel's.
    pub(super) fn has(&self, place: &Place) -> bool {
        is_built_in(&place.chain)
            || self
                .tables
                .get(&place.table)
                .is_some_and(|table| table.contains_key(&place.chain))
    }

    /// All chains.
    pub(super) fn places(&self) -> impl Iterator<Item = Place> {
        self.tables.iter().flat_map(|(table, chains)| {
            chains.keys().map(|chain| Place {
                table: table.clone(),
                chain: chain.clone(),
            })
        })
    }
}

impl Chain {
    /// What happens at the end of a chain of the kernel's.
    pub(super) fn policy(&self) -> &str {
        self.policy.as_deref().unwrap_or(ACCEPT)
    }

    /// How often a rule is there.
    pub(super) fn count(&self, rule: &str) -> usize {
        self.rules.iter().filter(|known| *known == rule).count()
    }
}

/// Whether a chain is the kernel's.
pub(super) fn is_built_in(chain: &str) -> bool {
    BUILT_IN.contains(&chain)
}

/// A comment with a line feed goes on in the next line.
fn whole<'a>(line: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut whole = line.to_owned();
    let mut is_quoted = ends_quoted(line, false);
    while is_quoted {
        let Some(line) = lines.next() else { break };
        is_quoted = ends_quoted(line, true);
        whole.push('\n');
        whole.push_str(line);
    }
    whole
}

/// Whether a quote is open at the end of a text.
fn ends_quoted(text: &str, mut is_quoted: bool) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    is_quoted
}

/// Whether a word can be given to iptables-restore(8) as the name of a table or a chain.
fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(['-', '!', '"'])
        && word.bytes().all(|byte| byte.is_ascii_graphic())
}
