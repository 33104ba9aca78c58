//! What of its history stands against a version that nobody asks for by hand.
//!
//! A version that failed its checks is not tried again. One that was given up because the network was out has shown nothing: it gets
//! another try after a day, twice.

use std::time::{SystemTime, UNIX_EPOCH};

use install::{Event, History, Outcome};

use super::gate::UNPROVEN;

/// Tries of an unproven version after its first one.
const MOST_AGAIN: usize = 2;
/// From one of them to the next, in seconds.
const AGAIN_AFTER: u64 = 24 * 3600;

/// What stands against the version with this digest.
pub(super) fn against_digest<'a>(history: &'a History, digest: &str) -> Option<&'a Event> {
    let rejected = history.rejected(digest)?;
    stands(history, |event| event.digest == digest, now()).then_some(rejected)
}

/// What stands against the version of this name: it was tried here, and failed or was left by hand, or the order to try it was taken back.
pub(super) fn against_name<'a>(history: &'a History, version: &str) -> Option<&'a Event> {
    against_name_at(history, version, now())
}

fn against_name_at<'a>(history: &'a History, version: &str, now: u64) -> Option<&'a Event> {
    let name = version.trim_start_matches('v');
    let mut events = history.events.iter().rev();
    let decision = events.find(|event| {
        event.version == name
            && matches!(
                event.outcome,
                Outcome::Rejected | Outcome::Committed | Outcome::Cancelled
            )
    })?;
    let may_again = decision.outcome == Outcome::Rejected
        && !stands(history, |event| event.version == name, now);
    (!may_again).then_some(decision)
}

/// Whether the rejections of these events hold.
fn stands(history: &History, of: impl Fn(&Event) -> bool, now: u64) -> bool {
    let rejected = || {
        let events = history.events.iter().filter(|event| of(event));
        events.filter(|event| event.outcome == Outcome::Rejected)
    };
    let unproven = rejected().all(|event| event.reason.starts_with(UNPROVEN));
    let waited = rejected().all(|event| now.abs_diff(event.time) >= AGAIN_AFTER);
    !(unproven && waited && rejected().count() <= MOST_AGAIN)
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = AGAIN_AFTER;

    fn history(events: &[(u64, Outcome, &str)]) -> History {
        let mut history = History::default();
        for (time, outcome, reason) in events {
            history.add(Event {
                time: *time,
                version: "2.0".to_owned(),
                digest: "d".to_owned(),
                slot: 5,
                outcome: *outcome,
                reason: (*reason).to_owned(),
            });
        }
        history
    }

    #[test]
    fn an_outage_costs_a_day_and_three_of_them_the_version() {
        let outage = (
            Outcome::Rejected,
            "unproven: network: no link has a carrier",
        );
        let events = |days: &[u64]| {
            let events: Vec<_> = days
                .iter()
                .map(|day| (day * DAY, outage.0, outage.1))
                .collect();
            history(&events)
        };
        for (days, now, held) in [
            (&[][..], 10 * DAY, false),
            (&[10], 10 * DAY + 1, true),
            (&[10], 11 * DAY, false),
            (&[10, 11], 11 * DAY + 1, true),
            (&[10, 11], 12 * DAY, false),
            (&[10, 11, 12], 100 * DAY, true),
        ] {
            let events = events(days);
            let found = against_name_at(&events, "v2.0", now);
            assert_eq!(found.is_some(), held, "{days:?} at {now}");
        }
        let failed = (30, Outcome::Rejected, "docker: the engine does not answer");
        let both = history(&[(20, outage.0, outage.1), failed]);
        assert!(against_name_at(&both, "2.0", 100 * DAY).is_some());
        assert!(against_digest(&both, "d").is_some());
        assert!(against_digest(&both, "other").is_none());
        assert!(against_digest(&history(&[(20, outage.0, outage.1)]), "d").is_none());
    }

    #[test]
    fn what_was_left_or_cancelled_by_hand_is_not_taken_again() {
        for outcome in [Outcome::Cancelled, Outcome::Committed, Outcome::Rejected] {
            let history = history(&[
                (1, Outcome::Staged, ""),
                (2, Outcome::Armed, ""),
                (3, outcome, "by hand"),
            ]);
            assert!(against_name(&history, "v2.0").is_some(), "{outcome:?}");
            assert!(against_name(&history, "v2.1").is_none());
        }
        let waits = history(&[(1, Outcome::Staged, "")]);
        assert!(against_name(&waits, "v2.0").is_none());
    }
}
