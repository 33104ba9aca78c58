//! What clients see of a container's files: archives as Docker writes them, the init layer, what a commit holds.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::machine::{Machine, wait_until};

crate::tests![
    the_root_of_a_running_container_is_copied_as_docker_copies_it,
    the_archive_of_one_file_is_a_plain_entry_with_its_attributes,
    a_container_has_dockers_init_layer_and_a_commit_has_not,
    a_lease_holds_up_only_who_reads_its_file
];

/// The test that needs a program to take a lease: no other that every machine has can.
pub(crate) const NEEDS_PERL: &str = "a_lease_holds_up_only_who_reads_its_file";

/// Whether there is one.
pub(crate) fn has_perl() -> bool {
    Path::new("/usr/bin/perl").exists()
}

/// Creates and starts a container.
fn run(machine: &Machine, name: &str, command: &[&str], host: Value) {
    let mut host = host;
    host["NetworkMode"] = json!("none");
    // A machine of tests may not raise the limit to the default.
    host["Ulimits"] = json!([{"Name": "nofile", "Soft": 1024, "Hard": 1024}]);
    let body = json!({"Image": "soak", "Cmd": command, "HostConfig": host}).to_string();
    let made = send(
        machine,
        "POST",
        &format!("/containers/create?name={name}"),
        &body,
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let started = send(machine, "POST", &format!("/containers/{name}/start"), "");
    assert_eq!(started.status, 204, "{}", started.text());
}

fn send(machine: &Machine, method: &str, path: &str, body: &str) -> Answer {
    let kind = "application/json";
    http::request(&machine.socket(), method, path, kind, body.as_bytes()).unwrap()
}

fn get(machine: &Machine, path: &str) -> Vec<u8> {
    let answer = machine.get(path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.body
}

/// Names of an archive, in order.
fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned())
        .collect()
}

fn ended(machine: &Machine, name: &str) {
    wait_until("the container ends", || {
        let state = machine.containers().get(&format!("/{name}")).cloned();
        state.as_deref() == Some("exited")
    });
}

fn the_root_of_a_running_container_is_copied_as_docker_copies_it() {
    let machine = Machine::new("files-root");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let host = json!({"Binds": ["kept:/kept"], "Tmpfs": {"/fleeting": ""}});
    let command = [
        "sh",
        "-c",
        "echo x >/kept/file; echo x >/fleeting/file; sleep 1000",
    ];
    run(&machine, "copied", &command, host);
    wait_until("the file is written", || {
        let path = "/containers/copied/archive?path=/kept/file";
        machine.get(path).is_ok_and(|answer| answer.status == 200)
    });
    let names = names(&get(&machine, "/containers/copied/archive?path=/"));
    // Clients put the name of the new directory before each of these.
    assert_eq!(names[0], "/");
    assert!(names.iter().all(|name| name.starts_with('/')), "{names:?}");
    assert!(names.contains(&"/kept/file".to_owned()), "{names:?}");
    for place in ["/proc/", "/sys/", "/fleeting/"] {
        let below = names.iter().filter(|name| name.starts_with(place));
        assert_eq!(below.count(), 1, "{place} alone");
    }
    assert!(!names.contains(&"/dev/null".to_owned()), "{names:?}");
}

fn the_archive_of_one_file_is_a_plain_entry_with_its_attributes() {
    let machine = Machine::new("files-one");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let command = [
        "sh",
        "-c",
        "echo text >/bin/own; busybox chmod 4711 /bin/own; busybox ln -s own /bin/link; busybox ln -s /bin/link /far",
    ];
    run(&machine, "one", &command, json!({}));
    ended(&machine, "one");
    let archive = get(&machine, "/containers/one/archive?path=/bin/own");
    // ustar, and an ordinary file: no extended header before it, which Ruby's clients cannot read.
    assert_eq!((&archive[257..262], archive[156]), (&b"ustar"[..], b'0'));
    let mut archive = tar::Archive::new(&*archive);
    let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(&*entry.path_bytes(), b"own");
    assert_eq!(entry.header().mode().unwrap(), 0o4711);
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text\n");

    let link = get(&machine, "/containers/one/archive?path=/far");
    assert_eq!(link[156], b'2', "a link is copied as a link");
    for (path, expected) in [
        ("/bin/own/", 500),
        ("/none", 404),
        ("/far/none", 500),
        ("/bin/", 200),
        ("/bin/.", 200),
    ] {
        let answer = machine.get(&format!("/containers/one/archive?path={path}"));
        assert_eq!(answer.unwrap().status, expected, "{path}");
    }
}

fn a_container_has_dockers_init_layer_and_a_commit_has_not() {
    let machine = Machine::new("files-init");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let command = [
        "sh",
        "-c",
        "test -e /.dockerenv && test $(busybox readlink /etc/mtab) = /proc/mounts && echo x >/new",
    ];
    run(&machine, "own", &command, json!({}));
    ended(&machine, "own");
    let changes = machine.get("/containers/own/changes").unwrap().json();
    assert_eq!(changes, json!([{"Path": "/new", "Kind": 1}]));

    let names_of_export = names(&get(&machine, "/containers/own/export"));
    for place in [
        ".dockerenv",
        "dev/console",
        "dev/pts/",
        "dev/shm/",
        "etc/hostname",
        "etc/hosts",
        "etc/mtab",
        "etc/resolv.conf",
        "proc/",
        "sys/",
    ] {
        assert!(names_of_export.contains(&place.to_owned()), "{place}");
    }

    let made = send(&machine, "POST", "/commit?container=own&repo=made", "{}");
    assert_eq!(made.status, 201, "{}", made.text());
    let saved = get(&machine, "/images/made/get");
    let file = |wanted: &str| {
        let mut archive = tar::Archive::new(&*saved);
        let mut entries = archive.entries().unwrap().map(|entry| entry.unwrap());
        let mut entry = entries
            .find(|entry| *entry.path_bytes() == *wanted.as_bytes())
            .unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let manifest: Value = serde_json::from_slice(&file("manifest.json")).unwrap();
    let layers = manifest[0]["Layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    assert_eq!(names(&file(layers[1].as_str().unwrap())), ["new"]);
}

/// Takes a lease on a file, says when somebody wants to open it, and keeps it until it is told.
const LEASE: &str = r#"
    $SIG{IO} = "IGNORE"; $| = 1;
    open(F, "+<", $ARGV[0]) or die "open: $!";
    fcntl(F, 1024, 1) or die "F_SETLEASE: $!";
    print "held\n";
    while (fcntl(F, 1025, 0) == 1) { select(undef, undef, undef, 0.01) }
    print "asked\n";
    <STDIN>;
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "the program is spoken with while it runs; sys::process::run waits for its end"
)]
fn lease(file: &Path) -> Child {
    Command::new("/usr/bin/perl")
        .args([Path::new("-e"), Path::new(LEASE), file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A tar with one file.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, name, content).unwrap();
    tar.into_inner().unwrap()
}

fn put(socket: &Path, path: &str, archive: &[u8]) -> Answer {
    http::request(socket, "PUT", path, "application/x-tar", archive).unwrap()
}

/// Where the only container's files are mounted.
fn rootfs(machine: &Machine) -> PathBuf {
    let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", machine.pid())).unwrap();
    let targets = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (_, target, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "overlay").then(|| PathBuf::from(target))
    });
    let mut own = targets.filter(|target| target.starts_with(machine.folder()));
    // The engine has its own mounts.
    let root = PathBuf::from(format!("/proc/{}/root", machine.pid()));
    root.join(own.next_back().unwrap().strip_prefix("/").unwrap())
}

/// What a request is answered for which somebody has to give a lease on `file` back, which happens once the engine is seen
/// to answer others meanwhile: one that waited itself would not.
fn while_leased(
    machine: &Machine,
    file: &Path,
    ask: impl FnOnce() -> Answer + Send + 'static,
) -> Answer {
    let mut holder = lease(file);
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "held");
    let asked = std::thread::spawn(ask);
    assert_eq!(said.next().unwrap().unwrap(), "asked");
    assert_eq!(machine.get("/_ping").unwrap().status, 200);
    holder.stdin.take().unwrap().write_all(b"\n").unwrap();
    holder.wait().unwrap();
    asked.join().unwrap()
}

fn a_lease_holds_up_only_who_reads_its_file() {
    let machine = Machine::new("files-lease");
    let socket = machine.socket();
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let body = json!({"Image": "soak", "Cmd": ["true"], "User": "app", "HostConfig": {"NetworkMode": "none"}});
    let made = send(
        &machine,
        "POST",
        "/containers/create?name=leased",
        &body.to_string(),
    );
    assert_eq!(made.status, 201, "{}", made.text());
    let passwd = tar_of("passwd", b"app:x:7:8::/:/bin/sh\n");
    let answer = put(&socket, "/containers/leased/archive?path=/etc", &passwd);
    assert_eq!(answer.status, 200, "{}", answer.text());

    let leased = rootfs(&machine).join("etc/passwd");
    let answer = while_leased(&machine, &leased, move || {
        let path = "/containers/leased/archive?path=/tmp&copyUIDGID=1";
        put(&socket, path, &tar_of("file", b"x"))
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
    let archive = get(&machine, "/containers/leased/archive?path=/tmp/file");
    let mut archive = tar::Archive::new(&*archive);
    let entry = archive.entries().unwrap().next().unwrap().unwrap();
    let header = entry.header();
    assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (7, 8));

    // A commit is not among them: it reads below the overlay, where nobody holds a lease.
    for path in ["archive?path=/etc/passwd", "archive?path=/etc", "export"] {
        let path = format!("/containers/leased/{path}");
        let socket = machine.socket();
        let answer = while_leased(&machine, &leased, move || {
            http::request(&socket, "GET", &path, "", b"").unwrap()
        });
        assert_eq!(answer.status, 200, "{}", answer.text());
        let found = names(&answer.body);
        let has = found.iter().any(|name| name.ends_with("passwd"));
        assert!(has, "{found:?}");
    }
}
