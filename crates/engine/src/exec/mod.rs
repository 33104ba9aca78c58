//! `docker exec`: further processes in a running container.

mod carry;
mod probe;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use engine_api::{Error, ExecConfig, ExecInspect, ExecProcessConfig, ExecStartConfig, Result};
use sys::process::ExitStatus;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};

use crate::container::{Container, Status};
use crate::io::{Descriptors, Ends, Pumps, Streams, Wanted};
use crate::options::{AttachSession, StreamKind};
use crate::reaper::exit_code;
use crate::runtime::{self, ExecRequest, Process, Runtime, Stdio, oci};
use crate::spec::{self, Account, security::Security};
use crate::{Engine, ids};

/// How long an exec that has ended can still be inspected.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Execs at most, over all containers: each costs memory, and health checks make many.
const EXECS_MAX: usize = 10_000;

/// A process in a container beside its first.
#[derive(Debug)]
pub(crate) struct Exec {
    id: String,
    container: Rc<Container>,
    config: ExecConfig,
    streams: Rc<Streams>,
    state: RefCell<State>,
    terminal: RefCell<Option<Rc<AsyncFd<OwnedFd>>>>,
    /// The exit code, once there is one.
    ended: watch::Sender<Option<i32>>,
    /// When, since the kernel's start.
    ended_at: Cell<Option<Duration>>,
    /// A probe of the container's health.
    probe: Cell<bool>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    running: bool,
    pid: i32,
    process: Option<Rc<Process>>,
    ends: Ends,
}

impl Exec {
    /// One that was not started.
    fn new(id: String, container: &Rc<Container>, config: ExecConfig) -> Self {
        Self {
            id,
            container: Rc::clone(container),
            streams: Rc::new(Streams::new(config.tty, config.attach_stdin, true, None)),
            config,
            state: RefCell::default(),
            terminal: RefCell::default(),
            ended: watch::Sender::default(),
            ended_at: Cell::default(),
            probe: Cell::default(),
        }
    }
}

impl Engine {
    /// `POST /containers/{id}/exec`; the new exec's identifier.
    ///
    /// # Errors
    /// 400 without a command, 404, 409 when the container does not run.
    pub async fn exec_create(&self, reference: &str, config: ExecConfig) -> Result<String> {
        let container = self.find(reference)?;
        let named = |error: Error| match container.status() {
            // Docker names the container as the client did here, and only here.
            Status::Paused => Error::conflict(format!(
                "Container {reference} is paused, unpause the container before exec"
            )),
            _ => error,
        };
        let state = container.record().state.clone();
        state.must_run(&container.id, "exec").map_err(named)?;
        if config.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(Error::bad_parameter("No exec command specified"));
        }
        for variable in &config.env {
            if variable.is_empty() || variable.starts_with('=') {
                return Err(Error::bad_parameter(format!(
                    "invalid environment variable: {variable}"
                )));
            }
        }
        if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
            return Err(Error::bad_parameter(format!(
                "Cwd must be an absolute path: {}",
                config.working_dir
            )));
        }
        let exec = self.new_exec(&container, config)?;
        self.exec_event(&exec, "exec_create", true);
        Ok(exec.id.clone())
    }

    fn new_exec(&self, container: &Rc<Container>, config: ExecConfig) -> Result<Rc<Exec>> {
        let mut execs = self.0.execs.borrow_mut();
        let now = sys::clock::boottime();
        execs.retain(|_, exec| {
            exec.ended_at
                .get()
                .is_none_or(|ended| now.saturating_sub(ended) < KEPT)
        });
        if execs.len() >= EXECS_MAX {
            return Err(Error::server(format!(
                "there are {EXECS_MAX} execs already"
            )));
        }
        let exec = Rc::new(Exec::new(ids::new_id()?, container, config));
        execs.insert(exec.id.clone(), Rc::clone(&exec));
        container.execs.borrow_mut().insert(exec.id.clone());
        Ok(exec)
    }

    /// Forgets a container's execs: all of them, or those that have not been started and cannot be any more.
    pub(crate) fn forget_execs(&self, container: &Container, all: bool) {
        let mut execs = self.0.execs.borrow_mut();
        let mut own = container.execs.borrow_mut();
        execs.retain(|id, exec| {
            let goes = exec.container.id == container.id && (all || !exec.state.borrow().started);
            if goes {
                own.remove(id);
            }
            !goes
        });
    }

    fn find_exec(&self, id: &str) -> Result<Rc<Exec>> {
        self.0
            .execs
            .borrow()
            .get(id)
            .cloned()
            .ok_or_else(|| Error::not_found(format!("No such exec instance: {id}")))
    }

    /// `POST /exec/{id}/start`; the session, unless detached. A program that cannot be run is told on the session's
    /// output, as Docker does, and by the exit code.
    ///
    /// # Errors
    /// 404, 409 when it ran already or the container does not run.
    pub async fn exec_start(
        &self,
        id: &str,
        config: ExecStartConfig,
    ) -> Result<Option<AttachSession>> {
        let exec = self.find_exec(id)?;
        {
            let mut state = exec.state.borrow_mut();
            if exec.ended.borrow().is_some() {
                return Err(Error::conflict(format!(
                    "Error: Exec command {id} has already run"
                )));
            }
            if state.started {
                return Err(Error::conflict(format!(
                    "Error: Exec command {id} is already running"
                )));
            }
            exec.container
                .record()
                .state
                .must_run(&exec.container.id, "exec")?;
            state.started = true;
        }
        let session = if config.detach {
            None
        } else {
            Some(self.attach_exec(&exec)?)
        };
        let size = config.console_size.or(exec.config.console_size);
        let work = Rc::clone(&exec);
        let started = self
            .detached(move |engine| async move { Ok(engine.run_exec(&work, size).await) })
            .await?;
        match (started, session) {
            (Ok(()), session) => Ok(session),
            (Err(error), None) => Err(error),
            (Err(error), Some(session)) => Ok(Some(with_message(session, &error.message))),
        }
    }

    fn attach_exec(&self, exec: &Rc<Exec>) -> Result<AttachSession> {
        let keys = Some(exec.config.detach_keys.clone()).filter(|keys| !keys.is_empty());
        exec.streams.attach(&Wanted {
            stdin: exec.config.attach_stdin,
            stdout: exec.config.attach_stdout,
            stderr: exec.config.attach_stderr,
            detach_keys: keys,
        })
    }

    /// Starts the process; when that fails the exec has ended.
    async fn run_exec(&self, exec: &Rc<Exec>, size: Option<[u32; 2]>) -> Result<()> {
        let _work = self
            .0
            .quiet
            .work(format!("exec in {}", exec.container.name()));
        let failure = match self.try_exec(exec, size).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let (message, code) = failure;
        // Docker's code for whatever kept it from starting.
        self.exec_ended(exec, 126);
        let text = format!("OCI runtime exec failed: exec failed: {message}: unknown");
        Err(if code == 128 {
            Error::server(text)
        } else {
            Error::bad_parameter(text)
        })
    }

    async fn try_exec(
        &self,
        exec: &Rc<Exec>,
        size: Option<[u32; 2]>,
    ) -> std::result::Result<(), (String, i32)> {
        let other = |error: Error| (error.message, 128);
        let failed = |error: runtime::Error| (error.message.clone(), error.exit_code());
        let (process, seccomp) = exec_process(exec, size).map_err(other)?;
        let target = exec
            .container
            .live
            .borrow()
            .as_ref()
            .map(|live| Rc::clone(&live.process));
        let target = target.ok_or_else(|| {
            (
                format!("container {} is not running", exec.container.id),
                128,
            )
        })?;
        let (descriptors, stdio) = streams_of(exec).map_err(other)?;
        let request = ExecRequest {
            target: &target.pidfd,
            process: &process,
            seccomp: seccomp.as_ref(),
            stdio,
            cgroup: self
                .0
                .cgroups
                .present
                .then_some(exec.container.cgroup.as_path()),
        };
        let mut child = self.0.runtime.exec(request).await.map_err(failed)?;
        let ended = self.0.reaper.watch(child.pid);
        let pumps = match child.console.take() {
            Some(master) => {
                if let Some([height, width]) =
                    size.map(|size| size.map(|cells| u16::try_from(cells).unwrap_or(0)))
                {
                    // A terminal of the default size is no reason not to start.
                    let _ = sys::tty::set_winsize(&master, height, width);
                }
                Pumps::over_terminal(&exec.streams, master)
            }
            None => Pumps::over_pipes(&exec.streams, descriptors),
        };
        let pumps = pumps.map_err(|error| (format!("watch streams: {error}"), 128))?;
        self.0.runtime.start(&mut child).await.map_err(failed)?;
        {
            let mut state = exec.state.borrow_mut();
            state.running = true;
            state.pid = child.pid;
            state.process = Some(Rc::new(child));
            state.ends = pumps.ends();
        }
        *exec.terminal.borrow_mut() = pumps.terminal();
        self.exec_event(exec, "exec_start", true);
        let (engine, watched) = (self.clone(), Rc::clone(exec));
        tokio::task::spawn_local(async move { engine.monitor_exec(watched, ended, pumps).await });
        Ok(())
    }

    async fn monitor_exec(
        &self,
        exec: Rc<Exec>,
        ended: oneshot::Receiver<ExitStatus>,
        pumps: Pumps,
    ) {
        let code = ended.await.map_or(128, exit_code);
        pumps.drain().await;
        self.exec_ended(&exec, code);
        self.exec_event(&exec, "exec_die", false);
    }

    fn exec_ended(&self, exec: &Rc<Exec>, code: i32) {
        {
            let mut state = exec.state.borrow_mut();
            state.running = false;
            state.process = None;
        }
        exec.terminal.borrow_mut().take();
        exec.ended.send_replace(Some(code));
        exec.ended_at.set(Some(sys::clock::boottime()));
        exec.container.execs.borrow_mut().remove(&exec.id);
        exec.streams.finish();
    }

    fn exec_event(&self, exec: &Exec, verb: &str, with_command: bool) {
        let mut attributes = exec.container.event_attributes();
        attributes.insert("execID".to_owned(), exec.id.clone());
        if let Some(code) = *exec.ended.borrow() {
            attributes.insert("exitCode".to_owned(), code.to_string());
        }
        let command = exec.config.cmd.as_deref().unwrap_or_default().join(" ");
        let action = if with_command {
            format!("{verb}: {command}")
        } else {
            verb.to_owned()
        };
        self.0
            .events
            .publish("container", &action, &exec.container.id, attributes);
    }

    /// `POST /exec/{id}/resize`.
    ///
    /// # Errors
    /// 404, 409 when it does not run.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let exec = self.find_exec(id)?;
        if !exec.state.borrow().running {
            return Err(Error::conflict(format!("exec {id} is not running")));
        }
        let Some(terminal) = exec.terminal.borrow().clone() else {
            return Ok(());
        };
        sys::tty::set_winsize(terminal.get_ref(), height, width)
            .map_err(|error| Error::server(error.to_string()))
    }

    /// `GET /exec/{id}/json`.
    ///
    /// # Errors
    /// 404.
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspect> {
        let exec = self.find_exec(id)?;
        let state = exec.state.borrow();
        let mut words = exec.config.cmd.iter().flatten().cloned();
        Ok(ExecInspect {
            id: exec.id.clone(),
            running: state.running,
            exit_code: *exec.ended.borrow(),
            process_config: ExecProcessConfig {
                tty: exec.config.tty,
                entrypoint: words.next().unwrap_or_default(),
                arguments: words.collect(),
                privileged: exec.config.privileged,
                user: exec.config.user.clone(),
            },
            open_stdin: exec.config.attach_stdin,
            open_stderr: exec.config.attach_stderr,
            open_stdout: exec.config.attach_stdout,
            can_remove: exec.ended.borrow().is_some(),
            container_id: exec.container.id.clone(),
            detach_keys: exec.config.detach_keys.clone(),
            pid: state.pid,
        })
    }
}

/// The session of an exec that could not be started: the message, then the end.
fn with_message(session: AttachSession, message: &str) -> AttachSession {
    let (sender, output) = mpsc::channel(1);
    // The channel has room for one.
    let _ = sender.try_send((StreamKind::Stdout, Bytes::from(format!("{message}\r\n"))));
    AttachSession {
        input: None,
        output,
        tty: session.tty,
    }
}

fn streams_of(exec: &Exec) -> Result<(Descriptors, Stdio)> {
    if exec.config.tty {
        return Ok((Descriptors::default(), Stdio::Tty));
    }
    let (ours, theirs) = Descriptors::pipes(exec.config.attach_stdin)
        .map_err(|error| Error::server(format!("make pipes: {error}")))?;
    Ok((
        ours,
        Stdio::Pipes {
            stdin: theirs.stdin,
            stdout: theirs.stdout,
            stderr: theirs.stderr,
        },
    ))
}

/// The process as the runtime wants it, confined as the container is.
fn exec_process(
    exec: &Exec,
    size: Option<[u32; 2]>,
) -> Result<(oci::Process, Option<oci::Seccomp>)> {
    let record = exec.container.record();
    if record.state.status != Status::Running {
        return Err(Error::conflict(format!(
            "container {} is not running",
            record.id
        )));
    }
    let (config, host) = (&exec.config, &record.host_config);
    let root = format!("/proc/{}/root", record.state.pid);
    let user = if config.user.is_empty() {
        &record.config.user
    } else {
        &config.user
    };
    let account = Account::resolve(
        Path::new(&root),
        user,
        host.group_add.as_deref().unwrap_or_default(),
    )?;
    let own = spec::choose_capabilities(host)?;
    let security = Security::read(host, &own)?;
    let every = || {
        spec::EVERY_CAPABILITY
            .iter()
            .map(|name| (*name).to_owned())
            .collect()
    };
    let mut env = spec::process::environment(&record.config, config.tty, &account);
    spec::process::override_with(&mut env, &config.env);
    let cwd = [&config.working_dir, &record.config.working_dir]
        .into_iter()
        .find(|path| !path.is_empty());
    let console_size = size
        .filter(|_| config.tty)
        .map(|[height, width]| oci::ConsoleSize {
            height: u16::try_from(height).unwrap_or(u16::MAX),
            width: u16::try_from(width).unwrap_or(u16::MAX),
        });
    let process = oci::Process {
        terminal: config.tty,
        console_size,
        user: account.to_oci(),
        args: config.cmd.clone().unwrap_or_default(),
        env,
        cwd: cwd.cloned().unwrap_or_else(|| "/".to_owned()),
        capabilities: Some(spec::process::sets(if config.privileged {
            every()
        } else {
            own
        })),
        rlimits: spec::process::rlimits(host),
        no_new_privileges: security.no_new_privileges && !config.privileged,
        apparmor_profile: if config.privileged {
            String::new()
        } else {
            security.apparmor_profile
        },
        oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
    };
    let seccomp = if config.privileged {
        None
    } else {
        security.seccomp
    };
    Ok((process, seccomp))
}
