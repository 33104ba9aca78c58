//! What becomes of the volumes of containers that come and go, and who joins whose network.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::http::{self, Answer};
use crate::machine::{Machine, create_with, start, wait_until};

crate::tests![
    joined_volumes_go_with_the_last_container_and_are_told_of,
    what_a_volume_names_is_mounted_while_it_is_used,
    nobody_joins_its_own_network
];

fn joined_volumes_go_with_the_last_container_and_are_told_of() {
    let machine = Machine::new("volumes");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    create(
        &machine,
        "parent",
        json!({"Binds": ["kept:/kept"]}),
        &["/own"],
    );
    let mounts = machine.get("/containers/parent/json").unwrap().json()["Mounts"].clone();
    let own = mounts.as_array().unwrap().iter();
    let own = own.map(|mount| mount["Name"].as_str().unwrap().to_owned());
    let own = own.filter(|name| name != "kept").collect::<Vec<_>>();
    assert_eq!(own.len(), 1, "{mounts}");
    create(&machine, "child", json!({"VolumesFrom": ["parent"]}), &[]);
    let start = post(&machine, "/containers/child/start", &json!({}));
    assert_eq!(start.status, 204, "{}", start.text());
    wait_until("the child ends", || {
        machine.containers().get("/child").map(String::as_str) == Some("exited")
    });
    assert_eq!(delete(&machine, "parent?force=1"), 204);
    assert_eq!(volumes(&machine).len(), 2, "an anonymous volume stays");
    assert_eq!(delete(&machine, "child?v=1"), 204);
    assert_eq!(volumes(&machine), ["kept"]);

    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs()
        + 1;
    let filters = "%7B%22volume%22%3A%5B%22kept%22%5D%7D";
    let events = machine.get(&format!("/events?since=1&until={now}&filters={filters}"));
    let text = events.unwrap().text();
    let events: Vec<Value> = serde_json::Deserializer::from_str(&text)
        .into_iter()
        .map(|event| event.unwrap())
        .collect();
    let actions: Vec<_> = events.iter().map(|event| &event["Action"]).collect();
    assert_eq!(actions, ["create", "mount", "unmount"]);
    let told = &events[1]["Actor"]["Attributes"];
    assert_eq!(told["destination"], "/kept");
    assert_eq!(
        (&told["driver"], &told["read/write"]),
        (&json!("local"), &json!("true"))
    );
}

fn what_a_volume_names_is_mounted_while_it_is_used() {
    let mut machine = Machine::new("mounted");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let source = machine.folder().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "bound").unwrap();
    let options = json!({"type": "none", "o": "bind,ro", "device": source});
    let volume = json!({"Name": "bound", "DriverOpts": options});
    assert_eq!(post(&machine, "/volumes/create", &volume).status, 201);
    let data = machine.root().join("volumes/bound/_data");
    let shown = |machine: &Machine| inside(machine, &data.join("file"));
    let host = json!({"NetworkMode": "none", "Binds": ["bound:/data:nocopy"]});
    for name in ["one", "two"] {
        assert!(create_with(
            &machine.socket(),
            name,
            &["sleep", "98765"],
            host.clone()
        ));
        assert!(start(&machine.socket(), name));
        assert!(shown(&machine).exists(), "{name}");
    }
    assert!(
        std::fs::write(shown(&machine), "x").is_err(),
        "it is read-only"
    );
    assert_eq!(delete(&machine, "one?force=1"), 204);
    assert!(shown(&machine).exists(), "the other container has it");
    // Taken again while the last one lets go of it.
    assert_eq!(delete(&machine, "two?force=1"), 204);
    assert!(create_with(
        &machine.socket(),
        "three",
        &["sleep", "98765"],
        host
    ));
    assert!(start(&machine.socket(), "three"));
    assert!(shown(&machine).exists());
    assert_eq!(delete(&machine, "three?force=1"), 204);
    wait_until("it is unmounted", || !shown(&machine).exists());

    // What an engine that was killed has left mounted is not removed with the volume.
    machine.kill();
    sys::mount::bind(&source, &data, false).unwrap();
    machine.start();
    assert!(shown(&machine).exists());
    let answer = http::request(&machine.socket(), "DELETE", "/volumes/bound", "", b"");
    assert_eq!(answer.unwrap().status, 204);
    assert!(source.join("file").exists());
    assert!(!data.exists());
}

/// A path as the engine sees it, which has its own mounts.
fn inside(machine: &Machine, path: &Path) -> PathBuf {
    let root = PathBuf::from(format!("/proc/{}/root", machine.pid()));
    root.join(path.strip_prefix("/").unwrap())
}

fn nobody_joins_its_own_network() {
    let machine = Machine::new("own-network");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    create(&machine, "me", json!({"NetworkMode": "container:me"}), &[]);
    let answer = post(&machine, "/containers/me/start", &json!({}));
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["message"], "cannot join own network");
}

fn create(machine: &Machine, name: &str, host: Value, volumes: &[&str]) {
    let mut host = host;
    // A machine of tests may not raise the limit to the default.
    host["Ulimits"] = json!([{"Name": "nofile", "Soft": 1024, "Hard": 1024}]);
    let volumes: serde_json::Map<_, _> = volumes
        .iter()
        .map(|path| ((*path).to_owned(), json!({})))
        .collect();
    let body = json!({"Image": "soak", "Cmd": ["true"], "Volumes": volumes, "HostConfig": host});
    let answer = post(machine, &format!("/containers/create?name={name}"), &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
}

fn post(machine: &Machine, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let kind = "application/json";
    http::request(&machine.socket(), "POST", path, kind, body.as_bytes()).unwrap()
}

fn delete(machine: &Machine, container: &str) -> u16 {
    let path = format!("/containers/{container}");
    let answer = http::request(&machine.socket(), "DELETE", &path, "", b"");
    answer.unwrap().status
}

fn volumes(machine: &Machine) -> Vec<String> {
    let list = machine.get("/volumes").unwrap().json();
    let names = list["Volumes"].as_array().unwrap().iter();
    names
        .map(|volume| volume["Name"].as_str().unwrap().to_owned())
        .collect()
}
