//! What became of each version on this machine: `history.json`.

use serde::{Deserialize, Serialize};

use crate::slot::Slot;

/// What happened to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It came with the installation.
    Installed,
    /// It lies in a slot.
    Staged,
    /// The next boot tries it.
    Armed,
    /// It proved itself and is the good one.
    Committed,
    /// It failed; it is not tried again by itself.
    Rejected,
    /// The order to try it was taken back.
    Cancelled,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since 1970, by the machine's clock.
    pub time: u64,
    /// The version's name.
    pub version: String,
    /// SHA-256 of its manifest.
    pub digest: String,
    /// Number of the slot's partition.
    pub slot: u32,
    /// What happened.
    pub outcome: Outcome,
    /// Why, in words for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// All events, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The events.
    pub events: Vec<Event>,
}

/// A version a week for four years; older events go.
const MOST_EVENTS: usize = 1000;

impl History {
    /// Adds an event.
    pub fn add(&mut self, event: Event) {
        self.events.push(event);
        let surplus = self.events.len().saturating_sub(MOST_EVENTS);
        self.events.drain(..surplus);
    }

    /// Why the version with this digest was rejected, if that is the last that was decided about it.
    #[must_use]
    pub fn rejected(&self, digest: &str) -> Option<&Event> {
        self.events
            .iter()
            .rev()
            .filter(|event| event.digest == digest)
            .find(|event| matches!(event.outcome, Outcome::Rejected | Outcome::Committed))
            .filter(|event| event.outcome == Outcome::Rejected)
    }

    /// The slots whose versions have proven themselves here and lie there still, the last one first: what is good, and what was good
    /// before. `has` tells whether a slot has the version with this digest. An installed version counts as proven.
    #[must_use]
    pub fn proven(&self, has: impl Fn(Slot, &str) -> bool) -> Vec<Slot> {
        let mut slots = Vec::new();
        for event in self.events.iter().rev() {
            let counts = matches!(event.outcome, Outcome::Installed | Outcome::Committed);
            let slot = Slot::from_number(event.slot).filter(|slot| !slots.contains(slot));
            if let Some(slot) = slot
                && counts
                && self.rejected(&event.digest).is_none()
                && has(slot, &event.digest)
            {
                slots.push(slot);
            }
        }
        slots
    }

    /// The last event of the version in a slot.
    #[must_use]
    pub fn last(&self, slot: Slot) -> Option<&Event> {
        let number = slot.number();
        self.events.iter().rev().find(|event| event.slot == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_version_stays_rejected_until_it_proves_itself() {
        let mut history = History::default();
        let mut add = |digest: &str, outcome| {
            history.add(Event {
                time: 1,
                version: "v1".to_owned(),
                digest: digest.to_owned(),
                slot: 5,
                outcome,
                reason: String::new(),
            });
            history.clone()
        };
        add("a", Outcome::Rejected);
        let after = add("a", Outcome::Staged);
        assert!(after.rejected("a").is_some() && after.rejected("b").is_none());
        assert!(add("a", Outcome::Committed).rejected("a").is_none());
        for _ in 0..2 * MOST_EVENTS {
            add("b", Outcome::Armed);
        }
        assert_eq!(history.events.len(), MOST_EVENTS);
        assert_eq!(history.last(Slot::B).map(|event| &*event.digest), Some("b"));
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
    }

    #[test]
    fn lost_records_are_made_of_what_has_proven_itself() {
        let mut history = History::default();
        assert!(history.proven(|_, _| true).is_empty());
        let mut add = |digest: &str, slot: Slot, outcome| {
            history.add(Event {
                time: 1,
                version: "v1".to_owned(),
                digest: digest.to_owned(),
                slot: slot.number(),
                outcome,
                reason: String::new(),
            });
            history.clone()
        };
        let there = |slot: Slot, digest: &str| {
            [(Slot::A, "a"), (Slot::B, "b"), (Slot::C, "d")].contains(&(slot, digest))
        };
        let first = add("a", Slot::A, Outcome::Installed);
        assert_eq!(first.proven(there), [Slot::A]);
        add("b", Slot::B, Outcome::Armed);
        let second = add("b", Slot::B, Outcome::Committed);
        assert_eq!(second.proven(there), [Slot::B, Slot::A]);
        // Slot 6 had a version that was kept, and has another one now, which nobody has tried
        add("c", Slot::C, Outcome::Committed);
        let third = add("d", Slot::C, Outcome::Staged);
        assert_eq!(third.proven(there), [Slot::B, Slot::A]);
        // Going back to slot 4 has failed
        let fourth = add("a", Slot::A, Outcome::Rejected);
        assert_eq!(fourth.proven(there), [Slot::B]);
        let records = crate::Records {
            choice0: [0; 512],
            choice1: [0; 512],
            tries: [0; 512],
        };
        let mut repaired = records.clone();
        for step in crate::repair(&records, Slot::B, Some(Slot::A)) {
            repaired.set(step.which, step.block);
        }
        // Slot 4 runs: GRUB takes the first that has a kernel when the records are lost
        assert_eq!(crate::free(&repaired, Slot::A).unwrap(), [Slot::C]);
        let decision = crate::choose(&repaired, true);
        assert_eq!((decision.slot(), decision.attempt), (Slot::B, 0));
    }
}
