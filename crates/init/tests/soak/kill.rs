//! kill -9 of the engine while it works: what its successor says is the truth, and nothing is left over.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::machine::{Machine, create, remove, run, start, wait_until};

crate::tests![
    a_killed_engine_comes_back_with_the_truth,
    an_engine_killed_forty_times_comes_back_with_the_truth
];

fn a_killed_engine_comes_back_with_the_truth() {
    rounds("few", 4);
}

/// Minutes.
pub(crate) const LONG: &str = "an_engine_killed_forty_times_comes_back_with_the_truth";

fn an_engine_killed_forty_times_comes_back_with_the_truth() {
    rounds("many", 40);
}

fn rounds(name: &str, count: u64) {
    let mut machine = Machine::new(name);
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    // Any sequence will do, and a failure must be repeatable as far as the instants are.
    let mut state = 0x9e37_79b9_u64;
    for round in 0..count {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Not a wait for something: the instant is the test.
        let instant = Duration::from_millis((state >> 33) % 600);
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (socket, over) = (&socket, &over);
                scope.spawn(move || work(socket, worker, over));
            }
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    // Fails when the engine dies meanwhile.
                    let _ = machine.import(&format!("other{round}"));
                }
            });
            std::thread::sleep(instant);
            sys::process::kill(machine.pid().cast_signed(), sys::process::Signal::KILL).unwrap();
            over.store(true, Ordering::Relaxed);
        });
        machine.kill();
        machine.start();
        check(&machine, round);
    }
}

/// Makes, starts and removes containers until the engine is dead.
fn work(socket: &Path, worker: usize, over: &AtomicBool) {
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            return;
        }
        let name = format!("w{worker}n{number}");
        let network = if number % 2 == 0 { "bridge" } else { "none" };
        if create(socket, &name, &["sleep", "98765"], network)
            && start(socket, &name)
            && number % 3 != 0
        {
            remove(socket, &name);
        }
    }
}

/// The new engine's word, against the machine.
fn check(machine: &Machine, round: u64) {
    wait_until("removals that were cut short are finished", || {
        machine
            .containers()
            .values()
            .all(|state| state != "removing")
    });
    let containers = machine.containers();
    for (name, state) in &containers {
        assert!(
            ["created", "exited", "dead"].contains(&state.as_str()),
            "round {round}: {name} is {state}"
        );
    }
    wait_until("processes of the dead engine are gone", || {
        machine.populated_cgroups().is_empty()
    });
    let held = machine.held();
    assert_eq!(
        (held.veths, held.zombies),
        (0, 0),
        "round {round}: {held:?}"
    );
    let socket = machine.socket();
    for name in containers.keys() {
        let name = name.trim_start_matches('/');
        assert!(remove(&socket, name), "round {round}: remove {name}");
        // The name is free again.
        assert!(
            run(&socket, name, &["true"], "bridge"),
            "round {round}: run {name}"
        );
        assert!(remove(&socket, name), "round {round}: remove {name} again");
    }
    assert_eq!(
        machine.state_entries("root/containers"),
        Vec::<String>::new()
    );
    assert_eq!(machine.state_entries("run/network"), Vec::<String>::new());
    let images = machine.get("/images/json").unwrap().json();
    for image in images.as_array().unwrap() {
        let id = image["Id"].as_str().unwrap();
        assert_eq!(
            machine.get(&format!("/images/{id}/json")).unwrap().status,
            200
        );
    }
}
