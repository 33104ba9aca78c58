//! One test for each way out of a container that runc's advisories since 2019 tell of, and for its kind.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use runtime::oci::{self, Mount};
use runtime::{CreateRequest, ExecRequest, Process, Runtime, Stdio};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, mknodat, renameat_with};

use crate::bundle::{Bundle, Test, end, pipes, read, runtime};

pub(crate) const TESTS: &[Test] = &[
    ("cve_2019_5736_the_program_is_not_written", || {
        Box::pin(own_program())
    }),
    ("cve_2019_16884_proc_is_the_kernels", || {
        Box::pin(covered_proc())
    }),
    ("cve_2019_19921_proc_and_sys_are_not_links", || {
        Box::pin(linked_proc())
    }),
    ("cve_2021_30465_volumes_are_exchanged", || {
        Box::pin(exchanged())
    }),
    ("cve_2024_21626_no_descriptor_leads_out", || {
        Box::pin(leaked())
    }),
    ("cve_2025_31133_masks_are_the_null_device", || {
        Box::pin(bent_null())
    }),
    ("cve_2025_52565_the_console_is_the_terminal", || {
        Box::pin(bent_console())
    }),
    ("cve_2025_52881_parameters_go_to_the_kernel", || {
        Box::pin(bent_parameters())
    }),
];

/// What a container must not be able to write to: opened only, so that nothing is written should a test fail.
const OPEN: &str = "for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/irq/default_smp_affinity; do \
                    (: >>$f) 2>/dev/null && echo open $f; done; cat /proc/keys /proc/timer_list 2>/dev/null | wc -c";

/// A container that says what it can reach.
fn looking() -> Bundle {
    let mut bundle = Bundle::new(OPEN);
    bundle
        .linux()
        .readonly_paths
        .push("/proc/sysrq-trigger".to_owned());
    bundle
}

fn bind(source: &Path, destination: &str) -> Mount {
    Mount::new(
        destination,
        "bind",
        source.to_str().unwrap(),
        &["rbind", "rw"],
    )
}

/// Another process in the container of `target`.
pub(crate) fn request<'a>(target: &'a Process, process: &'a oci::Process) -> ExecRequest<'a> {
    ExecRequest {
        target: &target.pidfd,
        process,
        seccomp: None,
        stdio: Stdio::Null,
        cgroup: None,
    }
}

async fn refused(bundle: &Bundle) -> String {
    bundle.create(Stdio::Null).await.unwrap_err().message
}

/// What the attack does: it keeps the program of the process that sets a container up, and opens it to write once nobody
/// executes it any more.
async fn own_program() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    fs::copy("/proc/self/exe", &program).unwrap();
    let runtime = crate::bundle::runtime_of(program);
    let bundle = Bundle::new("echo");
    let request = CreateRequest {
        id: "test",
        bundle: bundle.path(),
        spec: &bundle.spec,
        stdio: Stdio::Null,
        cgroup: None,
    };
    let process = runtime.create(request).await.unwrap();
    let program = fs::File::open(format!("/proc/{}/exe", process.pid)).unwrap();
    end(&process);
    let again = format!("/proc/self/fd/{}", program.as_raw_fd());
    let error = fs::OpenOptions::new().append(true).open(again).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
}

async fn covered_proc() {
    let fake = tempfile::tempdir().unwrap();
    for path in ["self/attr", "sys/kernel"] {
        fs::create_dir_all(fake.path().join(path)).unwrap();
    }
    let mut bundle = looking();
    bundle.spec.mounts.push(bind(fake.path(), "/proc"));
    let error = refused(&bundle).await;
    assert!(error.ends_with("it is not a proc file system"), "{error}");
    // A part of proc is not proc.
    let mut bundle = looking();
    bundle
        .spec
        .mounts
        .push(bind(Path::new("/proc/sys"), "/proc"));
    let error = refused(&bundle).await;
    assert!(error.ends_with("it is not a proc file system"), "{error}");
    // The machine's own, as some monitors have it, is masked like any other.
    let mut bundle = looking();
    bundle.spec.mounts.push(bind(Path::new("/proc"), "/proc"));
    assert_eq!(bundle.run().await.stdout, "0\n");
    // It is refused by another name, too.
    let mut bundle = looking();
    symlink("/proc", bundle.root().join("way")).unwrap();
    bundle
        .spec
        .mounts
        .push(Mount::new("/way", "tmpfs", "tmpfs", &[]));
    let error = refused(&bundle).await;
    assert!(error.ends_with("it is inside /proc"), "{error}");
    let mut bundle = looking();
    symlink("/", bundle.root().join("way")).unwrap();
    bundle.spec.mounts.push(bind(fake.path(), "/way"));
    let error = refused(&bundle).await;
    assert!(
        error.ends_with("it is the root of the container"),
        "{error}"
    );
}

async fn linked_proc() {
    for name in ["proc", "sys"] {
        for kind in ["link", "far link", "file", "pipe"] {
            let bundle = looking();
            let place = bundle.root().join(name);
            fs::remove_dir(&place).unwrap();
            match kind {
                "link" => symlink("mnt", &place).unwrap(),
                "far link" => symlink("/nowhere/at/all", &place).unwrap(),
                "file" => fs::write(&place, "").unwrap(),
                _ => mknodat(CWD, &place, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            }
            let error = refused(&bundle).await;
            let words = format!("/{name}: the image has a link or a file there");
            assert!(error.contains(&words), "{kind}: {error}");
        }
    }
    // A link above what is masked: into a volume on /sys, whose links lead nowhere but in it.
    let volume = tempfile::tempdir().unwrap();
    symlink("/etc", volume.path().join("firmware")).unwrap();
    let mut bundle = Bundle::new("cat /etc/passwd | wc -l");
    bundle
        .spec
        .mounts
        .retain(|mount| !mount.destination.starts_with("/sys"));
    bundle.spec.mounts.push(bind(volume.path(), "/sys"));
    let error = refused(&bundle).await;
    assert!(error.starts_with("/sys/firmware: "), "{error}");
}

/// A volume in which a directory, and a link to the outside or to proc, change places all the time.
async fn exchanged() {
    let outside = tempfile::tempdir().unwrap();
    fs::create_dir(outside.path().join("in")).unwrap();
    for target in [outside.path(), Path::new("/proc"), Path::new("/")] {
        let volume = tempfile::tempdir().unwrap();
        let (one, other) = (volume.path().join("swap"), volume.path().join("link"));
        fs::create_dir(&one).unwrap();
        symlink(target, &other).unwrap();
        let stop = AtomicBool::new(false);
        let outcomes = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                }
            });
            let local = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let outcomes = std::thread::scope(|inner| {
                let runner = inner.spawn(|| local.unwrap().block_on(exchange_tries(volume.path())));
                runner.join()
            });
            stop.store(true, Ordering::Relaxed);
            outcomes.unwrap()
        });
        assert!(outcomes.iter().all(|text| text == "0\n"), "{outcomes:?}");
        let entries = fs::read_dir(outside.path()).unwrap().count();
        assert_eq!(entries, 1, "something was made outside");
        assert_eq!(fs::read_dir(outside.path().join("in")).unwrap().count(), 0);
    }
}

/// What the containers saw that came up.
async fn exchange_tries(volume: &Path) -> Vec<String> {
    let mut outcomes = Vec::new();
    for number in 0..25 {
        let mut bundle = looking();
        bundle.spec.mounts.push(bind(volume, "/v"));
        let options = &["nosuid", "size=1m"];
        let below = format!("/v/swap/in/d{number}");
        for destination in ["/v/swap/in", &below] {
            bundle
                .spec
                .mounts
                .push(Mount::new(destination, "tmpfs", "tmpfs", options));
        }
        let (stdio, out, _err) = pipes();
        let Ok(mut process) = bundle.create(stdio).await else {
            continue;
        };
        runtime().start(&mut process).await.unwrap();
        outcomes.push(read(out));
        process.pidfd.wait().unwrap();
    }
    outcomes
}

async fn leaked() {
    // A descriptor of this process that is not closed on execve(2), as the one that leaked.
    let host = fs::File::open("/").unwrap();
    rustix::io::fcntl_setfd(&host, rustix::io::FdFlags::empty()).unwrap();
    // Its files go with the bundle, and the program is read after the start.
    let sleeper = Bundle::new("sleep 1000");
    let running = sleeper.start(Stdio::Null).await;
    for number in 0..40 {
        let mut bundle = Bundle::new("pwd; ls | head -n 3");
        bundle.process().cwd = format!("/proc/self/fd/{number}");
        let error = refused(&bundle).await;
        assert!(
            error.starts_with("mkdir /proc/self/fd/"),
            "{number}: {error}"
        );
        let error = runtime().exec(request(&running, bundle.process())).await;
        let error = error.unwrap_err().message;
        assert!(error.starts_with("chdir to cwd"), "{number}: {error}");
    }
    end(&running);
    // Nor does a program find one.
    let outcome = Bundle::new("cd /proc/self/fd && echo *").run().await;
    // The shell's own, of the directory that it lists.
    assert_eq!(outcome.stdout.trim_end().trim_end_matches(" 3"), "0 1 2");
}

async fn bent_null() {
    let volume = tempfile::tempdir().unwrap();
    for (target, words) in [
        (
            "/proc/sys/kernel/core_pattern",
            "/dev/null is another device",
        ),
        ("/nowhere", "no /dev/null to mask files with"),
    ] {
        let mut bundle = looking();
        bundle
            .spec
            .mounts
            .retain(|mount| !mount.destination.starts_with("/dev"));
        bundle.spec.mounts.push(bind(volume.path(), "/dev"));
        let null = volume.path().join("null");
        let _ = fs::remove_file(&null);
        symlink(target, &null).unwrap();
        let error = refused(&bundle).await;
        assert!(error.contains(words), "{error}");
        fs::remove_file(&null).unwrap();
        // Another device of that name, and a plain file.
        mknodat(
            CWD,
            &null,
            FileType::CharacterDevice,
            Mode::RWXU,
            rustix::fs::makedev(1, 5),
        )
        .unwrap();
        assert!(
            refused(&bundle)
                .await
                .contains("/dev/null is another device")
        );
        fs::remove_file(&null).unwrap();
        fs::write(&null, "").unwrap();
        assert!(
            refused(&bundle)
                .await
                .contains("/dev/null is another device")
        );
    }
    assert_eq!(
        fs::read_dir(volume.path()).unwrap().count(),
        1,
        "nothing is made on a /dev of the host"
    );
}

async fn bent_console() {
    // The image's own /dev, with a link in the console's place.
    let mut bundle = looking();
    bundle
        .spec
        .mounts
        .retain(|mount| mount.destination != "/dev");
    symlink(
        "/proc/sys/kernel/core_pattern",
        bundle.root().join("dev/console"),
    )
    .unwrap();
    let error = bundle.create(Stdio::Tty).await.unwrap_err().message;
    assert_eq!(error, "set up /dev/console: it is a symbolic link");
    // A devpts that is none: what looks like its multiplexer is something else.
    let fake = tempfile::tempdir().unwrap();
    for kind in ["link", "file", "pipe", "node"] {
        let node = fake.path().join("ptmx");
        let _ = fs::remove_file(&node);
        match kind {
            "link" => symlink("/proc/sysrq-trigger", &node).unwrap(),
            "file" => fs::write(&node, "").unwrap(),
            "pipe" => mknodat(CWD, &node, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            _ => {
                let zero = rustix::fs::makedev(1, 5);
                mknodat(CWD, &node, FileType::CharacterDevice, Mode::RWXU, zero).unwrap();
            }
        }
        let mut bundle = looking();
        for mount in &mut bundle.spec.mounts {
            if mount.destination == "/dev/pts" {
                *mount = bind(fake.path(), "/dev/pts");
            }
        }
        let error = bundle.create(Stdio::Tty).await.unwrap_err().message;
        assert!(
            error.starts_with("the container has no /dev/pts/ptmx"),
            "{kind}: {error}"
        );
    }
}

async fn bent_parameters() {
    let parameter = || [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into();
    // A proc that the image brought takes no parameters.
    let mut bundle = looking();
    bundle
        .spec
        .mounts
        .retain(|mount| mount.destination != "/proc");
    fs::create_dir_all(bundle.root().join("proc/sys/net/ipv4")).unwrap();
    let file = bundle.root().join("proc/sys/net/ipv4/ip_forward");
    fs::write(&file, "untouched").unwrap();
    bundle.linux().sysctl = parameter();
    let error = refused(&bundle).await;
    assert!(error.ends_with("the container has no /proc"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "untouched");
    // A proc of the machine is masked and written to as one's own is.
    let mut bundle = Bundle::new("cat /proc/sys/net/ipv4/ip_forward");
    bundle.linux().sysctl = parameter();
    assert_eq!(bundle.run().await.stdout, "1\n");
    bundle.linux().sysctl = [("kernel/../../etc/passwd".to_owned(), "x".to_owned())].into();
    let error = refused(&bundle).await;
    assert!(error.contains("not a parameter's name"), "{error}");
}
