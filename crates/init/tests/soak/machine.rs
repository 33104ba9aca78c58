//! A machine for the engine: a folder, a network namespace and a cgroup, which outlive the engine's process.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sys::netlink::{Rtnetlink, in_netns, new_netns};
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::program;

/// A static program that has every tool of the tests.
const BUSYBOX: &str = "/usr/bin/busybox";
/// Longest wait for something that takes milliseconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whether there can be a machine here.
pub(crate) fn possible() -> bool {
    rustix::process::geteuid().is_root() && Path::new(BUSYBOX).exists()
}

/// A machine with an engine.
pub(crate) struct Machine {
    folder: TempDir,
    netns: OwnedFd,
    cgroup: String,
    engine: Child,
}

/// What the engine's process holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) zombies: usize,
    pub(crate) mounts: usize,
    pub(crate) veths: usize,
}

impl Machine {
    /// A machine whose engine answers.
    pub(crate) fn new(name: &str) -> Self {
        assert!(possible(), "a machine needs root and busybox-static");
        let folder = tempfile::tempdir().unwrap();
        let netns = new_netns().unwrap();
        let cgroup = format!("soak-{name}-{}", std::process::id());
        let engine = launch(folder.path(), &netns, &cgroup);
        let machine = Self {
            folder,
            netns,
            cgroup,
            engine,
        };
        machine.wait_for_answer();
        machine
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// Everything of the machine.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.engine.id()
    }

    /// Kills the engine at this instant, if it runs.
    pub(crate) fn kill(&mut self) {
        let _ = self.engine.kill();
        self.engine.wait().unwrap();
    }

    /// Starts an engine again.
    pub(crate) fn start(&mut self) {
        self.engine = launch(self.folder.path(), &self.netns, &self.cgroup);
        self.wait_for_answer();
    }

    fn wait_for_answer(&self) {
        wait_until("the engine answers", || {
            self.get("/_ping").is_ok_and(|answer| answer.status == 200)
        });
    }

    pub(crate) fn get(&self, path: &str) -> std::io::Result<Answer> {
        http::request(&self.socket(), "GET", path, "", b"")
    }

    /// Imports an image with busybox in it.
    pub(crate) fn import(&self, name: &str) -> std::io::Result<Answer> {
        self.import_with(name, |_| ())
    }

    /// The same with more in it.
    pub(crate) fn import_with(&self, name: &str, more: fn(&mut Tar)) -> std::io::Result<Answer> {
        let path = format!("/images/create?fromSrc=-&repo={name}");
        let image = image(more);
        http::request(&self.socket(), "POST", &path, "application/x-tar", &image)
    }

    /// Containers by name, with their state.
    pub(crate) fn containers(&self) -> BTreeMap<String, String> {
        let list = self.get("/containers/json?all=1").unwrap().json();
        let name = |item: &Value| item["Names"][0].as_str().unwrap_or_default().to_owned();
        let state = |item: &Value| item["State"].as_str().unwrap_or_default().to_owned();
        let items = list.as_array().cloned().unwrap_or_default();
        items.iter().map(|item| (name(item), state(item))).collect()
    }

    /// Size of the engine's memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let words = line.unwrap().split_whitespace().next().unwrap();
        words.parse::<u64>().unwrap() * 1024
    }

    /// What the engine holds now.
    pub(crate) fn held(&self) -> Held {
        let pid = self.pid();
        let count = |what: &str| fs::read_dir(format!("/proc/{pid}/{what}")).unwrap().count();
        let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        let folder = self.folder.path().to_string_lossy().into_owned();
        Held {
            descriptors: count("fd"),
            threads: count("task"),
            zombies: zombies_of(pid),
            mounts: mounts.lines().filter(|line| line.contains(&folder)).count(),
            veths: self.veths(),
        }
    }

    fn veths(&self) -> usize {
        in_netns(self.netns.as_fd(), || {
            let links = Rtnetlink::open().unwrap().links().unwrap();
            links.iter().filter(|link| link.kind == "veth").count()
        })
        .unwrap()
    }

    /// What the engine holds when it does nothing: no worker is about to be reaped, and two looks agree.
    pub(crate) fn at_rest(&self) -> Held {
        let last = RefCell::new(self.held());
        wait_until("the engine does nothing", || {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.held();
            let seen = last.replace(now.clone());
            now.zombies == 0 && now == seen
        });
        last.into_inner()
    }

    /// Waits until the engine holds no more than `before`. Threads of the pool for blocking work may stay.
    pub(crate) fn settles(&self, before: &Held) {
        let mut now = self.held();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            now = self.held();
            if now.descriptors <= before.descriptors
                && now.zombies <= before.zombies
                && now.mounts <= before.mounts
                && now.veths <= before.veths
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the engine holds {now:?}, before it held {before:?}");
    }

    /// Cgroups of containers with a process in them.
    pub(crate) fn populated_cgroups(&self) -> Vec<PathBuf> {
        let mut populated = Vec::new();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let parent = Path::new(root).join(&self.cgroup);
            for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
                let events = fs::read_to_string(entry.path().join("cgroup.events"));
                if events.is_ok_and(|text| text.contains("populated 1")) {
                    populated.push(entry.path());
                }
            }
        }
        populated
    }

    /// Does something where the engine's network is.
    pub(crate) fn in_netns(&self, work: impl FnOnce() + Send) {
        in_netns(self.netns.as_fd(), work).unwrap();
    }

    /// The engine's root.
    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Copies the state of an engine that does not run.
    pub(crate) fn keep_state(&self) -> PathBuf {
        let copy = self.folder.path().join("kept");
        copy_tree(&self.root(), &copy);
        copy
    }

    /// Makes the state what [`Self::keep_state`] kept; the engine does not run.
    pub(crate) fn restore_state(&self, kept: &Path) {
        fs::remove_dir_all(self.root()).unwrap();
        copy_tree(kept, &self.root());
    }

    /// Puts what was kept into an empty directory that is there.
    pub(crate) fn copy_state(&self, kept: &Path) {
        copy_tree(&kept.join("."), &self.root());
    }

    /// Entries of a directory of the engine's state.
    pub(crate) fn state_entries(&self, what: &str) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path().join(what));
        let names = entries.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Containers end with an engine that is asked to; then nothing is left in the cgroup.
        let _ = sys::process::kill(self.engine.id().cast_signed(), sys::process::Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && matches!(self.engine.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.engine.kill();
        let _ = self.engine.wait();
        for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
            let _ = fs::remove_dir(Path::new(root).join(&self.cgroup));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the program as a user would; sys::process::run waits for its end"
)]
fn launch(folder: &Path, netns: &OwnedFd, cgroup: &str) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let spawn = || {
        // Fewer open files than the kernel gives PID 1: the engine must raise its own limit.
        Command::new("prlimit")
            .arg("--nofile=256:")
            .arg(program::path())
            .args(["engine", "--cgroup", cgroup])
            .args([Path::new("--root"), &folder.join("root")])
            .args([Path::new("--run"), &folder.join("run")])
            .args([Path::new("--socket"), &folder.join("sock")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
    };
    in_netns(netns.as_fd(), spawn).unwrap().unwrap()
}

fn copy_tree(from: &Path, to: &Path) {
    let copied = sys::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .run()
        .unwrap();
    assert!(copied.status.success(), "cp -a: {:?}", copied.stderr);
}

/// Children of a process that have ended and were not waited for.
fn zombies_of(parent: u32) -> usize {
    let stats = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut words = rest.split(' ');
            Some((words.next()? == "Z", words.next()?.parse::<u32>().ok()?))
        });
    stats
        .filter(|(zombie, of)| *zombie && *of == parent)
        .count()
}

/// Waits for what an event brings about.
pub(crate) fn wait_until(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// An archive that is being made.
pub(crate) type Tar = tar::Builder<Vec<u8>>;

/// A root file system with busybox, as a tar.
fn image(more: fn(&mut Tar)) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let program = fs::read(BUSYBOX).unwrap();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    tar.append_data(&mut header, "bin/busybox", &*program)
        .unwrap();
    for name in ["sh", "sleep", "yes", "head", "tail", "true"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, format!("bin/{name}"), "busybox")
            .unwrap();
    }
    for name in ["dev", "proc", "sys", "tmp", "etc"] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        tar.append_data(&mut header, format!("{name}/"), std::io::empty())
            .unwrap();
    }
    more(&mut tar);
    tar.into_inner().unwrap()
}

/// Makes and starts a container; false when the engine refused or went away.
pub(crate) fn run(socket: &Path, name: &str, command: &[&str], network: &str) -> bool {
    create(socket, name, command, network) && start(socket, name)
}

pub(crate) fn create(socket: &Path, name: &str, command: &[&str], network: &str) -> bool {
    create_with(socket, name, command, json!({ "NetworkMode": network }))
}

/// The same with any `HostConfig`.
pub(crate) fn create_with(socket: &Path, name: &str, command: &[&str], mut host: Value) -> bool {
    // A machine of tests may not raise the limit to the default.
    host["Ulimits"] = json!([{"Name": "nofile", "Soft": 1024, "Hard": 1024}]);
    let body = json!({ "Image": "soak", "Cmd": command, "HostConfig": host });
    let path = format!("/containers/create?name={name}");
    http::request(
        socket,
        "POST",
        &path,
        "application/json",
        body.to_string().as_bytes(),
    )
    .is_ok_and(|answer| answer.status == 201)
}

pub(crate) fn start(socket: &Path, name: &str) -> bool {
    let answer = http::request(
        socket,
        "POST",
        &format!("/containers/{name}/start"),
        "",
        b"",
    );
    if let Ok(answer) = &answer
        && answer.status >= 400
    {
        println!("start {name}: {}", answer.text());
    }
    answer.is_ok_and(|answer| answer.status == 204)
}

pub(crate) fn remove(socket: &Path, name: &str) -> bool {
    http::request(
        socket,
        "DELETE",
        &format!("/containers/{name}?force=1"),
        "",
        b"",
    )
    .is_ok_and(|answer| answer.status == 204)
}
