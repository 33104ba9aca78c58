//! An engine in its own process, network namespace and mount namespace, with an image of busybox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_api::body::Body;
use engine_api::client::ImportQuery;
use engine_api::{Client, EngineStatus};
use sys::netlink::{LinkChange, Rtnetlink};
use sys::process::{Command, Signal};
use tempfile::TempDir;

use crate::program;

/// A test and its name.
pub(crate) type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

/// Name of the image.
pub(crate) const IMAGE: &str = "busybox:latest";
/// How long anything may take before the test fails; emulated machines are slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 9] = [
    "sh", "sleep", "usleep", "cat", "echo", "printf", "nslookup", "true", "httpd",
];
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Whether containers can be made here.
pub(crate) fn possible() -> bool {
    rustix::process::geteuid().is_root() && Path::new(BUSYBOX).exists()
}

pub(crate) fn block_on(test: fn() -> Pin<Box<dyn Future<Output = ()>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// A running engine; it ends with its containers when this is dropped.
pub(crate) struct Engine {
    pub(crate) client: Client,
    pub(crate) pid: i32,
    child: sys::process::Child,
    _folder: TempDir,
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It stops its containers and removes its mounts.
        let _ = self.child.pidfd().send_signal(Signal::TERM);
        if !self
            .child
            .pidfd()
            .wait_ended(Some(DEADLINE))
            .unwrap_or(false)
        {
            let _ = self.child.pidfd().send_signal(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Engine {
    /// Starts one and gives it the image.
    pub(crate) async fn start() -> Self {
        // What the engine does to bridges and firewalls stays here; the namespace is this thread's and its children's.
        sys::namespace::unshare(sys::namespace::CloneFlags::NEWNET).unwrap();
        loopback_up();
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let socket = path("socket");
        let child = Command::new(program::path())
            .args(["engine", "--root"])
            .arg(path("root"))
            .arg("--run")
            .arg(path("run"))
            .arg("--socket")
            .arg(&socket)
            .spawn()
            .unwrap();
        let engine = Self {
            client: Client::new(&socket),
            pid: child.pid(),
            child,
            _folder: folder,
        };
        until("the engine answers", || async {
            engine.client.ping().await.ok()
        })
        .await;
        engine.import().await;
        engine
    }

    async fn import(&self) {
        let folder = TempDir::new().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::copy(BUSYBOX, bin.join("busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        let archive = TempDir::new().unwrap();
        let archive = archive.path().join("image.tar");
        let packed = Command::new("tar")
            .args(["-c", "-f"])
            .arg(&archive)
            .arg("-C")
            .arg(folder.path())
            .arg(".")
            .run()
            .unwrap();
        assert!(packed.status.success());
        let archive = Body::Full(Bytes::from(fs::read(archive).unwrap()));
        let (repository, tag) = IMAGE.split_once(':').unwrap();
        let query = ImportQuery {
            source: "-".to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            ..ImportQuery::default()
        };
        let mut progress = self.client.image_import(&query, archive).await.unwrap();
        while let Some(message) = progress.next().await.unwrap() {
            assert_eq!(message.error, "", "import");
        }
    }

    /// Replaces the program and waits until the next one answers.
    pub(crate) async fn upgrade(&self, program: Option<&Path>) -> engine_api::Result<EngineStatus> {
        let body = program.map_or(Body::Empty, |path| {
            Body::Full(Bytes::from(fs::read(path).unwrap()))
        });
        let before = self.client.engine_upgrade(body, Some(30)).await?;
        let after = until("the next program answers", || async {
            let status = self.client.engine_status().await.ok()?;
            (status.last_upgrade != before.last_upgrade).then_some(status)
        })
        .await;
        assert_eq!(after.pid, i64::from(self.pid));
        Ok(after)
    }

    /// Open descriptors of the engine when it is at rest: the least of many counts.
    pub(crate) async fn descriptors(&self) -> usize {
        let folder = PathBuf::from(format!("/proc/{}/fd", self.pid));
        let mut least = usize::MAX;
        for _ in 0..100 {
            least = least.min(fs::read_dir(&folder).unwrap().count());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        least
    }

    /// The child that serves names and published ports.
    pub(crate) fn network_helper(&self) -> Option<String> {
        let children = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = fs::read_to_string(children).unwrap();
        let is_helper = |pid: &&str| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words
                .split('\0')
                .nth(1)
                .is_some_and(|verb| verb.starts_with("network"))
        };
        children
            .split_whitespace()
            .find(is_helper)
            .map(str::to_owned)
    }

    /// The engine's children that have ended and were not reaped.
    pub(crate) fn zombies(&self) -> usize {
        let is_zombie = |stat: &str| -> Option<bool> {
            let (_, rest) = stat.rsplit_once(") ")?;
            let mut fields = rest.split_whitespace();
            let state = fields.next()?;
            Some(state == "Z" && fields.next()? == self.pid.to_string())
        };
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
            .filter(|stat| is_zombie(stat) == Some(true))
            .count()
    }
}

/// Brings up the loopback device of a new network namespace.
fn loopback_up() {
    let up = LinkChange {
        up: Some(true),
        ..LinkChange::default()
    };
    let mut netlink = Rtnetlink::open().unwrap();
    netlink.change_link(1, "lo", &up).unwrap();
}

/// Asks until there is an answer.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
