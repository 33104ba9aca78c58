//! No state of the right order is bad; each wrong order has bad ones.

use super::*;

const SHORT: Share = Share {
    random: 20,
    step: 37,
};

#[test]
fn a_machine_comes_back_from_every_state_of_its_disk() {
    let outcome = run(&story(None), SHORT);
    println!("{} states", outcome.states);
    assert_eq!(outcome.bad, 0, "{:#?}", outcome.told);
    assert!(outcome.states > 3000, "only {} states", outcome.states);
}

#[test]
fn each_wrong_order_is_caught() {
    for fault in Fault::ALL {
        let outcome = run(&story(Some(fault)), SHORT);
        assert!(outcome.bad > 0, "nobody notices {fault:?}");
    }
}
