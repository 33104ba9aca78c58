//! What people and clients that nobody here wrote do with containers, and what once did not go as with Docker.

use std::io::Write;

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::machine::{Machine, Tar, start, wait_until};

crate::tests![
    a_privileged_exec_keeps_the_filter_of_its_container,
    a_console_that_is_opened_late_is_logged_and_blocks_nobody,
    a_load_takes_bzip2,
    links_that_lead_nowhere_and_pipes_of_an_image_stop_no_start,
    names_resolve_in_who_joins_a_network_before_and_after_its_start,
];

/// A machine with the image `soak`.
fn machine(name: &str) -> Machine {
    let machine = Machine::new(&format!("strangers-{name}"));
    assert_eq!(machine.import("soak").unwrap().status, 200);
    machine
}

fn post(machine: &Machine, path: &str, body: &Value) -> Answer {
    let (socket, body) = (machine.socket(), body.to_string());
    let answer = http::request(&socket, "POST", path, "application/json", body.as_bytes());
    let answer = answer.unwrap();
    assert!(answer.status < 300, "{path}: {}", answer.text());
    answer
}

/// Makes a container, without starting it, of these keys of a request and of its `HostConfig`.
fn create(machine: &Machine, name: &str, mut keys: Value, mut host: Value) {
    // A machine of tests may not raise the limit to the default.
    host["Ulimits"] = json!([{"Name": "nofile", "Soft": 1024, "Hard": 1024}]);
    keys["HostConfig"] = host;
    post(machine, &format!("/containers/create?name={name}"), &keys);
}

/// Makes and starts a container of the image `soak`.
fn run(machine: &Machine, name: &str, command: &[&str], tty: bool) {
    let keys = json!({"Image": "soak", "Cmd": command, "Tty": tty});
    create(machine, name, keys, json!({"NetworkMode": "none"}));
    assert!(start(&machine.socket(), name), "{name}");
}

/// What a command of busybox in a running container says.
fn exec(machine: &Machine, name: &str, privileged: bool, command: &[&str]) -> String {
    let command = [&["/bin/busybox"], command].concat();
    let body = json!({"Cmd": command, "AttachStdout": true, "AttachStderr": true, "Privileged": privileged});
    let made = post(machine, &format!("/containers/{name}/exec"), &body).json();
    let path = format!("/exec/{}/start", made["Id"].as_str().unwrap());
    post(machine, &path, &json!({})).text()
}

fn a_privileged_exec_keeps_the_filter_of_its_container() {
    let machine = machine("exec");
    run(&machine, "filtered", &["sleep", "1000"], false);
    for privileged in [false, true] {
        let said = exec(
            &machine,
            "filtered",
            privileged,
            &["cat", "/proc/self/status"],
        );
        assert!(said.contains("Seccomp:\t2"), "{privileged}: {said}");
        let ordinary = said.contains("CapEff:\t00000000a80425fb");
        assert_eq!(ordinary, !privileged, "{said}");
    }
}

fn a_console_that_is_opened_late_is_logged_and_blocks_nobody() {
    let machine = machine("console");
    let script = "exec </dev/null >/dev/null 2>&1; sleep 1; echo late >/dev/console; \
        yes | head -c 200000 >/dev/console; echo end >/dev/console; busybox touch /done; sleep 1000";
    run(&machine, "late", &["sh", "-c", script], true);
    wait_until("all of it is written", || {
        let path = "/containers/late/archive?path=/done";
        machine.get(path).unwrap().status == 200
    });
    let logs = || {
        machine
            .get("/containers/late/logs?stdout=1")
            .unwrap()
            .text()
    };
    wait_until("it is logged", || logs().contains("end\r\n"));
    let logs = logs();
    assert!(logs.starts_with("late\r\n"), "{logs:.100}");
    assert_eq!(logs.matches("y\r\n").count(), 100_000);
}

fn a_load_takes_bzip2() {
    let machine = machine("bzip2");
    let saved = machine.get("/images/soak/get").unwrap();
    assert_eq!(saved.status, 200, "{}", saved.text());
    let mut packed = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packed.write_all(&saved.body).unwrap();
    let packed = packed.finish().unwrap();
    let socket = machine.socket();
    let removed = http::request(&socket, "DELETE", "/images/soak", "", b"").unwrap();
    assert_eq!(removed.status, 200, "{}", removed.text());
    let kind = "application/x-tar";
    let loaded = http::request(&socket, "POST", "/images/load", kind, &packed).unwrap();
    assert!(
        loaded.text().contains("Loaded image: soak:latest"),
        "{}",
        loaded.text()
    );
    run(&machine, "loaded", &["sleep", "1000"], false);
}

/// An image whose resolv.conf, a directory's parents and `/data` are links that lead nowhere yet, and whose passwd is a pipe.
fn odd(tar: &mut Tar) {
    for (name, target) in [
        ("etc/resolv.conf", "../run/resolvconf/resolv.conf"),
        ("work", "/srv/work"),
        ("data", "/mnt/data"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, name, target).unwrap();
    }
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Fifo);
    header.set_mode(0o644);
    header.set_size(0);
    tar.append_data(&mut header, "etc/passwd", std::io::empty())
        .unwrap();
}

fn links_that_lead_nowhere_and_pipes_of_an_image_stop_no_start() {
    let machine = Machine::new("strangers-links");
    assert_eq!(machine.import_with("odd", odd).unwrap().status, 200);
    let host = machine.folder().join("bound");
    std::fs::create_dir(&host).unwrap();
    std::fs::write(host.join("file"), "bound").unwrap();
    let keys = json!({"Image": "odd", "Cmd": ["sleep", "1000"], "WorkingDir": "/work/below"});
    let binds = format!("{}:/data/below", host.display());
    create(&machine, "odd", keys, json!({"Binds": [binds]}));
    assert!(start(&machine.socket(), "odd"));
    let said = |command: &[&str]| exec(&machine, "odd", false, command);
    assert!(
        said(&["pwd"]).ends_with("/srv/work/below\n"),
        "{}",
        said(&["pwd"])
    );
    assert!(said(&["cat", "/mnt/data/below/file"]).ends_with("bound"));
    let resolver = said(&["cat", "/etc/resolv.conf"]);
    assert!(resolver.contains("nameserver"), "{resolver}");
    // A user by name is looked up in the pipe, which ends in an error and not in waiting.
    let body = json!({"Cmd": ["true"], "User": "app", "AttachStdout": true});
    let made = post(&machine, "/containers/odd/exec", &body).json();
    let path = format!("/exec/{}/start", made["Id"].as_str().unwrap());
    let socket = machine.socket();
    let refused = http::request(&socket, "POST", &path, "application/json", b"{}").unwrap();
    assert!(refused.text().contains("named pipe"), "{}", refused.text());
}

fn names_resolve_in_who_joins_a_network_before_and_after_its_start() {
    let machine = machine("names");
    post(&machine, "/networks/create", &json!({"Name": "user"}));
    let keys = || json!({"Image": "soak", "Cmd": ["sleep", "1000"]});
    let join = |name: &str| {
        let settings = json!({"Aliases": [format!("also-{name}")]});
        let body = json!({"Container": name, "EndpointConfig": settings});
        post(&machine, "/networks/user/connect", &body);
    };
    for name in ["early", "other"] {
        create(&machine, name, keys(), json!({}));
        join(name);
        assert!(start(&machine.socket(), name));
    }
    create(&machine, "late", keys(), json!({}));
    assert!(start(&machine.socket(), "late"));
    let before = exec(&machine, "late", false, &["cat", "/etc/resolv.conf"]);
    assert!(!before.contains("127.0.0.11"), "{before}");
    join("late");
    let other = machine.get("/containers/other/json").unwrap().json();
    let address = other["NetworkSettings"]["Networks"]["user"]["IPAddress"].clone();
    let address = address.as_str().unwrap();
    for name in ["early", "late"] {
        for wanted in ["other", "also-other"] {
            let said = exec(&machine, name, false, &["nslookup", wanted]);
            assert!(said.contains(address), "{name} asks for {wanted}: {said}");
        }
    }
}
