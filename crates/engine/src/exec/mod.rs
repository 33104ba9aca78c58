//! `docker exec`: further processes in a running container.

mod carry;
mod probe;
mod process;
mod resize;
mod run;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, ExecConfig, ExecInspect, ExecProcessConfig, Result};
use objects::ids;
use runtime::Process;
use tokio::sync::watch;

use crate::Engine;
use crate::container::{Container, Status};
use crate::io::{Ends, Streams, Terminal};

/// How long an exec that has ended can still be inspected.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Execs at most, over all containers: each costs memory, and health checks make many.
const EXECS_MAX: usize = 10_000;

/// A process in a container that is not its first.
#[derive(Debug)]
pub(crate) struct Exec {
    id: String,
    container: Rc<Container>,
    config: ExecConfig,
    streams: Rc<Streams>,
    state: RefCell<State>,
    terminal: RefCell<Option<Rc<Terminal>>>,
    /// Whether it has started, or never will.
    settled: watch::Sender<bool>,
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
            settled: watch::Sender::default(),
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
