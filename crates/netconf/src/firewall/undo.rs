//! Taking changes back, as text for `iptables-restore --noflush`.
//!
//! Each step is made in a copy of the rules, too, so that the places in later steps are right.

use std::collections::BTreeMap;

use config::words;

use super::Place;
use super::changes::{Added, Changes, Gone};
use super::owner::target;
use super::saved::{Saved, is_built_in};

/// Changes of one table, made by iptables-restore(8) all at once or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    table: String,
    steps: Vec<String>,
}

impl Restore {
    /// What iptables-restore(8) reads.
    pub fn text(&self) -> String {
        format!("*{}\n{}\nCOMMIT\n", self.table, self.steps.join("\n"))
    }

    /// The same, each step for itself: for when all of them together are refused.
    pub fn singly(&self) -> impl Iterator<Item = Restore> {
        self.steps.iter().map(|step| Restore {
            table: self.table.clone(),
            steps: vec![step.clone()],
        })
    }
}

impl std::fmt::Display for Restore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "table {}: {}", self.table, self.steps.join("; "))
    }
}

/// The rules of a family, and the steps that made them what they are.
#[derive(Debug)]
pub(super) struct Work {
    now: Saved,
    policies: BTreeMap<Place, String>,
    steps: BTreeMap<String, Vec<String>>,
}

impl Work {
    /// Begins with the rules as they are.
    pub(super) fn new(now: Saved) -> Work {
        Work {
            now,
            policies: BTreeMap::new(),
            steps: BTreeMap::new(),
        }
    }

    /// Takes back what commands did, except the chains that they made: others may lead to them.
    pub(super) fn take_back(&mut self, changes: &Changes) {
        for place in &changes.dropped {
            if !self.now.has(place) {
                self.chain(place);
                self.step(place, format!("-N {}", place.chain));
            }
        }
        for added in changes.added.iter().rev() {
            self.delete(added);
        }
        for gone in &changes.gone {
            self.put_back(gone);
        }
        for policy in &changes.policies {
            let chain = self.chain(&policy.place);
            if chain.policy() == policy.after {
                chain.policy = Some(policy.before.clone());
                self.policies
                    .insert(policy.place.clone(), policy.before.clone());
            }
        }
    }

    /// Removes chains that commands made, unless somebody uses them.
    pub(super) fn drop_chains(&mut self, changes: &Changes) {
        for place in &changes.made {
            if self.now.has(place) && self.now.chain(place).rules.is_empty() && !self.is_used(place)
            {
                if let Some(table) = self.now.tables.get_mut(&place.table) {
                    table.remove(&place.chain);
                }
                self.step(place, format!("-X {}", place.chain));
            }
        }
    }

    /// Deletes one instance of a rule: iptables deletes the first, so those before it are put back.
    pub(super) fn delete(&mut self, added: &Added) {
        let (place, rule) = (&added.place, &added.rule);
        let rules = &mut self.chain(place).rules;
        let all = rules.iter().enumerate();
        let indexes: Vec<usize> = all
            .filter(|(_, known)| *known == rule)
            .map(|(index, _)| index)
            .collect();
        let nth = added.same_before.min(indexes.len().saturating_sub(1));
        let Some(index) = indexes.get(nth) else {
            return; // somebody else has deleted it
        };
        rules.remove(*index);
        for _ in 0..=nth {
            self.step(place, line("-D", place, None, rule));
        }
        for index in &indexes[..nth] {
            self.step(place, line("-I", place, Some(*index), rule));
        }
    }

    /// Puts a rule back after the one that it followed, unless somebody else has done so.
    fn put_back(&mut self, gone: &Gone) {
        let (place, rule) = (&gone.place, &gone.rule);
        if !self.now.has(place) {
            return; // its chain was somebody else's, who has removed it
        }
        let chain = self.chain(place);
        if chain.count(rule) > gone.left {
            return;
        }
        let length = chain.rules.len();
        // Of several like it, the nearest to where it was.
        let like_previous = chain.rules.iter().enumerate().filter(|(_, known)| {
            let previous = gone.previous.as_ref();
            previous == Some(*known)
        });
        let after = like_previous
            .map(|(index, _)| index + 1)
            .min_by_key(|index| index.abs_diff(gone.index));
        let index = after.unwrap_or(gone.index).min(length);
        chain.rules.insert(index, rule.clone());
        let step = if index == length {
            line("-A", place, None, rule)
        } else {
            line("-I", place, Some(index), rule)
        };
        self.step(place, step);
    }

    /// What is to be done, a table each; nothing when all is as it should be.
    pub(super) fn end(mut self) -> Vec<Restore> {
        let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (place, policy) in &self.policies {
            let step = format!(":{} {policy} [0:0]", place.chain);
            tables.entry(place.table.clone()).or_default().push(step);
        }
        for (table, steps) in &mut self.steps {
            tables.entry(table.clone()).or_default().append(steps);
        }
        let restore = |(table, steps)| Restore { table, steps };
        tables.into_iter().map(restore).collect()
    }

    fn step(&mut self, place: &Place, step: String) {
        self.steps
            .entry(place.table.clone())
            .or_default()
            .push(step);
    }

    fn chain(&mut self, place: &Place) -> &mut super::saved::Chain {
        let table = self.now.tables.entry(place.table.clone()).or_default();
        table.entry(place.chain.clone()).or_default()
    }

    /// Whether a rule leads to a chain. One that cannot be read might.
    fn is_used(&self, place: &Place) -> bool {
        let table = self.now.tables.get(&place.table);
        let mut rules = table
            .into_iter()
            .flat_map(|table| table.values())
            .flat_map(|chain| &chain.rules);
        is_built_in(&place.chain)
            || rules.any(|rule| match words::split(rule) {
                Ok(words) => {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    target(&words) == Some(place.chain.as_str())
                }
                Err(_) => rule.contains(&place.chain),
            })
    }
}

/// One line of iptables-restore(8); places are counted from 1 there.
fn line(operation: &str, place: &Place, index: Option<usize>, rule: &str) -> String {
    let number = index.map_or_else(String::new, |index| format!(" {}", index + 1));
    let rule = if rule.is_empty() {
        String::new()
    } else {
        format!(" {rule}")
    };
    format!("{operation} {}{number}{rule}", place.chain)
}
