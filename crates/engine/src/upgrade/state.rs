//! What one program hands to the next: a line that every version reads, and the state of this version.
//!
//! It travels in a file without a name (memfd_create(2)) whose descriptor stays open over execve(2), as do the
//! descriptors that it names. What is on disk (records of containers, networks, images, volumes) is not in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use engine_api::{EventMessage, ExecConfig};
use serde::{Deserialize, Serialize};

use crate::container::{Backoff, Record};

/// Version of [`State`]: one more with every change that an earlier or later program would misread.
///
/// 2: descriptors of the owner's. An earlier program would close the watchdog, which then resets the machine.
pub const STATE_VERSION: u32 = 2;

/// The first line of the file. Its fields never change: also a program that cannot read the rest finds its way back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Header {
    /// Version of the rest.
    pub(super) version: u32,
    /// Descriptor of the program that wrote this: it is run again should the next one fail.
    pub(super) former: i32,
    /// All descriptors that stay open for the next program, the file's own and `former` included.
    pub(super) descriptors: Vec<i32>,
}

/// The engine's state that is not on disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// Path of the program that wrote this, for its helpers.
    pub(super) former_program: PathBuf,
    /// Path of the program that takes over.
    pub(super) program: PathBuf,
    /// What the engine's owner (PID 1, a developer's command) keeps for itself.
    pub(super) owner: serde_json::Value,
    /// Descriptors of the owner's.
    pub(super) owned: Vec<i32>,
    /// Descriptor of the API's socket.
    pub(super) listener: i32,
    /// The child that serves published ports and names, when there is one.
    pub(super) network_child: Option<NetworkChildState>,
    /// How often the program was replaced.
    pub(super) generation: u64,
    /// Panics that were contained, outside of and in API handlers.
    pub(super) panics: u64,
    /// Number of the last start of a container.
    pub(super) start_counter: u64,
    /// The recent events.
    pub(super) events: Vec<EventMessage>,
    /// Containers by identifier.
    pub(super) containers: BTreeMap<String, ContainerState>,
    /// Execs by identifier.
    pub(super) execs: BTreeMap<String, ExecState>,
}

/// The network child, which goes on by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NetworkChildState {
    /// Descriptor of the engine's end of its control socket.
    pub(super) socket: i32,
    /// Its number.
    pub(super) pid: i32,
}

/// What a container has in addition to its record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerState {
    /// Its record: what is in memory is the truth, the disk may have refused it.
    pub(crate) record: Box<Record>,
    /// The process and its streams, when it runs.
    pub(crate) run: Option<RunState>,
    /// Volumes that this run holds.
    pub(crate) volumes: Vec<String>,
    /// Waits before restarts.
    pub(crate) backoff: Backoff,
    /// When it is started again, in milliseconds since the kernel's start.
    pub(crate) restart_at_ms: Option<u64>,
    /// When its health is probed, likewise.
    pub(crate) probe_at_ms: Option<u64>,
    /// Processes of this run that the kernel killed because memory ran out, as far as that was reported. Earlier programs did
    /// not tell while the container went on.
    #[serde(default)]
    pub(crate) oom_kills: u64,
    /// Execs of it that have not ended.
    pub(crate) execs: Vec<String>,
}

/// A process with its streams.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// Its number.
    pub(crate) pid: i32,
    /// The engine's ends.
    pub(crate) streams: StreamState,
}

/// Descriptors of a process's streams, and what was read of them and is not written yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) stdin: Option<i32>,
    pub(crate) stdout: Option<i32>,
    pub(crate) stderr: Option<i32>,
    pub(crate) terminal: Option<i32>,
    /// Standard input was closed by its client.
    pub(crate) stdin_closed: bool,
    /// Beginnings of lines of both streams, base64.
    pub(crate) unfinished: [String; 2],
}

/// An exec.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ExecState {
    /// The container's identifier.
    pub(crate) container: String,
    pub(crate) config: ExecConfig,
    /// Whether it was started.
    pub(crate) started: bool,
    /// The process's number, also when it has ended.
    pub(crate) pid: i32,
    /// The process and its streams, while it runs.
    pub(crate) run: Option<RunState>,
    pub(crate) exit_code: Option<i32>,
    /// When it ended, in milliseconds since the kernel's start.
    pub(crate) ended_at_ms: Option<u64>,
    /// A probe of the container's health: nobody waits for it any more.
    pub(crate) probe: bool,
}
