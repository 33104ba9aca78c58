//! What differs between two looks at the rules of a family, as far as it is the user's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Place;
use super::align::align;
use super::owner::{is_foreign, is_foreign_chain, is_foreign_name};
use super::saved::{Saved, is_built_in};

/// What commands did to the rules of one family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Chains that were made.
    pub(super) made: BTreeSet<Place>,
    /// Chains that went.
    pub(super) dropped: BTreeSet<Place>,
    /// What happens at the end of chains of the kernel's.
    pub(super) policies: Vec<Policy>,
    /// Rules that appeared.
    pub(super) added: Vec<Added>,
    /// Rules that went, in their order.
    pub(super) gone: Vec<Gone>,
}

/// Another policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Policy {
    pub(super) place: Place,
    pub(super) before: String,
    pub(super) after: String,
}

/// A rule that appeared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Added {
    pub(super) place: Place,
    pub(super) rule: String,
    /// How many of the same stand before it.
    pub(super) same_before: usize,
}

/// A rule that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gone {
    pub(super) place: Place,
    pub(super) rule: String,
    /// How many of the same stayed, or are back before this one.
    pub(super) left: usize,
    /// The rule that stood before it.
    pub(super) previous: Option<String>,
    /// Its place in the chain.
    pub(super) index: usize,
}

impl Changes {
    /// From two looks.
    pub(super) fn between(before: &Saved, after: &Saved) -> Changes {
        let mut changes = Changes::default();
        let places: BTreeSet<Place> = before.places().chain(after.places()).collect();
        for place in places.iter().filter(|place| is_users(place)) {
            changes.compare_chain(place, before, after);
            changes.compare_rules(place, before, after);
        }
        let has_docker =
            |saved: &Saved, table: &str| saved.places().any(|place| is_docker(&place, table));
        // dockerd closes FORWARD when it is the one to allow forwarding.
        changes.policies.retain(|policy| {
            let (place, table) = (&policy.place, &policy.place.table);
            let starts = !has_docker(before, table) && has_docker(after, table);
            !(starts && place.chain == "FORWARD" && policy.after == "DROP")
        });
        changes
    }

    /// Whether there is nothing to take back.
    pub(super) fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    /// How often a rule is claimed.
    pub(super) fn count_added(&self, place: &Place, rule: &str) -> usize {
        let is_it = |added: &&Added| added.place == *place && added.rule == rule;
        self.added.iter().filter(is_it).count()
    }

    /// How often a rule went.
    pub(super) fn count_gone(&self, place: &Place, rule: &str) -> usize {
        let is_it = |gone: &&Gone| gone.place == *place && gone.rule == rule;
        self.gone.iter().filter(is_it).count()
    }

    /// Whether a chain of the kernel's has lost all that is not the user's: dockerd itself leaves some of it there when it starts.
    pub(super) fn lost_foreign(before: &Saved, after: &Saved) -> bool {
        let has = |saved: &Saved, place: &Place| {
            let rules = saved.chain(place).rules;
            rules.iter().any(|rule| is_foreign(place, rule))
        };
        before
            .places()
            .any(|place| is_built_in(&place.chain) && has(before, &place) && !has(after, &place))
    }

    fn compare_chain(&mut self, place: &Place, before: &Saved, after: &Saved) {
        if is_built_in(&place.chain) {
            let (old, new) = (before.chain(place), after.chain(place));
            if old.policy() != new.policy() {
                self.policies.push(Policy {
                    place: place.clone(),
                    before: old.policy().to_owned(),
                    after: new.policy().to_owned(),
                });
            }
        } else if !is_foreign_name(&place.chain) {
            match (before.has(place), after.has(place)) {
                (false, true) => self.made.extend([place.clone()]),
                (true, false) => self.dropped.extend([place.clone()]),
                _ => {}
            }
        }
    }

    fn compare_rules(&mut self, place: &Place, before: &Saved, after: &Saved) {
        let (before, after) = (before.chain(place), after.chain(place));
        let aligned = align(&before.rules, &after.rules);
        for index in aligned.new {
            let rule = &after.rules[index];
            if is_foreign(place, rule) {
                continue;
            }
            let earlier = &after.rules[..index];
            self.added.push(Added {
                place: place.clone(),
                rule: rule.clone(),
                same_before: earlier.iter().filter(|known| *known == rule).count(),
            });
        }
        for index in aligned.gone {
            let rule = &before.rules[index];
            if is_foreign(place, rule) {
                continue;
            }
            self.gone.push(Gone {
                place: place.clone(),
                rule: rule.clone(),
                left: after.count(rule) - self.count_added(place, rule)
                    + self.count_gone(place, rule),
                previous: index
                    .checked_sub(1)
                    .map(|before_it| before.rules[before_it].clone()),
                index,
            });
        }
    }
}

fn is_users(place: &Place) -> bool {
    !is_foreign_chain(&place.chain)
}

fn is_docker(place: &Place, table: &str) -> bool {
    place.table == table && place.chain == "DOCKER"
}
