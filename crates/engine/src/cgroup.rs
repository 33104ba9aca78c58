//! The engine's part of the cgroup v2 tree: `<root>/system-docker/<container>`; freezing.
//!
//! On a machine without cgroup v2 (a developer's) everything here answers with a clear error and containers run
//! without limits.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sys::cgroup::{Cgroup, ROOT};

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
            let _ = Cgroup::at(path).thaw();
            Err(io::Error::other(format!(
                "not frozen within {} s",
                FREEZE_DEADLINE.as_secs()
            )))
        }
    }
}
