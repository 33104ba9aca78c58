//! Containers that need each other come back after a sudden death of the engine, whatever their names and the times of
//! their last starts.

use std::path::Path;

use serde_json::{Value, json};

use crate::http;
use crate::machine::{Machine, create_with, remove, start, wait_until};

crate::tests![containers_that_need_each_other_come_back_in_any_order];

/// A kind of dependency: its name, and what `HostConfig` says of a container that needs the other one.
type Kind = (&'static str, fn(&str) -> Value);

#[rustfmt::skip]
const KINDS: [Kind; 4] = [
    ("network", |other| json!({"NetworkMode": format!("container:{other}")})),
    ("pid", |other| json!({"NetworkMode": "none", "PidMode": format!("container:{other}")})),
    ("ipc", |other| json!({"NetworkMode": "none", "IpcMode": format!("container:{other}")})),
    ("volumes", |other| json!({"NetworkMode": "none", "VolumesFrom": [other]})),
];

fn donor() -> Value {
    json!({"NetworkMode": "none", "IpcMode": "shareable"})
}

fn make(socket: &Path, name: &str, host: Value) {
    let mut host = host;
    host["RestartPolicy"] = json!({"Name": "always"});
    assert!(
        create_with(socket, name, &["sleep", "98765"], host),
        "{name}"
    );
}

/// Stops and starts it, which makes it the one that was started last.
fn restart(socket: &Path, name: &str) {
    let path = format!("/containers/{name}/restart?t=0");
    let answer = http::request(socket, "POST", &path, "", b"").unwrap();
    assert_eq!(answer.status, 204, "restart {name}: {}", answer.text());
}

fn containers_that_need_each_other_come_back_in_any_order() {
    let mut machine = Machine::new("order");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    let mut names = Vec::new();
    for (kind, host) in KINDS {
        // Names in both orders; the donor was started first, or last.
        for (giver, taker) in [("a", "z"), ("z", "a")] {
            for started_last in [false, true] {
                let case = format!("{kind}-{}", if started_last { "late" } else { "early" });
                let giver = format!("{giver}-{case}");
                let taker = format!("{taker}-{case}-{giver}");
                make(&socket, &giver, donor());
                make(&socket, &taker, host(&giver));
                assert!(start(&socket, &giver) && start(&socket, &taker), "{case}");
                if started_last {
                    restart(&socket, &giver);
                }
                names.extend([giver, taker]);
            }
        }
    }
    // One whose donor is gone by then.
    make(&socket, "gone", donor());
    make(&socket, "orphan", json!({"NetworkMode": "container:gone"}));
    assert!(start(&socket, "gone") && start(&socket, "orphan"));
    assert!(remove(&socket, "gone"));
    machine.kill();
    machine.start();
    wait_until("all containers run again", || {
        let states = machine.containers();
        let runs =
            |name: &&String| states.get(&format!("/{name}")).map(String::as_str) != Some("running");
        names.iter().find(runs).is_none()
    });
    let orphan = machine.get("/containers/orphan/json").unwrap().json();
    assert_eq!(orphan["State"]["Status"], "exited", "{}", orphan["State"]);
    let error = orphan["State"]["Error"].as_str().unwrap();
    assert!(error.starts_with("No such container: "), "{error}");
}
