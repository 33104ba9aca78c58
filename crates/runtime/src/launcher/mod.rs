//! The engine's side: one clone3(2), one execve(2), and a conversation with a deadline.

mod ask;
mod control;
mod launched;
mod look;
mod namespaces;
mod program;

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use sys::cgroup::Cgroup;
use sys::fdpass;
use sys::namespace::CloneFlags;
use sys::process::{CloneOptions, Signal, SpawnIn, spawn_in};
use tokio::time::timeout;

use super::confine::confine;
use super::oci::Spec;
use super::protocol::{CGROUP_FD, CONTROL_FD, JOB_FD, Job, Report, START, TARGET_FD};
use super::{Confinement, CreateRequest, Error, ExecRequest, Process, Result, Runtime, Stdio};
pub(super) use control::Control;
use launched::Launched;
use namespaces::new_namespaces;
use program::Program;

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
    /// What happens on a machine without cgroups or device filters.
    pub confinement: Confinement,
}

impl Default for RuntimeOptions {
    fn default() -> RuntimeOptions {
        RuntimeOptions {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec!["runtime".to_owned()],
            confinement: Confinement::Required,
        }
    }
}

/// The runtime of this crate.
#[derive(Debug, Clone, Default)]
pub struct NativeRuntime {
    options: RuntimeOptions,
    /// Opened at the first start and kept: to let go of its mount, the kernel waits for all processors.
    program: Arc<OnceLock<Program>>,
}

impl NativeRuntime {
    /// A runtime with these options.
    #[must_use]
    pub fn new(options: RuntimeOptions) -> NativeRuntime {
        NativeRuntime {
            options,
            program: Arc::default(),
        }
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
        let program = self
            .program
            .get_or_init(|| Program::open(&self.options.program));
        let spawn = |into: Option<BorrowedFd<'_>>, wait_for_go: bool| {
            spawn_in(&SpawnIn {
                program: &program.path,
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

impl Runtime for NativeRuntime {
    async fn create(&self, request: CreateRequest<'_>) -> Result<Process> {
        let id = request.id;
        let create = async {
            let mut spec = request.spec.clone();
            if let Some(process) = &mut spec.process {
                process.terminal = matches!(request.stdio, Stdio::Tty);
            }
            let (group, warnings) = confine(&request, &spec, self.options.confinement)?;
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
