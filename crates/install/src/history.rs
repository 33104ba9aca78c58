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
}
