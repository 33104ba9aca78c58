//! What callers ask of the engine: the query parameters of the Engine API as plain types.
//!
//! Every stream that the engine hands out is a bounded channel: a slow reader holds the producer back and a reader
//! that goes away (drops its end) ends the work behind it.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Filters;
pub use crate::StreamKind;
use crate::timestamp::Timestamp;

/// How many messages a stream holds before its producer waits.
pub const STREAM_DEPTH: usize = 32;

/// `GET /containers/json`.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// Only so many, the youngest; implies `all`. Zero and below: no limit.
    pub limit: i64,
    /// Compute `SizeRw` and `SizeRootFs`.
    pub size: bool,
    /// Docker's filters of `ps`.
    pub filters: Filters,
}

/// `GET /containers/{id}/logs`.
#[derive(Clone, Debug, Default)]
pub struct LogsOptions {
    /// Keep the stream open until the container exits.
    pub follow: bool,
    /// Show standard output.
    pub stdout: bool,
    /// Show standard error.
    pub stderr: bool,
    /// Only lines at or after this.
    pub since: Option<Timestamp>,
    /// Only lines up to this.
    pub until: Option<Timestamp>,
    /// Put the time of each line before it.
    pub timestamps: bool,
    /// Put the log attributes (`labels`, `env`) of each line before it.
    pub details: bool,
    /// Only the last so many lines; none means all.
    pub tail: Option<usize>,
}

/// `POST /containers/{id}/attach`.
#[derive(Clone, Debug, Default)]
pub struct AttachOptions {
    /// Stay attached to what comes from now on.
    pub stream: bool,
    /// Attach to standard input.
    pub stdin: bool,
    /// Attach to standard output.
    pub stdout: bool,
    /// Attach to standard error.
    pub stderr: bool,
    /// Replay the log first.
    pub logs: bool,
    /// The key sequence that detaches, such as `ctrl-p,ctrl-q`; none means that default.
    pub detach_keys: Option<String>,
}

/// `GET /events`.
#[derive(Clone, Debug, Default)]
pub struct EventsQuery {
    /// Replay what the ring still has since then.
    pub since: Option<Timestamp>,
    /// End the stream then.
    pub until: Option<Timestamp>,
    /// Docker's filters of `events`.
    pub filters: Filters,
}

/// A piece of a container's output.
pub type OutputChunk = (StreamKind, Bytes);

/// An attached client: what it types goes into `input`, what it sees comes out of `output`.
#[derive(Debug)]
pub struct AttachSession {
    /// Standard input; none when it was not asked for or the container has none. Dropping it is end of file.
    pub input: Option<mpsc::Sender<Bytes>>,
    /// Output until the container exits or the client detaches; the channel then ends.
    pub output: mpsc::Receiver<OutputChunk>,
    /// With a terminal the output goes to the client raw, else framed (stdcopy).
    pub tty: bool,
}

/// The answer to a request for logs.
#[derive(Debug)]
pub struct LogSession {
    /// Lines, in order; the channel ends when there are no more.
    pub output: mpsc::Receiver<OutputChunk>,
    /// With a terminal the output goes to the client raw, else framed (stdcopy).
    pub tty: bool,
}

/// A body produced or consumed piece by piece, from or in another thread.
pub type ByteStream = mpsc::Receiver<std::io::Result<Bytes>>;

/// When `POST /containers/{id}/wait` answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitCondition {
    /// At once when the container does not run.
    #[default]
    NotRunning,
    /// At the next exit, even when it does not run now.
    NextExit,
    /// When it has been removed.
    Removed,
}

/// `PUT /containers/{id}/archive`.
#[derive(Clone, Debug, Default)]
pub struct ArchivePutOptions {
    /// The directory in the container to unpack into.
    pub path: PathBuf,
    /// Refuse to replace a directory by a file or the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Who the container runs as owns the files, if it names a user; else the owners are the archive's.
    pub copy_uid_gid: bool,
}

/// `DELETE /containers/{id}`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Remove its anonymous volumes too.
    pub volumes: bool,
    /// Kill it first when it runs.
    pub force: bool,
    /// Remove a link instead of the container; links are not supported, so this is refused.
    pub link: bool,
}
