//! The next program's first steps, and the way back should they fail.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use engine_api::{Error, Result};
use tokio::net::UnixListener;

use super::TAKE_OVER_VERB;
use super::candidate::STATE_MAX;
use super::leave::{decode, decode_header};
use super::state::{Header, State};
use crate::Engine;

/// Argument before the reason for which the former program runs again.
const BACK: &str = "--back";
/// How long a program may take from its start to its commitment. Nothing is served meanwhile.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a program got from the one before it. Descriptors are copied from here and the originals stay open until
/// [`Self::commit`], so that the former program would find them all.
#[derive(Debug)]
pub struct Inheritance {
    memory: i32,
    header: Header,
    /// Empty once it has become the engine's own.
    state: RefCell<State>,
    /// Why the next program failed, in the former one that runs again.
    back: Option<String>,
    committed: Cell<bool>,
    watchdog: RefCell<Option<mpsc::Sender<()>>>,
}

impl Inheritance {
    /// What the engine's owner kept for itself.
    #[must_use]
    pub fn owner(&self) -> serde_json::Value {
        self.state.borrow().owner.clone()
    }

    /// What the engine's owner has left open, in its order.
    ///
    /// # Errors
    /// When it was not handed over.
    pub fn owned(&self) -> Result<Vec<OwnedFd>> {
        let state = self.state.borrow();
        let numbers = state.owned.iter();
        numbers.map(|number| self.descriptor(*number)).collect()
    }

    /// The API's socket.
    ///
    /// # Errors
    /// When it was not handed over.
    pub fn listener(&self) -> Result<UnixListener> {
        let listener =
            std::os::unix::net::UnixListener::from(self.descriptor(self.state.borrow().listener)?);
        UnixListener::from_std(listener)
            .map_err(|error| Error::server(format!("take over the API's socket: {error}")))
    }

    /// The program's path for its helpers.
    pub(crate) fn program(&self) -> PathBuf {
        let state = self.state.borrow();
        match self.back {
            None => state.program.clone(),
            Some(_) => state.former_program.clone(),
        }
    }

    /// A copy of an inherited descriptor.
    ///
    /// # Errors
    /// When it is not open.
    pub(crate) fn descriptor(&self, number: i32) -> Result<OwnedFd> {
        if !self.header.descriptors.contains(&number) {
            return Err(Error::server(format!(
                "descriptor {number} was not handed over"
            )));
        }
        sys::process::dup_inherited_fd(number).map_err(|error| Error::server(error.to_string()))
    }

    /// There is no way back from here: the caller has taken everything over and enters its event loop. Signals that
    /// came meanwhile are delivered.
    pub fn commit(&self) {
        if self.committed.replace(true) {
            return;
        }
        drop(self.watchdog.take());
        drop(self.state.take());
        for number in &self.header.descriptors {
            // Copies are in use; the originals have served.
            if let Err(error) = sys::process::take_inherited_fd(*number) {
                crate::report(&format!("after an upgrade: {error}"));
            }
        }
        if let Err(error) = sys::signal::unblock_all() {
            crate::report(&format!("after an upgrade: {error}"));
        }
    }

    /// Executes the former program with the state as it was. Returns only an error.
    fn go_back(&self, reason: &str) -> String {
        if self.back.is_some() {
            return reason.to_owned(); // this is the former program: there is no other
        }
        let error = go_back(self.memory, self.header.former, reason);
        format!("{reason}; {error}")
    }
}

fn go_back(memory: i32, former: i32, reason: &str) -> String {
    crate::report(&format!("upgrade: {reason}: the former program goes on"));
    let arguments: [OsString; 5] = [
        "init".into(),
        TAKE_OVER_VERB.into(),
        memory.to_string().into(),
        BACK.into(),
        reason.replace('\0', " ").into(),
    ];
    let program = PathBuf::from(format!("/proc/self/fd/{former}"));
    sys::process::exec(&program, &arguments, &sys::process::environment()).to_string()
}

/// Runs `live` with what the former program handed over (the arguments after [`TAKE_OVER_VERB`]). When it fails or
/// panics before [`Inheritance::commit`], or does not get there in time, the former program runs again in its place.
///
/// # Errors
/// What `live` says after the commitment; before it, only when there is no former program to go back to.
pub fn take_over<T>(
    arguments: &[OsString],
    live: impl FnOnce(Rc<Inheritance>) -> std::result::Result<T, String>,
) -> std::result::Result<T, String> {
    // execve(2) through /proc/self/fd names the process after the descriptor.
    let _ = sys::process::set_name("init");
    let inheritance = Rc::new(receive(arguments)?);
    watch(&inheritance);
    let own = Rc::clone(&inheritance);
    match catch_unwind(AssertUnwindSafe(|| live(own))) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if inheritance.committed.get() => Err(error),
        Ok(Err(error)) => Err(inheritance.go_back(&error)),
        Err(panic) if inheritance.committed.get() => resume_unwind(panic),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(inheritance.go_back(&format!("panic: {text}")))
        }
    }
}

/// Reads what was handed over; goes back when that is not understood.
fn receive(arguments: &[OsString]) -> std::result::Result<Inheritance, String> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let (memory, back) = match words.as_slice() {
        [memory] => (memory, None),
        [memory, BACK, reason] => (memory, Some((*reason).to_owned())),
        _ => return Err("take-over is for an engine that replaces its program".to_owned()),
    };
    let memory: i32 = memory
        .parse()
        .map_err(|_| format!("{memory} is not a descriptor"))?;
    let bytes = read(memory)?;
    match decode(&bytes) {
        Ok((header, state)) => Ok(Inheritance {
            memory,
            header,
            state: RefCell::new(state),
            back,
            committed: Cell::new(false),
            watchdog: RefCell::default(),
        }),
        Err(error) if back.is_some() => Err(error),
        Err(error) => {
            let (header, _) = decode_header(&bytes)?;
            Err(go_back(memory, header.former, &error))
        }
    }
}

fn read(memory: i32) -> std::result::Result<Vec<u8>, String> {
    let copy = sys::process::dup_inherited_fd(memory).map_err(|error| error.to_string())?;
    let mut file = File::from(copy);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.take(STATE_MAX).read_to_end(&mut bytes))
        .map_err(|error| format!("read the state: {error}"))?;
    Ok(bytes)
}

/// Goes back when there is no commitment in time, whatever the program hangs in: execve(2) ends all its threads.
fn watch(inheritance: &Inheritance) {
    if inheritance.back.is_some() {
        return;
    }
    let (sender, receiver) = mpsc::channel::<()>();
    let (memory, former) = (inheritance.memory, inheritance.header.former);
    let spawned = std::thread::Builder::new()
        .name("take-over".to_owned())
        .spawn(move || {
            if receiver.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout) {
                let reason = format!("it has not taken over after {} s", DEADLINE.as_secs());
                let error = go_back(memory, former, &reason);
                crate::report(&format!("upgrade: no way back: {error}"));
            }
        });
    match spawned {
        Ok(_) => drop(inheritance.watchdog.replace(Some(sender))),
        Err(error) => crate::report(&format!("upgrade: no watchdog: {error}")),
    }
}

impl Engine {
    /// Makes the state of the former program this engine's.
    pub(crate) fn take_over(&self, inheritance: &Inheritance) -> Result<()> {
        let (inner, state) = (&self.0, &*inheritance.state.borrow());
        inner.start_counter.set(state.start_counter);
        inner.panics.set(state.panics);
        inner.events.set_history(state.events.clone());
        for (id, container) in &state.containers {
            self.adopt_container(container, inheritance)
                .map_err(|error| error.context(&format!("container {id}")))?;
        }
        for (id, exec) in &state.execs {
            // One of a container that is gone has nobody to ask for it.
            if inner.containers.borrow().contains_key(&exec.container) {
                self.adopt_exec(id, exec, inheritance)
                    .map_err(|error| error.context(&format!("exec {id}")))?;
            }
        }
        self.adopt_networks(state, inheritance);
        inner.upgrades.generation.set(state.generation + 1);
        match &inheritance.back {
            None => inner.upgrades.note("done", ""),
            Some(reason) => inner.upgrades.note("fell back", reason),
        }
        self.forget_programs_but(Path::new(&inheritance.program()));
        Ok(())
    }

    /// Takes the child over that serves published ports and names; without one they are served by a new child.
    fn adopt_networks(&self, state: &State, inheritance: &Inheritance) {
        if let Some(child) = &state.network_child {
            self.adopt_network_child(inheritance.descriptor(child.socket), child.pid);
        }
        let pid_of = |id: &str| Some(state.containers.get(id)?.run.as_ref()?.pid);
        for warning in self.0.networks.reconcile(pid_of) {
            crate::report(&warning);
        }
    }
}
