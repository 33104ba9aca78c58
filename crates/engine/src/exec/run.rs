//! Starting an exec: its session, its process, its end.

use std::rc::Rc;

use bytes::Bytes;
use engine_api::options::{AttachSession, StreamKind};
use engine_api::{Error, ExecStartConfig, Result};
use runtime::{ErrorKind, ExecRequest, Runtime, Stdio};
use sys::process::ExitStatus;
use tokio::sync::{mpsc, oneshot};

use super::Exec;
use super::process::exec_process;
use crate::Engine;
use crate::io::{Descriptors, Pumps, Wanted};
use crate::reaper::exit_code;

impl Engine {
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

    pub(super) fn attach_exec(&self, exec: &Rc<Exec>) -> Result<AttachSession> {
        let keys = Some(exec.config.detach_keys.clone()).filter(|keys| !keys.is_empty());
        exec.streams.attach(&Wanted {
            stdin: exec.config.attach_stdin,
            stdout: exec.config.attach_stdout,
            stderr: exec.config.attach_stderr,
            detach_keys: keys,
        })
    }

    /// Starts the process; when that fails the exec has ended.
    pub(super) async fn run_exec(&self, exec: &Rc<Exec>, size: Option<[u32; 2]>) -> Result<()> {
        let _work = self
            .0
            .quiet
            .work(format!("exec in {}", exec.container.name()));
        let started = self.try_exec(exec, size).await;
        if started.is_err() {
            // Docker's code for whatever kept it from starting.
            self.exec_ended(exec, 126);
        }
        started
    }

    async fn try_exec(&self, exec: &Rc<Exec>, size: Option<[u32; 2]>) -> Result<()> {
        let (process, seccomp) = exec_process(exec, size, self.0.apparmor_profile)?;
        let target = exec
            .container
            .live
            .borrow()
            .as_ref()
            .map(|live| Rc::clone(&live.process));
        let target = target.ok_or_else(|| {
            Error::conflict(format!("container {} is not running", exec.container.id))
        })?;
        let (descriptors, stdio) = streams_of(exec)?;
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
                    // A terminal may have the default size: the start goes on.
                    let _ = sys::tty::set_winsize(&master, height, width);
                }
                Pumps::over_terminal(&exec.streams, master)
            }
            None => Pumps::over_pipes(&exec.streams, descriptors),
        };
        let pumps = pumps.map_err(|error| Error::server(format!("watch streams: {error}")))?;
        self.0.runtime.start(&mut child).await.map_err(failed)?;
        {
            let mut state = exec.state.borrow_mut();
            state.running = true;
            state.pid = child.pid;
            state.process = Some(Rc::new(child));
            state.ends = pumps.ends();
        }
        *exec.terminal.borrow_mut() = pumps.terminal();
        exec.settled.send_replace(true);
        self.exec_event(exec, "exec_start", true);
        let (engine, watched) = (self.clone(), Rc::clone(exec));
        engine_api::tasks::spawn(async move { engine.monitor_exec(watched, ended, pumps).await });
        Ok(())
    }

    pub(super) async fn monitor_exec(
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
        exec.settled.send_replace(true);
        exec.ended.send_replace(Some(code));
        exec.ended_at.set(Some(sys::clock::boottime()));
        exec.container.execs.borrow_mut().remove(&exec.id);
        exec.streams.finish();
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

/// The API's error for a process that could not be started.
fn failed(error: runtime::Error) -> Error {
    if error.kind == ErrorKind::Account {
        return Error::server(error.message);
    }
    let text = format!(
        "OCI runtime exec failed: exec failed: unable to start container process: {error}: unknown"
    );
    if error.exit_code() == 128 {
        Error::server(text)
    } else {
        Error::bad_parameter(text)
    }
}
