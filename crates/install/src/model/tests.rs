//! The model holds, and notices every rule that is broken on purpose.

use super::*;

#[test]
fn every_state_boots_a_proven_version_or_counts_a_try() {
    let states = explore(RULES).unwrap().len();
    println!("{states} states");
    assert!(
        states > 500,
        "only {states} states: the model does not move"
    );
}

#[test]
fn wrong_orders_and_rules_are_caught() {
    let tries_last = Rules {
        arm: |records, slot| {
            let mut steps = steps::arm(records, slot).unwrap();
            let at = steps
                .iter()
                .position(|step| step.which == Which::Tries)
                .unwrap();
            let tries = steps.remove(at);
            steps.push(tries);
            steps
        },
        ..RULES
    };
    let one_copy = Rules {
        commit: |records, slot| {
            let steps = steps::commit(records, slot).unwrap();
            steps
                .into_iter()
                .filter(|step| step.which == Which::Choice0)
                .collect()
        },
        repairs: false,
        ..RULES
    };
    let over_the_previous = Rules {
        free: |records, running| {
            let choice = records.choice().unwrap();
            let taken = [choice.good, running];
            Slot::ALL
                .into_iter()
                .filter(|slot| !taken.contains(slot))
                .collect()
        },
        ..RULES
    };
    let no_counter = Rules {
        counts: false,
        ..RULES
    };
    let same_number = Rules {
        arm: |records, slot| {
            let mut steps = steps::arm(records, slot).unwrap();
            let id = records.choice().unwrap().id;
            for step in &mut steps {
                if let Some(choice) = Choice::decode(&step.block) {
                    step.block = Choice { id, ..choice }.encode();
                }
            }
            steps
        },
        ..RULES
    };
    for (name, rules) in [
        ("tries after the choice", tries_last),
        ("no copy, no repair", one_copy),
        ("staged over the previous version", over_the_previous),
        ("a loader that does not count", no_counter),
        ("a number used twice", same_number),
    ] {
        assert!(explore(rules).is_err(), "nobody notices: {name}");
    }
}

#[test]
fn a_record_cut_anywhere_between_any_two_records_boots_the_one_or_the_other() {
    let mut records = Vec::new();
    for (good, next, prev) in [(4, 0, 0), (4, 5, 6), (5, 6, 4), (6, 0, 5)] {
        for id in [9, 10, 17] {
            records.push(Choice {
                id,
                good: Slot::from_number(good).unwrap(),
                next: Slot::from_number(next),
                prev: Slot::from_number(prev),
            });
        }
    }
    for old in &records {
        for new in records.iter().filter(|new| new.id > old.id) {
            for cut in 0..=RECORD_BYTES {
                let mut torn = old.encode();
                torn[..cut].copy_from_slice(&new.encode()[..cut]);
                // As when the power fails: the copy is new already
                let all = Records {
                    choice0: torn,
                    choice1: new.encode(),
                    tries: Tries {
                        id: new.id,
                        left: 3,
                    }
                    .encode(),
                };
                let decision = choose(&all, true);
                let allowed = [Some(old.good), Some(new.good), new.next];
                assert!(
                    allowed.contains(&Some(decision.slot())),
                    "cut at {cut}: {decision:?}"
                );
                assert_eq!(
                    all.choice(),
                    Some(if torn == old.encode() { *old } else { *new })
                );
            }
        }
    }
}
