//! Copies in and out of containers: clients that do not read, and containers that exchange files while they are copied.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use serde_json::json;

use crate::http::{self, Answer, connect};
use crate::machine::{Machine, create, remove, run, wait_until};

crate::tests![
    clients_who_read_no_archive_hold_up_nobody,
    what_is_copied_out_is_never_the_machines,
    what_is_copied_in_is_never_in_the_machine,
    a_new_volume_is_never_filled_outside_itself,
    a_device_in_a_files_place_is_not_read
];

/// Longest wait for an answer while others do not read: far more than any of them takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often a race is tried.
const TRIES: usize = 40;
/// What a file of the container has in it, and one of the machine.
const INSIDE: &str = "of the container";
const OUTSIDE: &str = "of the machine";

/// A request whose answer is not read beyond its first bytes.
fn unread(socket: &Path, path: &str) -> UnixStream {
    let mut stream = connect(socket).unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200", "{path}");
    stream
}

fn within_deadline(what: &str, ask: impl FnOnce() -> bool) {
    let begun = Instant::now();
    assert!(ask(), "{what}");
    let took = begun.elapsed();
    println!("{what} took {} ms", took.as_millis());
    assert!(took < DEADLINE, "{what} took {took:?}");
}

fn clients_who_read_no_archive_hold_up_nobody() {
    let machine = Machine::new("unread");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = &machine.socket();
    // More than all buffers on the way to a client can hold.
    let big = "busybox truncate -s 64M /bin/big; >/done; sleep 1000";
    assert!(run(socket, "copied", &["sh", "-c", big], "none"));
    assert!(create(socket, "second", &["true"], "none"));
    wait_until("the file is there", || {
        let path = "/containers/copied/archive?path=/done";
        machine.get(path).is_ok_and(|answer| answer.status == 200)
    });
    let before = machine.at_rest();
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(unread(socket, "/containers/copied/export"));
        clients.push(unread(socket, "/containers/copied/archive?path=/bin"));
    }
    let ok = |answer: std::io::Result<Answer>, status: u16| {
        let answer = answer.unwrap();
        if answer.status != status {
            println!("{} {}", answer.status, answer.text());
        }
        answer.status == status
    };
    // A worker is PID 1's program until it has become its own.
    wait_until("each client has a worker", || {
        workers(&machine).len() == clients.len()
    });
    workers(&machine)
        .iter()
        .for_each(|process| confined(process));
    within_deadline("df", || ok(machine.get("/system/df"), 200));
    within_deadline("create with a volume", || {
        let body = json!({"Image": "soak", "Cmd": ["true"], "Volumes": {"/etc": {}},
            "HostConfig": {"NetworkMode": "none"}});
        let kind = "application/json";
        let path = "/containers/create?name=third";
        let body = body.to_string();
        ok(
            http::request(socket, "POST", path, kind, body.as_bytes()),
            201,
        )
    });
    within_deadline("rm", || remove(socket, "second"));
    within_deadline("one more export", || {
        ok(machine.get("/containers/third/export"), 200)
    });
    within_deadline("upgrade", || {
        ok(
            http::request(socket, "POST", "/engine/upgrade", "", b""),
            202,
        )
    });
    within_deadline("the program is replaced", || {
        wait_until("the program is replaced", || {
            let engine = machine.get("/engine");
            engine.is_ok_and(|engine| engine.json()["Generation"] == 1)
        });
        true
    });
    within_deadline("rm -f of what is copied", || remove(socket, "copied"));
    drop(clients);
    machine.settles(&before);
}

/// The engine's workers.
fn workers(machine: &Machine) -> Vec<PathBuf> {
    let parent = format!("PPid:\t{}\n", machine.pid());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let own = processes.map(|entry| entry.path()).filter(|process| {
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        status.starts_with("Name:\tworker\n") && status.contains(&parent)
    });
    own.collect()
}

/// A worker that reads a container's files has given up everything else before it reads the first.
fn confined(process: &Path) {
    let status = || fs::read_to_string(process.join("status")).unwrap();
    wait_until("the worker is confined", || {
        status().contains("Seccomp:\t2\n")
    });
    let status = status();
    // CAP_DAC_READ_SEARCH alone (linux/capability.h).
    for line in [
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000004",
        "CapBnd:\t0000000000000004",
    ] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    let root = process.join("root");
    assert!(root.join(".dockerenv").exists() && root.join("bin/busybox").exists());
    assert!(!root.join("usr").exists(), "the machine's files are there");
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap();
    for mount in mounts.lines() {
        assert!(mount.contains("nodev"), "{mount}");
    }
}

/// A volume of a running container in which the container exchanges two names without end.
struct Exchange {
    machine: Machine,
    volume: PathBuf,
    /// A directory of the machine: nothing may come out of it, and nothing into it.
    outside: tempfile::TempDir,
}

impl Exchange {
    fn new(name: &str) -> Self {
        let machine = Machine::new(name);
        assert_eq!(machine.import("soak").unwrap().status, 200);
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("file"), OUTSIDE).unwrap();
        let body = json!({"Image": "soak", "Cmd": ["sleep", "1000"],
            "HostConfig": {"NetworkMode": "none", "Binds": ["shared:/shared"],
                "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}]}});
        let made = post(&machine, "/containers/create?name=racer", &body.to_string());
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(post(&machine, "/containers/racer/start", "").status, 204);
        let volume = machine.folder().join("root/volumes/shared/_data");
        Self {
            machine,
            volume,
            outside,
        }
    }

    /// Exchanges `one` and `other` of the volume while `work` goes on.
    fn during(&self, one: &str, other: &str, work: impl FnOnce()) {
        let over = AtomicBool::new(false);
        let (one, other) = (self.volume.join(one), self.volume.join(other));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE)
                        .unwrap();
                }
            });
            // The exchange ends also when the work fails.
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            over.store(true, Ordering::Relaxed);
            if let Err(panic) = done {
                std::panic::resume_unwind(panic);
            }
        });
    }

    /// Makes both, and a container that does not run and has the directory mounted.
    fn directory_and_link(&self) {
        fs::create_dir(self.volume.join("directory")).unwrap();
        fs::write(self.volume.join("directory/file"), INSIDE).unwrap();
        symlink(self.outside.path(), self.volume.join("link")).unwrap();
        let body = json!({"Image": "soak", "Cmd": ["true"],
            "HostConfig": {"NetworkMode": "none", "Mounts": [part("/mnt")]}});
        let made = post(
            &self.machine,
            "/containers/create?name=waiting",
            &body.to_string(),
        );
        assert_eq!(made.status, 201, "{}", made.text());
    }

    fn nothing_came_outside(&self) {
        let names: Vec<_> = fs::read_dir(self.outside.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["file"]);
        let text = fs::read_to_string(self.outside.path().join("file")).unwrap();
        assert_eq!(text, OUTSIDE);
    }
}

/// The volume's directory as a mount.
fn part(target: &str) -> serde_json::Value {
    json!({"Type": "volume", "Source": "shared", "Target": target, "VolumeOptions": {"Subpath": "directory"}})
}

fn post(machine: &Machine, path: &str, body: &str) -> Answer {
    let kind = "application/json";
    http::request(&machine.socket(), "POST", path, kind, body.as_bytes()).unwrap()
}

fn holds(archive: &[u8], text: &str) -> bool {
    archive
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

fn what_is_copied_out_is_never_the_machines() {
    let race = Exchange::new("race-out");
    race.directory_and_link();
    let mut found = 0;
    race.during("directory", "link", || {
        for number in 0..TRIES {
            let (container, path) = [
                ("racer", "/shared/directory/file"),
                ("waiting", "/mnt/file"),
                ("racer", "/shared"),
                ("waiting", "/mnt"),
            ][number % 4];
            let path = format!("/containers/{container}/archive?path={path}");
            // A copy may break off.
            let Ok(answer) = race.machine.get(&path) else {
                continue;
            };
            assert!(
                !holds(&answer.body, OUTSIDE),
                "a file of the machine came out"
            );
            found += usize::from(holds(&answer.body, INSIDE));
        }
    });
    println!("{found} of {TRIES} copies had the container's file");
    assert!(found > 0, "nothing was ever copied");
}

fn what_is_copied_in_is_never_in_the_machine() {
    let race = Exchange::new("race-in");
    race.directory_and_link();
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["new", "directory/new", "link/new"] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(INSIDE.len() as u64);
        tar.append_data(&mut header, name, INSIDE.as_bytes())
            .unwrap();
    }
    let tar = tar.into_inner().unwrap();
    let mut done = 0;
    race.during("directory", "link", || {
        for number in 0..TRIES {
            let (container, path) = [
                ("racer", "/shared/directory"),
                ("waiting", "/mnt"),
                ("racer", "/shared/"),
            ][number % 3];
            let path = format!("/containers/{container}/archive?path={path}");
            let kind = "application/x-tar";
            let socket = race.machine.socket();
            let answer = http::request(&socket, "PUT", &path, kind, &tar).unwrap();
            done += usize::from(answer.status == 200);
        }
    });
    println!("{done} of {TRIES} copies were made");
    assert!(done > 0, "nothing was ever copied");
    race.nothing_came_outside();
}

fn a_new_volume_is_never_filled_outside_itself() {
    let race = Exchange::new("race-up");
    fs::create_dir(race.volume.join("directory")).unwrap();
    symlink(race.outside.path(), race.volume.join("link")).unwrap();
    // Only what is empty is filled.
    fs::remove_file(race.outside.path().join("file")).unwrap();
    race.during("directory", "link", || {
        for number in 0..TRIES / 2 {
            let body = json!({"Image": "soak", "Cmd": ["true"],
                "HostConfig": {"NetworkMode": "none", "Mounts": [part("/bin")]}});
            let path = format!("/containers/create?name=filler{number}");
            post(&race.machine, &path, &body.to_string());
            let directory = race.volume.join("directory");
            // What was filled is emptied, so that the next container fills it again.
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if !race.outside.path().join(entry.file_name()).exists() {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    });
    let outside = fs::read_dir(race.outside.path()).unwrap().count();
    assert_eq!(outside, 0, "files of the image are in the machine");
}

fn a_device_in_a_files_place_is_not_read() {
    let race = Exchange::new("race-device");
    fs::write(race.volume.join("file"), INSIDE).unwrap();
    // /dev/zero: what is read of it is easily told.
    let zero = rustix::fs::makedev(1, 5);
    let mode = Mode::from_raw_mode(0o666);
    let device = race.volume.join("device");
    rustix::fs::mknodat(CWD, &device, FileType::CharacterDevice, mode, zero).unwrap();
    let mut found = 0;
    race.during("file", "device", || {
        for number in 0..TRIES {
            let path = ["/shared/file", "/shared"][number % 2];
            let path = format!("/containers/racer/archive?path={path}");
            let answer = race.machine.get(&path).unwrap();
            let mut archive = tar::Archive::new(&*answer.body);
            for entry in archive.entries().unwrap().map_while(Result::ok) {
                let mut entry = entry;
                let mut text = Vec::new();
                // A copy that was refused in its middle is cut off.
                let _ = entry.read_to_end(&mut text);
                if entry.header().entry_type().is_file() && !text.is_empty() {
                    assert_eq!(text, INSIDE.as_bytes(), "something else was read");
                    found += 1;
                }
            }
        }
    });
    println!("{found} files were copied");
    assert!(found > 0, "nothing was ever copied");
}
