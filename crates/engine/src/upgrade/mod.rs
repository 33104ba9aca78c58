//! Replacing the program in place: the engine executes another program of the same kind, or itself again, and its
//! containers do not notice.
//!
//! ```text
//! POST /engine/upgrade      candidate: an ELF for this machine?      no: 400, nothing has happened
//!                           candidate upgrade-check < state          no: 400 with its own words
//!                           no clients, work under way ends          no: 409, clients again
//!                  202 <--
//! answers on their way, state and descriptors into a memfd, execve   no: clients again, noted for GET /engine
//! next program: take-over   state read, everything opened            no: execve(2) of the former one, same state
//!                           commit, then the event loop: pipes are read and children are reaped from here on
//! ```
//!
//! Containers stay children of the same process; what they write meanwhile waits in their pipes, their ends wait as
//! zombies, clients wait in the socket's backlog. Connections that were accepted end.
//!
//! This module does not decide when to upgrade, nor what survives a reboot.

mod candidate;
mod descriptors;
mod leave;
mod quiet;
mod state;
mod take_over;

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use engine_api::Timestamp;
use engine_api::options::ByteStream;
use engine_api::{EngineStatus, Error, LastUpgrade, Result};
use tokio::net::UnixListener;

pub use candidate::check_main;
pub(crate) use descriptors::{Kept, carry, revive};
pub use quiet::{Closed, Owed, Phase, Quiet, Work};
pub use state::STATE_VERSION;
pub(crate) use state::{ContainerState, ExecState, RunState};
pub use take_over::{Inheritance, take_over};

use crate::Engine;

/// First argument of a program that is asked whether it could take over.
pub const CHECK_VERB: &str = "upgrade-check";
/// First argument of a program that takes over.
pub const TAKE_OVER_VERB: &str = "take-over";
/// How long work under way may take to end, unless the client says otherwise.
const WAIT: Duration = Duration::from_secs(5);
/// How long it may take once no client is accepted any more.
const LAST_MOMENT: Duration = Duration::from_secs(2);
/// The longest that a client may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Copies of descriptors that whoever runs the engine has open, at the moment of the call.
pub type Descriptors = fn() -> Vec<OwnedFd>;

/// What the engine knows about its own replacement.
#[derive(Debug, Default)]
pub(crate) struct Upgrades {
    /// What the owner keeps for itself; none while it forbids upgrades.
    owner: RefCell<Option<serde_json::Value>>,
    /// The owner's descriptors that the next program is to find open.
    descriptors: Cell<Option<Descriptors>>,
    /// The API's socket.
    listener: RefCell<Option<Rc<UnixListener>>>,
    /// How often the program was replaced.
    generation: Cell<u64>,
    last: RefCell<Option<LastUpgrade>>,
    /// A candidate is being received or checked.
    checking: Cell<bool>,
}

impl Upgrades {
    fn note(&self, outcome: &str, error: &str) {
        self.last.replace(Some(LastUpgrade {
            outcome: outcome.to_owned(),
            error: error.to_owned(),
            time: Timestamp::now().to_string(),
        }));
    }
}

/// The turn of one candidate at a time, until it is dropped.
struct Checking<'a>(&'a Cell<bool>);

impl<'a> Checking<'a> {
    fn begin(checking: &'a Cell<bool>) -> Result<Self> {
        if checking.replace(true) {
            return Err(Error::conflict("the engine is being replaced already"));
        }
        Ok(Self(checking))
    }
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Engine {
    /// Allows the program to be replaced. `owner` is what whoever runs this engine needs to go on
    /// ([`Inheritance::owner`]), `descriptors` what is to stay open for it ([`Inheritance::owned`]).
    pub fn allow_upgrades(&self, owner: serde_json::Value, descriptors: Descriptors) {
        self.0.upgrades.owner.replace(Some(owner));
        self.0.upgrades.descriptors.set(Some(descriptors));
    }

    /// Forbids it again: from now on everything is stopped. An upgrade under way is called off.
    pub fn forbid_upgrades(&self) {
        self.0.upgrades.owner.replace(None);
    }

    /// The API's socket, which the next program is to serve.
    pub fn serves(&self, listener: &Rc<UnixListener>) {
        self.0.upgrades.listener.replace(Some(Rc::clone(listener)));
    }

    /// What is under way and must not be cut by a replacement of the program.
    #[must_use]
    pub fn quiet(&self) -> Rc<Quiet> {
        Rc::clone(&self.0.quiet)
    }

    /// `GET /engine`.
    #[must_use]
    pub fn engine_status(&self) -> EngineStatus {
        let upgrades = &self.0.upgrades;
        EngineStatus {
            version: self.0.version.clone(),
            program: self.program_path().to_string_lossy().into_owned(),
            pid: i64::from(std::process::id()),
            generation: i64::try_from(upgrades.generation.get()).unwrap_or(i64::MAX),
            state_version: i64::from(STATE_VERSION),
            last_upgrade: upgrades.last.borrow().clone(),
        }
    }

    /// The program's path, also when it is `/proc/self/exe`.
    fn program_path(&self) -> PathBuf {
        std::fs::read_link("/proc/self/exe").unwrap_or_else(|_| self.0.program.clone())
    }

    /// `POST /engine/upgrade`: replaces the program by the one in `candidate`, or by itself. When this returns well the
    /// program is about to be replaced; `GET /engine` says how it went.
    ///
    /// # Errors
    /// 400 for a program that cannot take over, 409 while something lasts longer than `wait`, 503 during boot and
    /// shutdown. The engine then goes on as it was.
    pub async fn upgrade(
        &self,
        candidate: Option<ByteStream>,
        wait: Option<u64>,
    ) -> Result<EngineStatus> {
        let upgrades = &self.0.upgrades;
        if upgrades.owner.borrow().is_none() {
            return Err(Error::unavailable(
                "the engine cannot be replaced while the machine starts or shuts down",
            ));
        }
        let program = {
            let _turn = Checking::begin(&upgrades.checking)?;
            self.check_candidate(candidate).await?
        };
        let wait = wait.map_or(WAIT, Duration::from_secs).min(LONGEST_WAIT);
        // This client waits for a quiet moment; all others only for a moment. Where there is much work of short duration
        // the quiet moment comes when no more is let in.
        let waited = self.0.quiet.settle(wait, || self.unsettled()).await;
        let closed = self.0.quiet.close()?;
        let quiet = self.0.quiet.settle(LAST_MOMENT, || self.unsettled()).await;
        quiet.map_err(|error| waited.err().unwrap_or(error))?;
        let status = self.engine_status();
        let engine = self.clone();
        // The answer to this very request goes out first.
        engine_api::tasks::spawn(async move {
            let error = engine.leave(&program).await;
            drop(closed);
            crate::report(&format!("upgrade: {error}"));
            engine.0.upgrades.note("failed", &error.message);
        });
        Ok(status)
    }

    /// Reasons to wait that no `Work` guard covers.
    fn unsettled(&self) -> Option<String> {
        if self.0.upgrades.owner.borrow().is_none() {
            return Some("the shutdown".to_owned());
        }
        if images::worker::at_work() > 0 {
            return Some("a transfer or a copy".to_owned());
        }
        self.unsettled_container().or_else(|| self.unsettled_exec())
    }
}
