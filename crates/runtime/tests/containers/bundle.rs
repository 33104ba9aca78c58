//! A root file system of busybox, a specification like Docker's, and running both.

use std::fs::{self, File};
use std::future::Future;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use runtime::oci::{self, Capabilities, Linux, Mount, Namespace, NamespaceType, Root, Spec, User};
use runtime::{
    Confinement, CreateRequest, Error, ExecRequest, NativeRuntime, Process, Runtime,
    RuntimeOptions, Stdio, seccomp_default,
};
use sys::process::ExitStatus;
use tempfile::TempDir;

/// A test and its name.
pub(crate) type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

const BUSYBOX: &str = "/bin/busybox";

/// Docker's default capabilities.
pub(crate) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Whether containers can be made here.
pub(crate) fn possible() -> bool {
    rustix::process::geteuid().is_root() && Path::new(BUSYBOX).exists()
}

/// Runs a test on a tokio like the engine's.
pub(crate) fn block_on(test: fn() -> Pin<Box<dyn Future<Output = ()>>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test());
}

/// A container's files and specification; removed at the end.
pub(crate) struct Bundle {
    directory: TempDir,
    pub(crate) spec: Spec,
    pub(crate) cgroup: Option<PathBuf>,
}

/// How a container ended and what it said.
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Its exit code, 128 and the number after a signal.
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap())
    }
}

pub(crate) fn runtime() -> NativeRuntime {
    runtime_of(RuntimeOptions::default().program)
}

/// A runtime with another program.
pub(crate) fn runtime_of(program: PathBuf) -> NativeRuntime {
    NativeRuntime::new(RuntimeOptions {
        program,
        // The machine that tests run on may have no cgroup v2 and no right to load a device filter.
        confinement: Confinement::AsAvailable,
        ..RuntimeOptions::default()
    })
}

/// The pipes of a process: its ends, and ours to read.
pub(crate) fn pipes() -> (Stdio, OwnedFd, OwnedFd) {
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let ((out, stdout), (err, stderr)) = (pipe(), pipe());
    (
        Stdio::Pipes {
            stdin: None,
            stdout,
            stderr,
        },
        out,
        err,
    )
}

pub(crate) fn read(fd: OwnedFd) -> String {
    let mut text = Vec::new();
    let result = File::from(fd).read_to_end(&mut text);
    // The master of a terminal whose last slave is closed says EIO.
    if let Err(error) = result {
        assert_eq!(error.raw_os_error(), Some(5), "{error}");
    }
    String::from_utf8_lossy(&text).into_owned()
}

impl Bundle {
    /// A container like `docker run busybox sh -c SCRIPT`.
    pub(crate) fn new(script: &str) -> Bundle {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = directory.path().join("rootfs");
        for name in ["bin", "dev", "proc", "sys", "tmp", "etc", "mnt"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        for applet in "sh cat ls id touch mkdir mount umount stat ps tty stty readlink grep hostname echo sleep env wc dd test"
            .split(' ')
        {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n",
        )
        .unwrap();
        Bundle {
            directory,
            spec: spec(script),
            cgroup: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    pub(crate) fn process(&mut self) -> &mut oci::Process {
        self.spec.process.as_mut().unwrap()
    }

    pub(crate) fn linux(&mut self) -> &mut Linux {
        self.spec.linux.as_mut().unwrap()
    }

    pub(crate) async fn create(&self, stdio: Stdio) -> Result<Process, Error> {
        let cgroup = self.cgroup.as_deref();
        runtime()
            .create(CreateRequest {
                id: "test",
                bundle: self.path(),
                spec: &self.spec,
                stdio,
                cgroup,
            })
            .await
    }

    /// Creates and starts it.
    pub(crate) async fn start(&self, stdio: Stdio) -> Process {
        let mut process = self.create(stdio).await.unwrap();
        runtime().start(&mut process).await.unwrap();
        process
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self) -> Outcome {
        let (stdio, out, err) = pipes();
        let process = self.start(stdio).await;
        let (stdout, stderr) = (read(out), read(err));
        Outcome {
            status: process.pidfd.wait().unwrap(),
            stdout,
            stderr,
        }
    }

    /// Runs another process in the container whose first one is `target`.
    pub(crate) async fn exec(&self, target: &Process, script: &str) -> Outcome {
        let mut process = self.spec.process.clone().unwrap();
        process.args = vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let (stdio, out, err) = pipes();
        let seccomp = self
            .spec
            .linux
            .as_ref()
            .and_then(|linux| linux.seccomp.as_ref());
        let cgroup = self.cgroup.as_deref();
        let request = ExecRequest {
            target: &target.pidfd,
            process: &process,
            seccomp,
            stdio,
            cgroup,
        };
        let mut process = runtime().exec(request).await.unwrap();
        runtime().start(&mut process).await.unwrap();
        let (stdout, stderr) = (read(out), read(err));
        Outcome {
            status: process.pidfd.wait().unwrap(),
            stdout,
            stderr,
        }
    }
}

/// Kills a process and reaps it.
pub(crate) fn end(process: &Process) -> ExitStatus {
    process
        .pidfd
        .send_signal(sys::process::Signal::KILL)
        .unwrap();
    process.pidfd.wait().unwrap()
}

/// A directory for a new cgroup, if this machine has version 2 mounted.
pub(crate) fn new_cgroup() -> Option<PathBuf> {
    let mounts = sys::mount::mountinfo().unwrap();
    let tree = mounts.into_iter().find(|mount| mount.fstype == "cgroup2")?;
    Some(
        tree.target
            .join(format!("runtime-test-{}", std::process::id())),
    )
}

#[expect(clippy::too_many_lines, reason = "a specification is a table")]
fn spec(script: &str) -> Spec {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let capabilities = names(&DEFAULT_CAPABILITIES);
    let process = oci::Process {
        user: User::default(),
        args: names(&["sh", "-c", script]),
        env: names(&["PATH=/bin", "TERM=dumb"]),
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        ..oci::Process::default()
    };
    let mounts = vec![
        Mount::new("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        Mount::new(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        Mount::new(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        Mount::new(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=1m"],
        ),
        Mount::new(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        Mount::new(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        Mount::new(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["ro", "nosuid", "noexec", "nodev"],
        ),
    ];
    use NamespaceType::{Cgroup, Ipc, Mount as Mnt, Network, Pid, Uts};
    Spec {
        oci_version: oci::VERSION.to_owned(),
        process: Some(process),
        root: Some(Root {
            path: "rootfs".to_owned(),
            readonly: false,
        }),
        hostname: "testhost".to_owned(),
        mounts,
        linux: Some(Linux {
            namespaces: [Pid, Network, Ipc, Uts, Mnt, Cgroup]
                .map(Namespace::new)
                .to_vec(),
            seccomp: Some(seccomp_default(&DEFAULT_CAPABILITIES)),
            masked_paths: names(&[
                "/proc/kcore",
                "/proc/keys",
                "/proc/timer_list",
                "/sys/firmware",
                "/proc/nowhere",
            ]),
            readonly_paths: names(&["/proc/sys", "/proc/irq", "/proc/bus"]),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}
