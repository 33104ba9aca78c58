//! What a container sees of the host's files, and the host of the container's mounts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use runtime::Stdio;
use runtime::oci::{Device, Mount};
use sys::mount::{self, MountFlags, Propagation, UnmountFlags};
use tempfile::TempDir;

use crate::bundle::{Bundle, Test, end};

pub(crate) const TESTS: &[Test] = &[
    ("readonly_root_with_a_tmpfs", || Box::pin(readonly_root())),
    ("bind_mounts_of_files_and_directories", || Box::pin(binds())),
    ("proc_is_not_covered", || Box::pin(proc_covers())),
    ("shared_mounts_go_out_and_slave_mounts_come_in", || {
        Box::pin(propagation())
    }),
    ("default_devices_and_links", || Box::pin(devices())),
    ("dev_of_the_host", || Box::pin(host_dev())),
    ("a_subpath_does_not_lead_out_of_its_volume", || {
        Box::pin(subpaths())
    }),
    ("links_in_the_image_do_not_lead_out", || Box::pin(links())),
    ("a_file_on_a_directory_says_which_is_which", || {
        Box::pin(unlike())
    }),
    (
        "host_sees_no_mounts_of_a_container",
        || Box::pin(no_trace()),
    ),
];

async fn subpaths() {
    let volume = tempfile::tempdir().unwrap();
    fs::create_dir_all(volume.path().join("a/b")).unwrap();
    fs::write(volume.path().join("a/b/file"), "inside\n").unwrap();
    symlink("a", volume.path().join("near")).unwrap();
    symlink("/etc", volume.path().join("far")).unwrap();
    symlink("../../..", volume.path().join("a/up")).unwrap();
    let with = |subpath: &str| {
        let mut bundle = Bundle::new("cat /mnt/file");
        bundle.spec.mounts.push(Mount::new(
            "/mnt",
            "bind",
            volume.path().to_str().unwrap(),
            &["rbind", &format!("engine.subpath={subpath}")],
        ));
        bundle
    };
    for subpath in ["a/b", "near/b"] {
        let outcome = with(subpath).run().await;
        assert_eq!(outcome.stdout, "inside\n", "{subpath}: {}", outcome.stderr);
    }
    for subpath in ["far", "..", "a/../../x", "a/up/etc"] {
        let error = with(subpath).create(Stdio::Null).await.unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("path concatenation escapes the base directory"),
            "{subpath}: {error}"
        );
    }
    let error = with("missing").create(Stdio::Null).await.unwrap_err();
    assert!(error.to_string().contains("cannot access path"), "{error}");
}

async fn readonly_root() {
    let mut bundle = Bundle::new(
        "touch /x || echo read-only; touch /run/x && echo written; touch /dev/shm/y && echo shm",
    );
    bundle.spec.root.as_mut().unwrap().readonly = true;
    bundle.spec.mounts.push(Mount::new(
        "/run",
        "tmpfs",
        "tmpfs",
        &["nosuid", "mode=755", "size=1m"],
    ));
    let outcome = bundle.run().await;
    assert_eq!(
        outcome.stdout, "read-only\nwritten\nshm\n",
        "{}",
        outcome.stderr
    );
}

async fn binds() {
    let mut bundle = Bundle::new(
        "cat /deep/file /dir/inside; touch /dir/new || echo read-only; touch /rw/new && echo written",
    );
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("inside"), "inside\n").unwrap();
    let source = |name: &str| host.path().join(name).to_str().unwrap().to_owned();
    bundle.spec.mounts.push(Mount::new(
        "/deep/file",
        "bind",
        &source("inside"),
        &["rbind", "ro"],
    ));
    bundle.spec.mounts.push(Mount::new(
        "/dir",
        "bind",
        &source(""),
        &["rbind", "rprivate", "ro"],
    ));
    bundle.spec.mounts.push(Mount::new(
        "/rw",
        "bind",
        &source(""),
        &["rbind", "rprivate"],
    ));
    let outcome = bundle.run().await;
    assert_eq!(
        outcome.stdout, "inside\ninside\nread-only\nwritten\n",
        "{}",
        outcome.stderr
    );
    assert!(host.path().join("new").exists());
}

/// A shared mount on the host, unmounted with all below it at the end.
struct Shared(TempDir);

impl Shared {
    fn new() -> Shared {
        let directory = tempfile::tempdir().unwrap();
        mount::mount(
            "tmpfs",
            directory.path(),
            "tmpfs",
            MountFlags::empty(),
            "size=1m",
        )
        .unwrap();
        mount::set_propagation(directory.path(), Propagation::Shared, false).unwrap();
        Shared(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = mount::unmount(self.path(), UnmountFlags::DETACH);
    }
}

async fn proc_covers() {
    let bind =
        |source: &str, destination: &str| Mount::new(destination, "bind", source, &["rbind", "rw"]);
    for (source, destination) in [
        ("/tmp", "/proc/self"),
        ("/tmp", "/proc/sys/net"),
        ("/proc/sys/kernel", "/proc/sys/kernel"),
    ] {
        let mut bundle = Bundle::new("true");
        bundle.spec.mounts.push(bind(source, destination));
        let error = bundle.create(Stdio::Null).await.unwrap_err().to_string();
        assert!(error.contains("inside /proc"), "{destination}: {error}");
    }
    let settings = "/proc/sys/net/ipv4/conf/lo";
    let mut bundle = Bundle::new(&format!(
        "v=$(cat {settings}/log_martians); echo $v >{settings}/log_martians && echo written; echo 1 >/proc/sys/kernel/panic || echo read-only"
    ));
    bundle
        .spec
        .mounts
        .push(bind("/proc/sys/net", "/proc/sys/net"));
    let outcome = bundle.run().await;
    assert_eq!(outcome.stdout, "written\nread-only\n", "{}", outcome.stderr);
}

async fn propagation() {
    let shared = Shared::new();
    let mut bundle = Bundle::new(
        "mkdir /shared/out && mount -t tmpfs inner /shared/out && touch /shared/out/x; sleep 1000",
    );
    bundle.process().capabilities = None;
    bundle.linux().seccomp = None;
    bundle.linux().rootfs_propagation = "shared".to_owned();
    let source = shared.path().to_str().unwrap();
    bundle
        .spec
        .mounts
        .push(Mount::new("/shared", "bind", source, &["rbind", "rshared"]));
    bundle
        .spec
        .mounts
        .push(Mount::new("/slave", "bind", source, &["rbind", "rslave"]));
    let process = bundle.start(Stdio::Null).await;
    // Both ways are seen by exec, which runs after the container's mount for sure once the file is there.
    let wait = "while ! test -e /shared/out/x; do sleep 0.01; done";
    assert_eq!(bundle.exec(&process, wait).await.code(), 0);
    assert!(
        shared.path().join("out/x").exists(),
        "the container's mount is on the host"
    );
    let inside = shared.path().join("in");
    fs::create_dir(&inside).unwrap();
    mount::mount("tmpfs", &inside, "tmpfs", MountFlags::empty(), "size=1m").unwrap();
    fs::write(inside.join("y"), "").unwrap();
    let outcome = bundle
        .exec(
            &process,
            "test -e /shared/in/y && test -e /slave/in/y && echo both",
        )
        .await;
    assert_eq!(outcome.stdout, "both\n");
    let outcome = bundle
        .exec(
            &process,
            "mkdir /slave/no && mount -t tmpfs x /slave/no && touch /slave/no/z",
        )
        .await;
    assert_eq!(outcome.code(), 0, "{}", outcome.stderr);
    assert!(
        !shared.path().join("no/z").exists(),
        "a slave's mount stays inside"
    );
    end(&process);
}

async fn devices() {
    let script = "for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; \
                  for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; stat -c '%t:%T %a %u' /dev/mine; \
                  dd if=/dev/zero of=/dev/shm/big bs=1k count=2000 2>/dev/null || echo full";
    let mut bundle = Bundle::new(script);
    bundle.linux().devices = vec![Device {
        kind: "c".to_owned(),
        path: "/dev/mine".to_owned(),
        major: 1,
        minor: 9,
        file_mode: Some(0o640),
        uid: 7,
        gid: 0,
    }];
    let outcome = bundle.run().await;
    let links = "/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx\n";
    assert_eq!(
        outcome.stdout,
        format!("{links}1:9 640 7\nfull\n"),
        "{}",
        outcome.stderr
    );
}

async fn host_dev() {
    let mut bundle = Bundle::new("test -c /dev/null && echo null; tty");
    bundle
        .spec
        .mounts
        .retain(|mount| !mount.destination.starts_with("/dev"));
    bundle
        .spec
        .mounts
        .insert(1, Mount::new("/dev", "bind", "/dev", &["rbind", "rslave"]));
    let nodes = fs::read_dir("/dev").unwrap().count();
    let mut process = bundle.start(Stdio::Tty).await;
    let text = crate::bundle::read(process.console.take().unwrap());
    assert_eq!(process.pidfd.wait().unwrap().code(), Some(0), "{text}");
    assert!(text.starts_with("null\r\n/dev/pts/"), "{text}");
    assert_eq!(
        fs::read_dir("/dev").unwrap().count(),
        nodes,
        "the host's /dev is as it was"
    );
}

async fn links() {
    let outside = tempfile::tempdir().unwrap();
    let mut bundle = Bundle::new("pwd; readlink /way; cat /zone; touch /way/in/x && echo made");
    let far = outside.path().join("far");
    symlink(&far, bundle.root().join("way")).unwrap();
    symlink("usr/share/Nowhere", bundle.root().join("zone")).unwrap();
    let file = outside.path().join("file");
    fs::write(&file, "content\n").unwrap();
    let mounts = &mut bundle.spec.mounts;
    mounts.push(Mount::new("/way/in", "tmpfs", "tmpfs", &[]));
    let source = file.to_str().unwrap();
    mounts.push(Mount::new("/zone", "bind", source, &["rbind"]));
    bundle.process().cwd = "/way/below/here".to_owned();
    let outcome = bundle.run().await;
    let shown = far.display();
    assert_eq!(
        outcome.stdout,
        format!("{shown}/below/here\n{shown}\ncontent\nmade\n"),
        "{}",
        outcome.stderr
    );
    assert!(bundle.root().join("usr/share/Nowhere").is_file());
    assert_eq!(
        fs::read_dir(outside.path()).unwrap().count(),
        1,
        "nothing is made outside"
    );
}

async fn unlike() {
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("file"), "").unwrap();
    let source = |name: &str| host.path().join(name).to_str().unwrap().to_owned();
    for (name, destination, what) in [
        ("file", "/etc", ("file", "directory")),
        ("", "/etc/passwd", ("directory", "file")),
    ] {
        let mut bundle = Bundle::new("true");
        let mount = Mount::new(destination, "bind", &source(name), &["rbind"]);
        bundle.spec.mounts.push(mount);
        let error = bundle.create(Stdio::Null).await.unwrap_err();
        let (from, to) = what;
        let words = format!("is a {from}, and {destination} in the container is a {to}");
        assert!(error.message.contains(&words), "{error}");
        let words = "Are you trying to mount a directory onto a file (or vice-versa)?";
        assert!(error.message.contains(words), "{error}");
        assert_eq!(error.exit_code(), 127);
    }
}

async fn no_trace() {
    let count = || mount::mountinfo().unwrap().len();
    let before = count();
    let bundle = Bundle::new("sleep 1000");
    let process = bundle.start(Stdio::Null).await;
    assert_eq!(count(), before);
    end(&process);
    assert_eq!(count(), before);
}
