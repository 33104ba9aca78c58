//! Containers: their state on disk and in memory, and every verb of their life.

mod attach;
mod commit;
mod create;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod life;
mod list;
mod mounts;
mod names;
mod networks;
mod record;
mod restore;
mod start;
mod state;
pub(crate) mod stop;
mod top;
mod update;

use std::cell::{Cell, Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use engine_api::{Error, PortMap, Result};
use runtime::Process;
use tokio::sync::{Mutex, Notify, watch};

pub use commit::CommitRequest;
pub use commit::change::apply_changes;
pub(crate) use life::restart::Backoff;
pub(crate) use mounts::sources::ANSWER_MOST;
pub(crate) use mounts::{MountKind, MountRecord, clean};
pub(crate) use record::{Layout, Record};
pub(crate) use state::Status;

use crate::io::{Ends, Streams, Terminal};
use crate::logs::LogFile;

/// Name of this engine's own runtime in `info` and `HostConfig.Runtime`.
pub const RUNTIME_NAME: &str = "runc";

/// What the end of a run looked like; watched by those who wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exits {
    /// Runs that have ended.
    pub(crate) count: u64,
    /// Exit code of the last.
    pub(crate) code: i32,
    /// Why the last start failed.
    pub(crate) error: String,
    /// Whether a process lives now.
    pub(crate) alive: bool,
    /// Whether the container is gone.
    pub(crate) removed: bool,
}

/// What exists only while a process lives; all of it is a kernel object or can be found again from the record.
#[derive(Debug)]
pub(crate) struct Live {
    /// The first process.
    pub(crate) process: Rc<Process>,
    /// The terminal's master side.
    pub(crate) terminal: Option<Rc<Terminal>>,
    /// The engine's ends of the streams.
    pub(crate) ends: Ends,
    /// `NetworkSettings.Ports` of this run.
    pub(crate) ports: PortMap,
    /// `NetworkSettings.SandboxID` and `SandboxKey`.
    pub(crate) sandbox: (String, String),
    /// Told when the run ends, so that health checks stop.
    pub(crate) ended: Rc<Notify>,
}

/// A container in memory.
#[derive(Debug)]
pub(crate) struct Container {
    /// 64 hexadecimal digits.
    pub(crate) id: String,
    /// Where its files are.
    pub(crate) layout: Layout,
    /// Its cgroup's directory.
    pub(crate) cgroup: PathBuf,
    /// One lifecycle verb at a time.
    pub(crate) operation: Mutex<()>,
    /// Standard streams.
    pub(crate) streams: Rc<Streams>,
    /// Back-off of its restarts.
    pub(crate) backoff: RefCell<Backoff>,
    /// Cuts a wait before a restart short.
    pub(crate) wake: Notify,
    /// When it is started again, since the kernel's start.
    pub(crate) restart_at: Cell<Option<Duration>>,
    /// When its health is probed next, likewise.
    pub(crate) probe_at: Cell<Option<Duration>>,
    /// Ends of runs.
    pub(crate) exits: watch::Sender<Exits>,
    /// Its execs that live.
    pub(crate) execs: RefCell<BTreeSet<String>>,
    /// The running process.
    pub(crate) live: RefCell<Option<Live>>,
    /// Not to be removed at exit although it says so: it is being restarted.
    pub(crate) keep: Cell<bool>,
    /// Left by an earlier engine, and not started since.
    pub(crate) adopted: Cell<bool>,
    /// Volumes that its present run holds.
    pub(crate) volumes: RefCell<Vec<String>>,
    /// Whether its root file system is mounted.
    pub(crate) mounted: Cell<bool>,
    /// Processes of its present run that the kernel killed because memory ran out, as far as that was reported.
    pub(crate) oom_kills: Cell<u64>,
    record: RefCell<Record>,
}

impl Container {
    /// A container from its record; nothing is started.
    pub(crate) fn new(record: Record, layout: Layout, cgroup: PathBuf) -> Self {
        let config = &record.config;
        let log = (record.host_config.log_config.typ != "none").then(|| {
            let limits = create::logging::limits(&record.host_config.log_config)
                .unwrap_or(crate::logs::LogLimits::DEFAULT);
            let attributes = create::logging::attributes(&record.host_config.log_config, config);
            Rc::new(LogFile::new(layout.log(&record.id), limits, attributes))
        });
        let streams = Streams::new(config.tty, config.open_stdin, config.stdin_once, log);
        let exits = Exits {
            code: record.state.exit_code,
            ..Exits::default()
        };
        Self {
            id: record.id.clone(),
            layout,
            cgroup,
            operation: Mutex::default(),
            streams: Rc::new(streams),
            backoff: RefCell::default(),
            wake: Notify::new(),
            restart_at: Cell::default(),
            probe_at: Cell::default(),
            exits: watch::Sender::new(exits),
            execs: RefCell::default(),
            live: RefCell::default(),
            keep: Cell::default(),
            adopted: Cell::default(),
            volumes: RefCell::default(),
            mounted: Cell::default(),
            oom_kills: Cell::default(),
            record: RefCell::new(record),
        }
    }

    /// The record. Not to be held across an await.
    pub(crate) fn record(&self) -> Ref<'_, Record> {
        self.record.borrow()
    }

    /// The name without a slash.
    pub(crate) fn name(&self) -> String {
        self.record.borrow().name.clone()
    }

    /// Its state.
    pub(crate) fn status(&self) -> Status {
        self.record.borrow().state.status
    }

    /// Changes the record on disk and in memory.
    ///
    /// # Errors
    /// 500 when the file system refuses; nothing has changed then.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        let mut changed = self.record.borrow().clone();
        change(&mut changed);
        self.save(&changed)?;
        *self.record.borrow_mut() = changed;
        Ok(())
    }

    /// Notes what has happened: memory is the truth while the engine lives. What the disk does not take is said on the
    /// kernel's log.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Record)) {
        self.keep_in_mind(change);
        if let Err(error) = self.save(&self.record.borrow()) {
            crate::report(&error.message);
        }
    }

    /// Changes the record in memory alone.
    pub(crate) fn keep_in_mind(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.borrow_mut());
    }

    fn save(&self, record: &Record) -> Result<()> {
        record.save(&self.layout.directory).map_err(|error| {
            Error::server(format!(
                "write the record of container {} in {}: {}",
                self.id,
                self.layout.directory.display(),
                engine_api::cause(&error)
            ))
        })
    }

    /// The first process's number, when one lives.
    pub(crate) fn pid(&self) -> Option<i32> {
        let pid = self.record.borrow().state.pid;
        (pid > 0).then_some(pid)
    }

    /// Attributes of its events: labels, image, name.
    pub(crate) fn event_attributes(&self) -> BTreeMap<String, String> {
        let record = self.record.borrow();
        let mut attributes = record.config.labels.clone();
        attributes.insert("image".to_owned(), record.config.image.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes
    }
}
