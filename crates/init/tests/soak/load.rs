//! More than anybody asks for, and afterwards all is as before.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::http::{self, connect};
use crate::machine::{Machine, remove, run};

crate::tests![
    fifty_containers_started_at_once_leave_nothing,
    two_hundred_containers_started_at_once_leave_nothing,
    a_thousand_idle_clients_cost_little_and_leave_nothing,
    endless_bodies_end,
    a_slow_follower_holds_up_nobody
];

/// What a thousand clients may cost: 32 KiB each for buffers and tasks.
const CLIENTS_BYTES: u64 = 32 << 20;
/// What one client may cost that sends or wants without end.
const CLIENT_BYTES: u64 = 24 << 20;

fn fifty_containers_started_at_once_leave_nothing() {
    at_once("fifty", 50);
}

/// Minutes.
pub(crate) const LONG: &str = "two_hundred_containers_started_at_once_leave_nothing";

fn two_hundred_containers_started_at_once_leave_nothing() {
    at_once("hundreds", 200);
}

fn at_once(name: &str, count: usize) {
    let machine = Machine::new(name);
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = &machine.socket();
    // The first one starts what stays: the network child is not needed on this network, but the pool of threads is.
    assert!(run(socket, "first", &["sleep", "1000"], "bridge"));
    assert!(remove(socket, "first"));
    let before = machine.at_rest();
    let names: Vec<String> = (0..count).map(|number| format!("c{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || assert!(run(socket, name, &["sleep", "1000"], "bridge"), "{name}"));
        }
    });
    let running = machine.containers();
    assert_eq!(running.len(), count);
    assert!(
        running.values().all(|state| state == "running"),
        "{running:?}"
    );
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || assert!(remove(socket, name), "{name}"));
        }
    });
    machine.settles(&before);
    assert!(machine.populated_cgroups().is_empty());
}

fn a_thousand_idle_clients_cost_little_and_leave_nothing() {
    let machine = Machine::new("idle");
    let before = machine.at_rest();
    let memory = machine.memory();
    let clients: Vec<UnixStream> = (0..1000)
        .map(|number| {
            let mut stream = connect(&machine.socket()).unwrap();
            // Some say nothing, some half a request, some listen for events and never read.
            let part: &[u8] = match number % 3 {
                0 => b"",
                1 => b"GET /containers/json HTTP/1.1\r\nHos",
                _ => b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
            };
            stream.write_all(part).unwrap();
            stream
        })
        .collect();
    // Clients are accepted in their order, so an answer to a later one tells that all are there.
    assert_eq!(machine.get("/_ping").unwrap().status, 200);
    assert!(machine.held().descriptors >= clients.len());
    let grown = machine.memory().saturating_sub(memory);
    println!("1,000 clients: {} KiB", grown >> 10);
    assert!(grown < CLIENTS_BYTES, "{grown} bytes");
    drop(clients);
    machine.settles(&before);
}

fn endless_bodies_end() {
    let machine = Machine::new("bodies");
    let before = machine.at_rest();
    let memory = machine.memory();
    let chunk = [b"8000\r\n", " ".repeat(0x8000).as_bytes(), b"\r\n"].concat();
    for path in [
        "/containers/create",
        "/auth",
        "/networks/create",
        "/images/load",
        "/volumes/create",
    ] {
        let mut stream = connect(&machine.socket()).unwrap();
        let kind = if path == "/images/load" {
            "application/x-tar"
        } else {
            "application/json"
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // 1 GiB, far beyond every limit; the engine has had enough before.
        let refused = (0..32 * 1024).any(|_| stream.write_all(&chunk).is_err());
        let mut answer = Vec::new();
        // A connection that was reset may have lost the answer.
        let _ = stream.read_to_end(&mut answer);
        assert!(
            refused || !answer.is_empty(),
            "{path} took a body without end"
        );
    }
    let mut stream = connect(&machine.socket()).unwrap();
    stream
        .write_all(b"POST /auth HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    drop(stream);
    let grown = machine.memory().saturating_sub(memory);
    println!("endless bodies: {} KiB", grown >> 10);
    assert!(grown < CLIENT_BYTES, "{grown} bytes");
    machine.settles(&before);
}

fn a_slow_follower_holds_up_nobody() {
    let machine = Machine::new("follower");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    assert!(run(&socket, "first", &["true"], "none"));
    assert!(remove(&socket, "first"));
    let before = machine.at_rest();
    let memory = machine.memory();
    // As fast as it can: far more than 10,000 lines a second.
    let talk = "yes 0123456789012345678901234567890123456789 | head -n 400000";
    assert!(run(&socket, "talker", &["sh", "-c", talk], "none"));
    let mut follower = connect(&socket).unwrap();
    follower
        .write_all(b"GET /containers/talker/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    // It reads a little and then nothing.
    follower.read_exact(&mut [0; 512]).unwrap();
    let ended = http::request(&socket, "POST", "/containers/talker/wait", "", b"").unwrap();
    assert_eq!(ended.json()["StatusCode"], 0, "{}", ended.text());
    let grown = machine.memory().saturating_sub(memory);
    println!("400,000 lines and a slow follower: {} KiB", grown >> 10);
    assert!(grown < CLIENT_BYTES, "{grown} bytes");
    let tail = machine
        .get("/containers/talker/logs?stdout=1&tail=5")
        .unwrap();
    assert_eq!(
        tail.text().matches("0123456789\n").count(),
        5,
        "{}",
        tail.text()
    );
    drop(follower);
    assert!(remove(&socket, "talker"));
    machine.settles(&before);
}
