//! The engine's part of the cgroup v2 tree: `<root>/system-docker/<container>`; freezing, killing, reading.
//!
//! On a machine without cgroup v2 (a developer's) everything here answers with a clear error and containers run
//! without limits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where cgroup v2 is mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// Controllers that limits and statistics need.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];
/// How long freezing may take: a process in the kernel freezes when it comes out.
const FREEZE_DEADLINE: Duration = Duration::from_secs(2);
/// How often the freezer is looked at.
const FREEZE_POLL: Duration = Duration::from_millis(5);

/// The engine's cgroup.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Directory of the engine's cgroup; containers are below it.
    pub parent: PathBuf,
    /// The root of the tree.
    pub root: PathBuf,
    /// Controllers that containers have.
    pub controllers: Vec<String>,
    /// Why something is missing.
    pub warnings: Vec<String>,
    /// Whether there is a tree at all.
    pub present: bool,
}

impl Tree {
    /// Finds the tree and makes the engine's cgroup in it, with what controllers the machine has.
    #[must_use]
    pub fn open(parent: &str) -> Self {
        let root = find_root();
        let mut tree = Self {
            parent: root.as_deref().unwrap_or(Path::new(ROOT)).join(parent),
            root: root.clone().unwrap_or_else(|| PathBuf::from(ROOT)),
            controllers: Vec::new(),
            warnings: Vec::new(),
            present: root.is_some(),
        };
        if root.is_none() {
            tree.warnings
                .push("No cgroup v2 tree is mounted: containers run without limits".to_owned());
            return tree;
        }
        tree.enable();
        tree
    }

    fn enable(&mut self) {
        if let Err(error) = fs::create_dir_all(&self.parent) {
            self.warnings
                .push(format!("create cgroup {}: {error}", self.parent.display()));
            self.present = false;
            return;
        }
        let mut levels: Vec<&Path> = self
            .parent
            .ancestors()
            .take_while(|path| *path != self.root)
            .collect();
        levels.push(&self.root);
        for level in levels.into_iter().rev() {
            for controller in CONTROLLERS {
                // One by one: a controller that v1 holds must not take the others with it.
                let _ = fs::write(
                    level.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                );
            }
        }
        let enabled =
            fs::read_to_string(self.parent.join("cgroup.subtree_control")).unwrap_or_default();
        self.controllers = enabled.split_whitespace().map(str::to_owned).collect();
        for controller in CONTROLLERS {
            if !self.has(controller) {
                self.warnings.push(format!(
                    "No {controller} controller: its limits have no effect"
                ));
            }
        }
    }

    /// Whether containers have this controller.
    #[must_use]
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    /// A container's cgroup; `custom` is its `CgroupParent`, from the root of the tree.
    #[must_use]
    pub fn of(&self, id: &str, custom: &str) -> PathBuf {
        let clean = crate::container::clean(custom);
        if clean == "/" {
            self.parent.join(id)
        } else {
            self.root.join(clean.trim_start_matches('/')).join(id)
        }
    }

    /// The same as the specification writes it: from the root of the tree.
    #[must_use]
    pub fn relative(&self, path: &Path) -> String {
        format!(
            "/{}",
            path.strip_prefix(&self.root).unwrap_or(path).display()
        )
    }
}

/// Where cgroup v2 is mounted: at its usual place, or next to v1 (`unified`).
fn find_root() -> Option<PathBuf> {
    let usual = PathBuf::from(ROOT);
    [usual.clone(), usual.join("unified")]
        .into_iter()
        .find(|path| path.join("cgroup.controllers").exists())
}

/// Kills every process in a cgroup and below it.
///
/// # Errors
/// Without cgroup v2.
pub fn kill(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.kill"), "1")
}

/// Freezes a cgroup and waits until it is frozen; on failure it is thawed.
///
/// # Errors
/// Without cgroup v2, or when a process does not freeze in time.
pub async fn freeze(path: &Path, frozen: bool) -> io::Result<()> {
    fs::write(path.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
    let wanted = format!("frozen {}", u8::from(frozen));
    let settled = async {
        loop {
            if fs::read_to_string(path.join("cgroup.events"))?
                .lines()
                .any(|line| line == wanted)
            {
                return Ok(());
            }
            tokio::time::sleep(FREEZE_POLL).await;
        }
    };
    match tokio::time::timeout(FREEZE_DEADLINE, settled).await {
        Ok(result) => result,
        Err(_) => {
            // The error that counts is that it did not freeze.
            let _ = thaw(path);
            Err(io::Error::other(format!(
                "not frozen within {} s",
                FREEZE_DEADLINE.as_secs()
            )))
        }
    }
}

/// Thaws a cgroup.
///
/// # Errors
/// Without cgroup v2.
pub fn thaw(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.freeze"), "0")
}

/// Whether any process is in the cgroup or below it.
#[must_use]
pub fn is_populated(path: &Path) -> bool {
    fs::read_to_string(path.join("cgroup.events"))
        .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// How many processes the kernel killed there because memory ran out.
#[must_use]
pub fn oom_kills(path: &Path) -> u64 {
    value(path, "memory.events", "oom_kill")
}

/// Removes a cgroup and what is below it; fine when it is not there.
pub fn remove(path: &Path) {
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            remove(&entry.path());
        }
        // A cgroup that is still populated stays until the next start of the container.
        let _ = fs::remove_dir(path);
    }
}

/// Processes in a cgroup and below it.
#[must_use]
pub fn processes(path: &Path) -> Vec<i32> {
    let mut found: Vec<i32> = fs::read_to_string(path.join("cgroup.procs"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        {
            found.extend(processes(&entry.path()));
        }
    }
    found
}

/// A file with one number; `max` and missing files are none.
#[must_use]
pub fn number(path: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(path.join(file))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// One value of a file of `key value` lines; zero when it is missing.
#[must_use]
pub fn value(path: &Path, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path.join(file)).unwrap_or_default();
    let found = text
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(name, _)| *name == key));
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}
