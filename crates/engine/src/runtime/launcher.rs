//! The engine's side: one clone3(2), one execve(2), and a conversation with a deadline.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use sys::cgroup::Cgroup;
use sys::fdpass;
use sys::namespace::CloneFlags;
use sys::process::{CloneOptions, Pidfd, Signal, SpawnIn, Spawned, spawn_in};
use sys::readiness::watch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::oci::{IdMapping, Linux, NamespaceType, Spec};
use super::protocol::{CGROUP_FD, CONTROL_FD, GO, JOB_FD, Job, Report, START, TARGET_FD};
use super::{
    CreateRequest, Error, ErrorKind, ExecRequest, Process, Result, Runtime, Stdio, resources,
};

/// How long the set-up of a container may take: mounts of a slow disk, an emulated processor.
const SETUP_DEADLINE: Duration = Duration::from_secs(60);

/// How long the last steps before execve(2) may take: reading the program from a slow disk.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// How long a killed process may take to be gone; the kernel frees its memory and mounts meanwhile.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Pause between two looks whether a cgroup is empty.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How the runtime starts its children.
#[derive(Debug, Clone)]
pub struct RuntimeOptions {
    /// The program that calls [`super::main`].
    pub program: PathBuf,
    /// Its arguments before `create` or `exec`, its own name not among them.
    pub arguments: Vec<String>,
}

impl Default for RuntimeOptions {
    fn default() -> RuntimeOptions {
        RuntimeOptions {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec!["runtime".to_owned()],
        }
    }
}

/// The runtime of this crate.
#[derive(Debug, Clone, Default)]
pub struct NativeRuntime {
    options: RuntimeOptions,
}

/// The engine's end of the control socket.
#[derive(Debug)]
pub(super) struct Control(AsyncFd<OwnedFd>);

impl Control {
    fn new(socket: OwnedFd) -> Result<Control> {
        let other = |e: io::Error| Error::other(format!("control socket: {e}"));
        rustix::io::ioctl_fionbio(&socket, true).map_err(|e| other(e.into()))?;
        Ok(Control(watch(socket, Interest::READABLE).map_err(other)?))
    }

    /// The socket has room for these few bytes: it never waits.
    fn send(&self, message: &[u8]) -> Result<()> {
        fdpass::send(&self.0, message, &[])
            .map_err(|e| Error::other(format!("speak to the container's process: {e}")))
    }

    async fn recv(&self, deadline: Duration) -> Result<(Report, Vec<OwnedFd>)> {
        let next = async {
            loop {
                let mut ready = self.0.readable().await?;
                if let Ok(result) = ready.try_io(fdpass::recv) {
                    return result;
                }
            }
        };
        match timeout(deadline, next).await {
            Err(_) => Err(Error::new(
                ErrorKind::TimedOut,
                format!(
                    "the container's process has not answered for {} s",
                    deadline.as_secs()
                ),
            )),
            Ok(Err(error)) => Err(Error::other(format!(
                "hear the container's process: {error}"
            ))),
            Ok(Ok(message)) => Ok((Report::decode(&message.bytes)?, message.fds)),
        }
    }
}

/// A child that is killed and reaped unless it is handed on.
struct Launched {
    child: Spawned,
    control: Control,
    /// The cgroup that the child itself could not be started in.
    to_move: Option<Cgroup>,
}

impl NativeRuntime {
    /// A runtime with these options.
    #[must_use]
    pub fn new(options: RuntimeOptions) -> NativeRuntime {
        NativeRuntime { options }
    }

    /// Starts the program for a job. With `into`, the child is in that cgroup from its first instruction, or waits for
    /// the word until it was moved.
    fn launch(&self, launch: Launch<'_>, job: File) -> Result<Launched> {
        let (ours, theirs) = fdpass::pair()?;
        let null = open_null()?;
        let (stdin, stdout, stderr) = match launch.stdio {
            Stdio::Pipes {
                stdin,
                stdout,
                stderr,
            } => (
                stdin.as_ref().map_or(null.as_fd(), AsFd::as_fd),
                stdout.as_fd(),
                stderr.as_fd(),
            ),
            Stdio::Null | Stdio::Tty => (null.as_fd(), null.as_fd(), null.as_fd()),
        };
        let mut fds = vec![
            (stdin, 0),
            (stdout, 1),
            (stderr, 2),
            (theirs.as_fd(), CONTROL_FD),
            (job.as_fd(), JOB_FD),
        ];
        fds.extend(launch.pass.iter().copied());
        let mut argv = vec![OsStr::new("init")];
        argv.extend(self.options.arguments.iter().map(OsStr::new));
        argv.push(OsStr::new(launch.verb));
        let cgroup = launch.into.map(Cgroup::open).transpose()?;
        let spawn = |into: Option<BorrowedFd<'_>>, wait_for_go: bool| {
            spawn_in(&SpawnIn {
                program: &self.options.program,
                argv: &argv,
                env: &[],
                options: CloneOptions {
                    namespaces: launch.namespaces,
                    cgroup: into,
                    sibling: false,
                },
                fds: &fds,
                report: CONTROL_FD,
                wait_for_go,
            })
        };
        let wait = launch.namespaces.contains(CloneFlags::NEWUSER);
        let mut to_move = None;
        let child = match (spawn(cgroup.as_ref().map(AsFd::as_fd), wait), launch.into) {
            // An old kernel, a seccomp filter around us, a cgroup of another kind: the long way.
            (Err(error), Some(group)) if cannot_start_in_cgroup(&error) => {
                to_move = Some(group.clone());
                spawn(None, true)?
            }
            (result, _) => result?,
        };
        drop(theirs);
        // From here on the child must not be lost: no early return before it is in `Launched`.
        match Control::new(ours) {
            Ok(control) => Ok(Launched {
                child,
                control,
                to_move,
            }),
            Err(error) => {
                let _ = child.pidfd.send_signal(Signal::KILL);
                let _ = child.pidfd.wait();
                Err(error)
            }
        }
    }
}

/// What [`NativeRuntime::launch`] starts.
struct Launch<'a> {
    verb: &'a str,
    namespaces: CloneFlags,
    stdio: &'a Stdio,
    into: Option<&'a Cgroup>,
    pass: &'a [(BorrowedFd<'a>, i32)],
}

fn cannot_start_in_cgroup(error: &sys::Error) -> bool {
    /// EPERM, EACCES, EBUSY, EINVAL, ENOSYS, EOPNOTSUPP (errno(3)).
    const REFUSALS: [i32; 6] = [1, 13, 16, 22, 38, 95];
    error.errno().is_some_and(|errno| REFUSALS.contains(&errno))
}

impl Launched {
    /// Writes what the child waits for, and says so.
    fn prepare(&mut self, linux: Option<&Linux>) -> Result<bool> {
        let userns = linux.filter(|linux| is_new(linux, NamespaceType::User));
        if let Some(group) = &self.to_move {
            group.add_process(self.child.pid)?;
        }
        if let Some(linux) = userns {
            write_map(self.child.pid, "uid_map", &linux.uid_mappings)?;
            write_map(self.child.pid, "gid_map", &linux.gid_mappings)?;
        }
        let waits = self.to_move.is_some() || userns.is_some();
        if waits {
            self.control.send(GO)?;
        }
        Ok(waits)
    }

    /// Follows the conversation up to `created`.
    async fn created(mut self, linux: Option<&Linux>, wants_console: bool) -> Result<Process> {
        let result = match self.prepare(linux) {
            Ok(_) => self.converse().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(fds) if wants_console && fds.is_empty() => {
                self.discard().await;
                Err(Error::other("the container's process has sent no terminal"))
            }
            Ok(fds) => Ok(Process {
                pid: self.child.pid,
                pidfd: self.child.pidfd,
                console: fds.into_iter().next().filter(|_| wants_console),
                warnings: Vec::new(),
                control: Some(self.control),
            }),
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    async fn converse(&mut self) -> Result<Vec<OwnedFd>> {
        loop {
            match self.control.recv(SETUP_DEADLINE).await? {
                (Report::Created, fds) => return Ok(fds),
                (Report::Failed(error), _) => return Err(error),
                (Report::Closed, _) => {
                    return Err(Error::other(
                        "the container's process ended during its set-up",
                    ));
                }
                (Report::Sibling(pid), fds) => {
                    let pidfd = fds.into_iter().next().map(Pidfd::from_fd);
                    let pidfd = pidfd.ok_or_else(|| {
                        Error::other("the container's process came without its pidfd")
                    })?;
                    let helper = std::mem::replace(&mut self.child, Spawned { pid, pidfd });
                    if let Some(group) = &self.to_move {
                        group.add_process(pid)?;
                    }
                    self.control.send(GO)?;
                    // It has done its work and exits by itself.
                    reap(helper.pidfd).await;
                }
            }
        }
    }

    async fn discard(self) {
        kill_and_reap(self.child.pidfd).await;
    }
}

async fn kill_and_reap(pidfd: Pidfd) {
    let _ = pidfd.send_signal(Signal::KILL);
    reap(pidfd).await;
}

/// Waits for a child's end and reaps it, unless the engine's reaper was faster.
async fn reap(pidfd: Pidfd) {
    if let Ok(ready) = watch(pidfd, Interest::READABLE) {
        let _ = timeout(KILL_DEADLINE, ready.readable()).await;
        let _ = ready.get_ref().reap();
    }
}

impl Runtime for NativeRuntime {
    async fn create(&self, request: CreateRequest<'_>) -> Result<Process> {
        let id = request.id;
        let create = async {
            let mut spec = request.spec.clone();
            if let Some(process) = &mut spec.process {
                process.terminal = matches!(request.stdio, Stdio::Tty);
            }
            let group = request.cgroup.map(Cgroup::create).transpose()?;
            let limits = spec
                .linux
                .as_ref()
                .and_then(|linux| linux.resources.as_ref());
            let warnings = match (&group, limits) {
                (Some(group), Some(limits)) => resources::apply(group, limits)?,
                _ => Vec::new(),
            };
            let linux = spec.linux.clone().unwrap_or_default();
            write_config(request.bundle, &spec)?;
            let job = write_job(&Job::Create {
                bundle: request.bundle.to_string_lossy().into_owned(),
                spec: Box::new(spec),
                has_cgroup: group.is_some(),
            })?;
            let directory = group.as_ref().map(Cgroup::open).transpose()?;
            let pass: Vec<_> = directory.iter().map(|fd| (fd.as_fd(), CGROUP_FD)).collect();
            let launched = self.launch(
                Launch {
                    verb: "create",
                    namespaces: new_namespaces(&linux),
                    stdio: &request.stdio,
                    into: group.as_ref(),
                    pass: &pass,
                },
                job,
            )?;
            drop(pass);
            drop(directory);
            let mut process = launched
                .created(Some(&linux), matches!(request.stdio, Stdio::Tty))
                .await?;
            process.warnings = warnings;
            Ok(process)
        };
        let result: Result<Process> = create.await;
        if result.is_err()
            && let Some(path) = request.cgroup
            && let Err(error) = Cgroup::at(path).delete()
        {
            return result
                .map_err(|e| Error::new(e.kind, format!("{e} (container {id}: {error})")));
        }
        result
    }

    async fn start(&self, process: &mut Process) -> Result<()> {
        let control = process
            .control
            .take()
            .ok_or_else(|| Error::other("the process was started before"))?;
        let outcome = match control.send(START) {
            Ok(()) => control.recv(START_DEADLINE).await,
            Err(error) => Err(error),
        };
        let error = match outcome {
            // Closed by execve(2), or it died: then the engine's reaper has its status.
            Ok((Report::Closed, _)) => return Ok(()),
            Ok((Report::Failed(error), _)) | Err(error) => error,
            Ok((report, _)) => Error::other(format!("unexpected report {report:?} at the start")),
        };
        let _ = process.pidfd.send_signal(Signal::KILL);
        Err(error)
    }

    async fn exec(&self, request: ExecRequest<'_>) -> Result<Process> {
        let mut oci_process = request.process.clone();
        oci_process.terminal = matches!(request.stdio, Stdio::Tty);
        let group = request
            .cgroup
            .map(|path| Cgroup::at(path).open())
            .transpose()?;
        let job = write_job(&Job::Exec {
            process: Box::new(oci_process),
            seccomp: request.seccomp.cloned(),
            has_cgroup: group.is_some(),
        })?;
        let mut pass = vec![(request.target.as_fd(), TARGET_FD)];
        pass.extend(group.iter().map(|fd| (fd.as_fd(), CGROUP_FD)));
        // The helper stays out of the container's cgroup: only what it makes counts there.
        let launch = Launch {
            verb: "exec",
            namespaces: CloneFlags::empty(),
            stdio: &request.stdio,
            into: None,
            pass: &pass,
        };
        let launched = self.launch(launch, job)?;
        drop(pass);
        drop(group);
        launched
            .created(None, matches!(request.stdio, Stdio::Tty))
            .await
    }

    async fn delete(&self, cgroup: &Path) -> Result<()> {
        let group = Cgroup::at(cgroup);
        if !cgroup.exists() {
            return Ok(());
        }
        group.kill()?;
        // A frozen process does not die.
        group.thaw()?;
        let emptied = timeout(KILL_DEADLINE, async {
            while group.is_populated().unwrap_or(false) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
        let _ = emptied.await;
        Ok(group.delete()?)
    }
}

fn is_new(linux: &Linux, kind: NamespaceType) -> bool {
    linux
        .namespace(kind)
        .is_some_and(|namespace| namespace.path.is_empty())
}

/// What clone3(2) makes. The view of the cgroup tree is made by the child once it is in its cgroup.
fn new_namespaces(linux: &Linux) -> CloneFlags {
    let mut flags = CloneFlags::NEWNS;
    for (kind, flag) in [
        (NamespaceType::Pid, CloneFlags::NEWPID),
        (NamespaceType::Network, CloneFlags::NEWNET),
        (NamespaceType::Ipc, CloneFlags::NEWIPC),
        (NamespaceType::Uts, CloneFlags::NEWUTS),
        (NamespaceType::User, CloneFlags::NEWUSER),
    ] {
        if is_new(linux, kind) {
            flags |= flag;
        }
    }
    flags
}

fn write_map(pid: i32, file: &str, mappings: &[IdMapping]) -> Result<()> {
    let lines: String = mappings
        .iter()
        .map(|map| format!("{} {} {}\n", map.container_id, map.host_id, map.size))
        .collect();
    let path = format!("/proc/{pid}/{file}");
    // One write: the kernel takes the whole map or nothing.
    OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut map| map.write_all(lines.as_bytes()))
        .map_err(|e| Error::other(format!("write {path}: {e}")))
}

fn write_config(bundle: &Path, spec: &Spec) -> Result<()> {
    let path = bundle.join("config.json");
    let write = || -> io::Result<()> { fs::write(&path, serde_json::to_vec(spec)?) };
    write().map_err(|e| Error::other(format!("write {}: {e}", path.display())))
}

/// The job in a file without a name, from its beginning.
fn write_job(job: &Job) -> Result<File> {
    let write = || -> io::Result<File> {
        let mut file = File::from(memfd_create("job", MemfdFlags::CLOEXEC)?);
        file.write_all(&serde_json::to_vec(job)?)?;
        file.rewind()?;
        Ok(file)
    };
    write().map_err(|e| Error::other(format!("write the job of the container's process: {e}")))
}

fn open_null() -> Result<File> {
    let open = OpenOptions::new().read(true).write(true).open("/dev/null");
    open.map_err(|e| Error::other(format!("open /dev/null: {e}")))
}
