//! The engine's side: starts the child on first need and keeps its state; every message goes through here.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, Result};

use super::command::Command;
use super::link::{HandedOver, Launcher, Link};

/// Wait before the first new start; doubled with each death.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest wait before a new start, and how long a child must live for its death to count as the first.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The child, whatever its state.
#[derive(Debug)]
pub(crate) struct Helper {
    launcher: Launcher,
    resolv_conf: PathBuf,
    state: RefCell<State>,
    /// Deaths since one lived long.
    deaths: Cell<u32>,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody has needed it yet.
    #[default]
    Idle,
    /// It runs.
    Running(Rc<Link>),
    /// It has died, and is started again later.
    Away,
    /// The engine has ended it or given it away; there will be no other.
    Gone,
}

impl Helper {
    pub(crate) fn new(launcher: Launcher, resolv_conf: PathBuf) -> Self {
        Self {
            launcher,
            resolv_conf,
            state: RefCell::default(),
            deaths: Cell::default(),
        }
    }

    /// The running child.
    pub(crate) fn running(&self) -> Option<Rc<Link>> {
        match &*self.state.borrow() {
            State::Running(link) => Some(link.clone()),
            State::Idle | State::Away | State::Gone => None,
        }
    }

    /// Whether nobody has needed a child yet.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(*self.state.borrow(), State::Idle)
    }

    /// Whether there will be no other child.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(*self.state.borrow(), State::Gone)
    }

    /// Starts a child.
    pub(crate) fn start(&self) -> Result<Rc<Link>> {
        // Away until it runs: a failure is tried again later, and not with every message.
        *self.state.borrow_mut() = State::Away;
        let link = Link::start(&self.launcher)?;
        link.send(
            &Command::Configure {
                resolv_conf: self.resolv_conf.clone(),
            },
            &[],
        )
        .map_err(|error| Error::server(format!("tell the network child: {error}")))?;
        Ok(self.run(link))
    }

    /// Takes over the child of an earlier engine.
    pub(crate) fn adopt(&self, child: HandedOver) -> Result<Rc<Link>> {
        Ok(self.run(Link::adopt(child)?))
    }

    fn run(&self, link: Link) -> Rc<Link> {
        let link = Rc::new(link);
        *self.state.borrow_mut() = State::Running(link.clone());
        link
    }

    /// Gives the child away to another engine. It is not ended with this one, and not started again.
    pub(crate) fn hand_over(&self) -> io::Result<Option<HandedOver>> {
        let Some(link) = self.running() else {
            return Ok(None);
        };
        let child = link.hand_over()?;
        *self.state.borrow_mut() = State::Gone;
        Ok(Some(child))
    }

    /// Ends the child, and starts none again.
    pub(crate) fn close(&self) {
        if let State::Running(link) = self.state.replace(State::Gone) {
            link.end();
        }
    }

    /// Sends a message to the child, if there is one: a new child is told all anyway. One that does not listen is
    /// ended.
    pub(crate) fn tell(&self, command: &Command, files: &[BorrowedFd<'_>]) {
        if let Some(link) = self.running()
            && let Err(error) = link.send(command, files)
        {
            sys::kmsg::warn("engine", &format!("network child {}: {error}", link.pid));
            link.end();
        }
    }

    /// Closes a container's published ports; when this returns they are free.
    pub(crate) fn unpublish(&self, container: &str) {
        let Some(link) = self.running() else {
            return;
        };
        if let Err(error) = link.unpublish(container) {
            sys::kmsg::warn("engine", &format!("network child {}: {error}", link.pid));
            link.end();
        }
    }

    /// The child has ended: how long to wait before a new one; `None` when it was given away.
    pub(crate) fn died(&self, link: &Rc<Link>) -> Option<Duration> {
        let known = self.running().is_some_and(|known| Rc::ptr_eq(&known, link));
        if !known {
            return None;
        }
        *self.state.borrow_mut() = State::Away;
        if link.age() >= PAUSE_MAX {
            self.deaths.set(0);
        }
        Some(self.pause())
    }

    /// How long to wait after one more death.
    pub(crate) fn pause(&self) -> Duration {
        let deaths = self.deaths.get();
        self.deaths.set(deaths.saturating_add(1));
        PAUSE_FIRST
            .saturating_mul(1 << deaths.min(16))
            .min(PAUSE_MAX)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.close();
    }
}
