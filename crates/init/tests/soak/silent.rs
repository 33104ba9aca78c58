//! File systems that never answer, where a request leads the engine into them: whoever asked waits, and nobody else.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use serde_json::{Value, json};
use sys::mount::{self, MountFlags, UnmountFlags};
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::machine::{Machine, PATIENCE, create_with, start, wait_until};

crate::tests![
    volumes_of_a_silent_server_hold_nobody,
    a_silent_mount_below_a_directory_of_devices_holds_nobody,
    a_silent_mount_in_the_place_of_a_disk_holds_nobody
];

/// Whether there can be such a file system here.
pub(crate) fn possible() -> bool {
    Path::new("/dev/fuse").exists()
}

/// A FUSE file system whose server says nothing, and is gone when this is dropped: then all who wait hear so.
struct Silent {
    point: TempDir,
    server: Option<File>,
}

impl Silent {
    fn new(point: TempDir) -> Self {
        let server = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let number = server.as_raw_fd();
        let data = format!("fd={number},rootmode=40000,user_id=0,group_id=0");
        mount::mount("silent", point.path(), "fuse", MountFlags::NOSUID, &data).unwrap();
        Self {
            point,
            server: Some(server),
        }
    }

    fn path(&self) -> &Path {
        self.point.path()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = mount::unmount(self.point.path(), UnmountFlags::DETACH);
    }
}

fn post(socket: &Path, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    http::request(socket, "POST", path, "application/json", body.as_bytes()).unwrap()
}

/// Asks, and fails when there is no answer.
fn answered(machine: &Machine, method: &'static str, path: &'static str) -> Answer {
    let socket = machine.socket();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(http::request(&socket, method, path, "", b"")));
    let answer = receiver.recv_timeout(PATIENCE);
    let answer = answer.unwrap_or_else(|_| panic!("{method} {path} is not answered"));
    answer.unwrap()
}

fn volumes_of_a_silent_server_hold_nobody() {
    const VOLUMES: usize = 5;
    // The engine has its own mounts: those of this moment.
    let silent = Silent::new(tempfile::tempdir().unwrap());
    let machine = Machine::new("silent-volumes");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    let device = silent.path().join("below");
    // One more than the engine has threads for what may take long.
    for number in 0..VOLUMES {
        let options = json!({"type": "none", "o": "bind", "device": device});
        let volume = json!({"Name": format!("far{number}"), "DriverOpts": options});
        assert_eq!(post(&socket, "/volumes/create", &volume).status, 201);
        let host = json!({"NetworkMode": "none", "Binds": [format!("far{number}:/data:nocopy")]});
        assert!(create_with(
            &socket,
            &format!("far{number}"),
            &["true"],
            host
        ));
    }
    let idle = children(&machine);
    let starts: Vec<JoinHandle<Answer>> = (0..VOLUMES)
        .map(|number| {
            let socket = socket.clone();
            let path = format!("/containers/far{number}/start");
            std::thread::spawn(move || post(&socket, &path, &Value::Null))
        })
        .collect();
    wait_until("all are mounting", || children(&machine) >= idle + VOLUMES);

    let plain = json!({"Name": "plain"});
    assert_eq!(post(&socket, "/volumes/create", &plain).status, 201);
    let data = machine.root().join("volumes/plain/_data");
    fs::write(data.join("file"), vec![1; 100_000]).unwrap();
    let usage = answered(&machine, "GET", "/system/df").json();
    let volumes = usage["Volumes"].as_array().unwrap();
    assert_eq!(volumes.len(), VOLUMES + 1);
    for volume in volumes {
        let size = volume["UsageData"]["Size"].as_i64().unwrap();
        match volume["Name"] == "plain" {
            true => assert!(size >= 100_000, "{size}"),
            false => assert_eq!(size, -1, "{volume}"),
        }
    }
    let pruned = answered(
        &machine,
        "POST",
        "/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D",
    );
    let pruned = pruned.json();
    assert_eq!(pruned["VolumesDeleted"], json!(["plain"]));
    assert!(pruned["SpaceReclaimed"].as_u64().unwrap() >= 100_000);
    let host = json!({"NetworkMode": "none"});
    assert!(create_with(&socket, "other", &["true"], host));
    assert!(start(&socket, "other"));

    drop(silent);
    for start in starts {
        let answer = start.join().unwrap();
        assert_eq!(answer.status, 500, "{}", answer.text());
        let words = "error while mounting volume";
        assert!(answer.text().contains(words), "{}", answer.text());
    }
}

/// Processes that the engine has started and that run.
fn children(machine: &Machine) -> usize {
    let pid = machine.pid();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = tasks.flatten().map(|task| {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        list.split_whitespace().count()
    });
    children.sum()
}

fn a_silent_mount_below_a_directory_of_devices_holds_nobody() {
    let work = tempfile::tempdir().unwrap();
    let zero = work.path().join("zero");
    mknodat(
        CWD,
        &zero,
        FileType::CharacterDevice,
        Mode::RWXU,
        makedev(1, 5),
    )
    .unwrap();
    let silent = Silent::new(tempfile::tempdir_in(work.path()).unwrap());
    let machine = Machine::new("silent-devices");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let device =
        json!({"PathOnHost": work.path(), "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"});
    let host = json!({"NetworkMode": "none", "Devices": [device]});
    let socket = machine.socket();
    assert!(create_with(
        &socket,
        "devices",
        &["sh", "-c", "test -c /dev/x/zero"],
        host
    ));
    let answer = answered(&machine, "POST", "/containers/devices/start");
    assert_eq!(answer.status, 204, "{}", answer.text());
    wait_until("the container ends", || {
        machine.containers()["/devices"] == "exited"
    });
    let state = machine.get("/containers/devices/json").unwrap().json();
    assert_eq!(state["State"]["ExitCode"], 0, "the node is not there");
    // What its start wrote to /run, which is in RAM, is gone with its end.
    let bundles = machine.root().with_file_name("run").join("bundles");
    assert_eq!(fs::read_dir(bundles).unwrap().count(), 0);

    // One that is large.
    let many = tempfile::tempdir().unwrap();
    for number in 0..=32 * 1024 {
        File::create(many.path().join(number.to_string())).unwrap();
    }
    let host = json!({"NetworkMode": "none", "Devices": [{"PathOnHost": many.path()}]});
    assert!(create_with(&socket, "many", &["true"], host));
    let answer = answered(&machine, "POST", "/containers/many/start");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.text().contains("more than 32768 files"),
        "{}",
        answer.text()
    );
    drop(silent);
}

fn a_silent_mount_in_the_place_of_a_disk_holds_nobody() {
    let silent = Silent::new(tempfile::tempdir().unwrap());
    let machine = Machine::new("silent-disk");
    assert_eq!(machine.import("soak").unwrap().status, 200);
    let socket = machine.socket();
    let limited = |name: &str, path: &Path| {
        let rates = json!([{"Path": path, "Rate": 1_000_000}]);
        let host = json!({"NetworkMode": "none", "BlkioDeviceReadBps": rates});
        assert!(create_with(&socket, name, &["true"], host));
    };
    // The mount itself, which the kernel knows without its server
    limited("mount", silent.path());
    let answer = answered(&machine, "POST", "/containers/mount/start");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.text().contains("is not a block device"),
        "{}",
        answer.text()
    );
    // What is below: a child of the engine waits
    limited("below", &silent.path().join("below"));
    let idle = children(&machine);
    let waiting = {
        let socket = socket.clone();
        std::thread::spawn(move || post(&socket, "/containers/below/start", &Value::Null))
    };
    wait_until("a child looks", || children(&machine) > idle);
    assert_eq!(answered(&machine, "GET", "/containers/json").status, 200);
    let host = json!({"NetworkMode": "none"});
    assert!(create_with(&socket, "other", &["true"], host));
    assert!(start(&socket, "other"));
    drop(silent);
    let answer = waiting.join().unwrap();
    assert!(answer.status >= 400, "{}", answer.text());
}
