//! PID 1 holds no internet socket: `init network` does, without any right, and is replaced when it dies.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::http;
use crate::machine::{Machine, remove, start, wait_until};

crate::tests![the_network_child_has_the_sockets_and_no_right];

fn the_network_child_has_the_sockets_and_no_right() {
    let mut machine = Machine::new("network");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    assert_eq!(
        children(&machine),
        Vec::<u32>::new(),
        "it starts when it is needed"
    );
    publish(&machine);
    let [first] = children(&machine)[..] else {
        panic!("one child: {:?}", children(&machine));
    };
    wait_until("the child has the sockets", || listening(&machine, first));
    let status = fs::read_to_string(format!("/proc/{first}/status")).unwrap();
    for line in [
        "Uid:\t65534\t65534\t65534\t65534",
        "CapPrm:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
    ] {
        assert!(
            status.lines().any(|known| known == line),
            "{line}\n{status}"
        );
    }
    let own = held(&machine, machine.pid());
    assert!(own.is_empty(), "the engine holds internet sockets {own:?}");

    sys::process::kill(first.cast_signed(), sys::process::Signal::KILL).unwrap();
    wait_until(
        "another child has the sockets",
        || matches!(children(&machine)[..], [next] if next != first && listening(&machine, next)),
    );
    assert_eq!(machine.held().zombies, 0);
    let last = children(&machine);
    machine.kill();
    wait_until("it ends with the engine", || {
        last.iter()
            .all(|pid| !fs::exists(format!("/proc/{pid}")).unwrap())
    });
    machine.start();
    // Its end has stopped the container.
    assert!(start(&machine.socket(), "web"));
    let last = children(&machine);
    assert_eq!(last.len(), 1);
    assert!(remove(&machine.socket(), "web"));
    drop(machine);
    let gone = |pid: &u32| !fs::exists(format!("/proc/{pid}")).unwrap();
    assert!(last.iter().all(gone), "it ends before the engine does");
}

/// A container with a name on a network and a published port.
fn publish(machine: &Machine) {
    let post = |path: &str, body: serde_json::Value| {
        let body = body.to_string();
        let answer = http::request(
            &machine.socket(),
            "POST",
            path,
            "application/json",
            body.as_bytes(),
        );
        let answer = answer.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    };
    post("/networks/create", json!({"Name": "front"}));
    let host = json!({
        "NetworkMode": "front",
        "PortBindings": {"80/tcp": [{"HostPort": "8080"}]},
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}],
    });
    post(
        "/containers/create?name=web",
        json!({"Image": "soak", "Cmd": ["sleep", "1000"], "HostConfig": host}),
    );
    assert!(start(&machine.socket(), "web"));
}

/// The engine's network children.
fn children(machine: &Machine) -> Vec<u32> {
    let pid = machine.pid();
    let children =
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let numbers = children
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    let is_network = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"\0network\0"))
    };
    numbers.filter(is_network).collect()
}

/// Whether a process listens on the published port, IPv4 and IPv6.
fn listening(machine: &Machine, pid: u32) -> bool {
    let held = held(machine, pid);
    ["tcp", "tcp6"].iter().all(|kind| {
        held.iter()
            .any(|(known, port)| known == kind && *port == 8080)
    })
}

/// Internet sockets of a process in the host's namespace and in the container's: kind and port.
fn held(machine: &Machine, pid: u32) -> BTreeSet<(&'static str, u16)> {
    let web = machine.get("/containers/web/json").unwrap().json();
    let inside = web["State"]["Pid"].as_u64().unwrap();
    let own: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let link = fs::read_link(entry.path()).ok()?;
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let mut held = BTreeSet::new();
    for namespace in [u64::from(machine.pid()), inside] {
        for kind in ["tcp", "tcp6", "udp", "udp6"] {
            let table =
                fs::read_to_string(format!("/proc/{namespace}/net/{kind}")).unwrap_or_default();
            for line in table.lines().skip(1) {
                // proc_net_tcp(5): local address and port second, the inode tenth.
                let words: Vec<&str> = line.split_whitespace().collect();
                let port = words.get(1).and_then(|word| word.rsplit(':').next());
                let port = port.and_then(|port| u16::from_str_radix(port, 16).ok());
                if let (Some(port), Some(inode)) = (port, words.get(9))
                    && own.contains(*inode)
                {
                    held.insert((kind, port));
                }
            }
        }
    }
    held
}
