//! A disk that takes nothing: the engine starts from what it has, removing works where it can, and what fails says why and
//! leaves nothing half done.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sys::mount::{self, MountFlags, UnmountFlags};

use crate::damage::{prepared, seen};
use crate::http::{self, Answer};
use crate::machine::{Machine, start};

crate::tests![a_disk_that_takes_nothing_stops_no_start_and_no_removal];

/// A way for a disk to take nothing.
struct Kind {
    name: &'static str,
    /// Mounts a small file system there.
    mount: fn(&Path),
    /// Makes it take nothing more; called again and again.
    spoil: fn(&Path),
    /// What users read.
    cause: &'static str,
    /// Whether removing works.
    removes: bool,
    /// Whether it is seen without a write, and said in `info`.
    is_seen: bool,
}

#[rustfmt::skip]
const KINDS: [Kind; 4] = [
    Kind { name: "blocks",    mount: |root| in_ram(root, "size=8m"),                spoil: fill,      cause: "no space left on device", removes: true, is_seen: true },
    Kind { name: "files",     mount: |root| in_ram(root, "size=64m,nr_inodes=200"), spoil: crowd,     cause: "no space left on device", removes: true, is_seen: true },
    Kind { name: "read-only", mount: |root| in_ram(root, "size=64m"),               spoil: read_only, cause: "read-only file system",   removes: false, is_seen: true },
    Kind { name: "late",      mount: on_disk,                                       spoil: overcommit, cause: "no space left on device", removes: false, is_seen: false },
];

fn in_ram(root: &Path, options: &str) {
    mount::mount("tmpfs", root, "tmpfs", MountFlags::empty(), options).unwrap();
}

fn read_only(root: &Path) {
    let flags = MountFlags::REMOUNT | MountFlags::RDONLY;
    mount::mount("none", root, "", flags, "").unwrap();
}

/// Where the disk of [`on_disk`] is kept: a file in its own small file system.
fn below(root: &Path) -> PathBuf {
    root.with_file_name("below")
}

/// A disk that is larger than what keeps it, as thin volumes are: what does not fit there is an error of the disk, which write(2) does
/// not know and fsync(2) tells. It has no journal, so that the file system goes on as if nothing were wrong.
fn on_disk(root: &Path) {
    let below = below(root);
    fs::create_dir_all(&below).unwrap();
    in_ram(&below, "size=32m");
    let disk = below.join("disk");
    File::create(&disk).unwrap().set_len(128 << 20).unwrap();
    let disk = disk.to_str().unwrap();
    tool(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-O", "^has_journal", disk],
    );
    let options = "loop,discard,errors=continue";
    tool("mount", &["-o", options, disk, root.to_str().unwrap()]);
}

fn overcommit(root: &Path) {
    fill(&below(root));
}

fn tool(name: &str, arguments: &[&str]) {
    let output = sys::process::Command::new(name)
        .args(arguments)
        .run()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments:?}: {said}");
}

fn fill(root: &Path) {
    let path = root.join("filler");
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
}

fn crowd(root: &Path) {
    let folder = root.join("crowd");
    let _ = fs::create_dir(&folder);
    let there = fs::read_dir(&folder).map_or(0, Iterator::count);
    for number in there.. {
        if File::create(folder.join(number.to_string())).is_err() {
            return;
        }
    }
}

/// A small file system in the place of the engine's root.
struct Small<'m>(&'m Path);

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // The engine may still have something open.
        let _ = mount::unmount(self.0, UnmountFlags::DETACH);
        let _ = mount::unmount(below(self.0), UnmountFlags::DETACH);
    }
}

/// Requests that have to write: method, path, body.
#[rustfmt::skip]
fn writes() -> [(&'static str, &'static str, Value); 6] {
    [
        ("POST", "/volumes/create", json!({"Name": "new"})),
        ("POST", "/networks/create", json!({"Name": "new"})),
        ("POST", "/containers/create?name=new", json!({"Image": "soak", "Cmd": ["true"]})),
        ("POST", "/containers/made/rename?name=new", Value::Null),
        ("POST", "/images/soak/tag?repo=new", Value::Null),
        ("POST", "/containers/ran/start", Value::Null),
    ]
}

fn ask(machine: &Machine, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    http::request(
        &machine.socket(),
        method,
        path,
        "application/json",
        body.as_bytes(),
    )
    .unwrap()
}

fn a_disk_that_takes_nothing_stops_no_start_and_no_removal() {
    let mut machine = prepared("full");
    let whole = machine.keep_state();
    machine.start();
    let expected = seen(&machine);
    let root = machine.root();
    for kind in KINDS {
        let name = kind.name;
        machine.kill();
        let _small = Small(&root);
        (kind.mount)(&root);
        machine.copy_state(&whole);
        (kind.spoil)(&root);
        machine.start();
        assert_eq!(seen(&machine), expected, "{name}");
        let warnings = machine.get("/info").unwrap().json()["Warnings"].to_string();
        let said = warnings.contains(kind.cause) || warnings.contains("read-only");
        assert!(said || !kind.is_seen, "{name}: {warnings}");
        writes_fail_whole(&mut machine, &kind);
        if kind.removes {
            removals_work(&mut machine, name);
        }
        machine.kill();
    }
}

/// What cannot be written is answered with the cause and has not happened, neither now nor at the next start.
fn writes_fail_whole(machine: &mut Machine, kind: &Kind) {
    let Kind {
        name: kind,
        spoil,
        cause,
        ..
    } = kind;
    let mut refused = 0;
    for (method, path, body) in writes() {
        // The engine has given up spares, and what it has made of their room may be gone again.
        spoil(&machine.root());
        let before = seen(machine);
        let answer = ask(machine, method, path, &body);
        if answer.status < 400 {
            continue; // there was room for a few bytes: a spare was given up
        }
        refused += 1;
        let text = answer.text();
        assert_eq!(answer.status, 500, "{kind}, {path}: {text}");
        assert!(text.contains(cause), "{kind}, {path}: {text}");
        assert!(!text.contains("os error"), "{kind}, {path}: {text}");
        assert_eq!(seen(machine), before, "{kind}, {path}");
    }
    assert!(refused >= 3, "{kind}: {refused} requests were refused");
    let before = seen(machine);
    machine.kill();
    machine.start();
    assert_eq!(seen(machine), before, "{kind}, at the next start");
}

fn removals_work(machine: &mut Machine, kind: &str) {
    let names: Vec<String> = machine.containers().into_keys().collect();
    for name in names {
        let path = format!("/containers{name}?force=1");
        let answer = ask(machine, "DELETE", &path, &Value::Null);
        assert_eq!(answer.status, 204, "{kind}, {path}: {}", answer.text());
    }
    for (method, path) in [
        ("DELETE", "/volumes/named"),
        ("DELETE", "/networks/front"),
        ("DELETE", "/images/soak"),
        (
            "POST",
            "/images/prune?filters=%7B%22dangling%22%3A%5B%22false%22%5D%7D",
        ),
        ("POST", "/volumes/prune"),
        ("POST", "/containers/prune"),
        ("POST", "/networks/prune"),
    ] {
        let answer = ask(machine, method, path, &Value::Null);
        assert!(answer.status < 300, "{kind}, {path}: {}", answer.text());
    }
    let left = seen(machine);
    assert_eq!(left["containers"], json!([]), "{kind}");
    assert_eq!(left["images"], json!([]), "{kind}");
    machine.kill();
    machine.start();
    assert_eq!(seen(machine), left, "{kind}, at the next start");
    // There is room again.
    assert_eq!(machine.import("soak").unwrap().status, 200, "{kind}");
    let answer = ask(
        machine,
        "POST",
        "/containers/create?name=again",
        &json!({"Image": "soak", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]}}),
    );
    assert_eq!(answer.status, 201, "{kind}: {}", answer.text());
    assert!(start(&machine.socket(), "again"), "{kind}");
}
