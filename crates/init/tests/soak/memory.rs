//! A process that the kernel kills because memory ran out is reported while its container goes on.

use serde_json::json;

use crate::machine::{Machine, create_with, start, wait_until};

crate::tests![a_kill_for_want_of_memory_is_told_while_the_container_goes_on];

/// Whether memory can be limited here: by cgroup v2, which some machines keep next to version 1.
pub(crate) fn possible() -> bool {
    ["", "/unified"].iter().any(|folder| {
        let path = format!("/sys/fs/cgroup{folder}/cgroup.controllers");
        std::fs::read_to_string(path)
            .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
    })
}

fn a_kill_for_want_of_memory_is_told_while_the_container_goes_on() {
    let machine = Machine::new("memory");
    let info = machine.get("/info").unwrap().json();
    assert_eq!(info["MemoryLimit"], true);
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    // `tail` keeps what it may have to print: more than the limit.
    let script =
        "sleep 1; tail -c 200000000 /dev/zero | head -c 1 >/dev/null; echo survived; sleep 98765";
    let host = json!({"NetworkMode": "none", "Memory": 32 << 20, "MemorySwap": 32 << 20});
    assert!(create_with(&socket, "hungry", &["sh", "-c", script], host));
    assert!(start(&socket, "hungry"));
    let inspect = || machine.get("/containers/hungry/json").unwrap().json();
    wait_until("inspect says that there was a kill", || {
        inspect()["State"]["OOMKilled"] == true
    });
    assert_eq!(inspect()["State"]["Status"], "running");
    // The second that has begun holds the event.
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + 1;
    let events = machine
        .get(&format!("/events?since=0&until={until}"))
        .unwrap()
        .text();
    let count = |action: &str| events.matches(&format!("\"Action\":\"{action}\"")).count();
    assert!(count("oom") >= 1, "{events}");
    assert_eq!(count("die"), 0, "{events}");
}
