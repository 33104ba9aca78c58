//! Looking at sources of mounts whose file system may not answer.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use runtime::{Found, LookAt, MountRequest};
use sys::mount::{self, MountFlags, UnmountFlags};
use tempfile::TempDir;

use crate::bundle::Test;

pub(crate) const TESTS: &[Test] = &[
    ("what_is_to_be_mounted_is_looked_at_and_made", || {
        Box::pin(found())
    }),
    (NEEDS_FUSE, || Box::pin(silent())),
];

/// The test that needs a file system which does not answer.
pub(crate) const NEEDS_FUSE: &str = "a_file_system_that_never_answers_holds_nobody";

/// Whether there can be one here.
pub(crate) fn has_fuse() -> bool {
    Path::new("/dev/fuse").exists()
}

/// A FUSE file system whose server never says a word.
struct Silent {
    point: TempDir,
    _server: fs::File,
}

impl Silent {
    fn new() -> Silent {
        let server = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let point = tempfile::tempdir().unwrap();
        let number = server.as_raw_fd();
        let data = format!("fd={number},rootmode=40000,user_id=0,group_id=0");
        mount::mount("silent", point.path(), "fuse", MountFlags::NOSUID, &data).unwrap();
        Silent {
            point,
            _server: server,
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = mount::unmount(self.point.path(), UnmountFlags::DETACH);
    }
}

async fn look(paths: &[(PathBuf, bool)]) -> runtime::Result<Vec<Found>> {
    let paths = paths.iter().map(|(path, make)| LookAt {
        path: path.to_str().unwrap().to_owned(),
        make: *make,
    });
    let paths: Vec<LookAt> = paths.collect();
    let deadline = std::time::Duration::from_secs(2);
    crate::bundle::runtime().look(&paths, deadline).await
}

async fn found() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    fs::write(at("file"), "").unwrap();
    symlink("loop", at("loop")).unwrap();
    let found = look(&[
        (work.path().to_owned(), false),
        (at("file"), true),
        (at("missing"), false),
        (at("made/below"), true),
        (at("file/below"), true),
        (at("loop"), false),
    ])
    .await;
    let failed = |cause: &str| Found::Failed(cause.to_owned());
    assert_eq!(
        found.unwrap(),
        [
            Found::There,
            Found::There,
            Found::Missing,
            Found::There,
            failed("not a directory"),
            failed("too many levels of symbolic links"),
        ]
    );
    assert!(at("made/below").is_dir());
}

async fn silent() {
    let work = tempfile::tempdir().unwrap();
    let at = |name: &str| work.path().join(name);
    fs::write(at("file"), "").unwrap();
    // Other tests may have left some.
    let children = || fs::read_to_string("/proc/thread-self/children").unwrap();
    let before = children();
    let silent = Silent::new();
    let below = silent.point.path().join("below");
    assert!(!sys::fs::exists_in_cache(&below));
    let error = look(&[(work.path().to_owned(), false), (below.clone(), true)])
        .await
        .unwrap_err();
    let words = format!("{} has not answered for 2 s", below.display());
    assert_eq!(error.message, words);
    assert_eq!(children(), before, "the process that looked is left");
    // What answers before it is not lost, and a long text comes whole.
    let long = "x".repeat(20_000);
    fs::write(at("long"), &long).unwrap();
    let paths = [at("long"), at("missing"), below, at("file")];
    let paths = paths.map(|path| path.to_str().unwrap().to_owned());
    let deadline = std::time::Duration::from_secs(2);
    let read = crate::bundle::runtime().read(&paths, deadline).await;
    assert_eq!(read.unwrap(), [long.as_bytes(), b""]);
    assert_eq!(children(), before, "the process that read is left");
    jobs(&silent).await;
    assert_eq!(children(), before, "a process that did a job is left");
}

/// Jobs with one answer end, too, and a mount that does not answer goes.
async fn jobs(silent: &Silent) {
    let deadline = std::time::Duration::from_secs(2);
    let (runtime, point) = (crate::bundle::runtime(), silent.point.path());
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let says = |what: &str| format!("{what} has not answered for 2 s");
    let shown = text(point);
    let work = tempfile::tempdir().unwrap();

    // The container's /etc is such a file system.
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    mount::bind(point, root.path().join("etc"), false).unwrap();
    let error = runtime.account(root.path(), "app", deadline).await;
    mount::unmount(root.path().join("etc"), UnmountFlags::DETACH).unwrap();
    assert_eq!(
        error.unwrap_err().message,
        says("the file with user \"app\"")
    );

    let below = text(&point.join("below"));
    let error = runtime
        .nodes(std::slice::from_ref(&below), deadline)
        .await
        .unwrap_err();
    assert_eq!(error.message, says(&below));
    let error = runtime.measure(point, deadline).await.unwrap_err();
    assert_eq!(error.message, says(&shown));

    let target = work.path().join("target");
    fs::create_dir(&target).unwrap();
    let request = |device: &str| MountRequest {
        device: device.to_owned(),
        target: target.clone(),
        kind: String::new(),
        flags: MountFlags::RDONLY.bits(),
        data: String::new(),
        bind: true,
        recursive: false,
    };
    let error = runtime.mount(&request(&below), deadline).await.unwrap_err();
    assert_eq!(error.message, says(&below));
    // What answers is mounted with its flags, measured and taken away.
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("file"), vec![1; 100_000]).unwrap();
    let device = text(source.path());
    runtime.mount(&request(&device), deadline).await.unwrap();
    assert!(fs::write(target.join("file"), "").is_err());
    assert!(runtime.measure(&target, deadline).await.unwrap() >= 100_000);
    runtime.unmount(&target, deadline).await.unwrap();
    assert!(!target.join("file").exists());
    runtime.unmount(point, deadline).await.unwrap();
    assert!(fs::read_dir(point).unwrap().next().is_none());
}
