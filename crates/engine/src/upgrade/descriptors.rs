//! Descriptors that stay open over execve(2), and the streams behind them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::{Rc, Weak};

use engine_api::{Error, Result, base64};

use super::Inheritance;
use super::state::StreamState;
use crate::io::{Descriptors, Ends, Pumps, Streams};

/// What the next program is to find open.
#[derive(Default)]
pub(crate) struct Kept(Vec<Rc<dyn AsFd>>);

impl Kept {
    /// Keeps a file; its number.
    pub(crate) fn keep(&mut self, file: Rc<dyn AsFd>) -> i32 {
        let number = file.as_fd().as_raw_fd();
        self.0.push(file);
        number
    }

    fn keep_end<E: AsFd + 'static>(&mut self, end: &Weak<E>) -> Option<i32> {
        Some(self.keep(end.upgrade()?))
    }

    /// A second descriptor of a file that is kept.
    ///
    /// # Errors
    /// Too many open files.
    pub(crate) fn copy(&self, number: i32) -> Result<OwnedFd> {
        let file = self
            .0
            .iter()
            .find(|file| file.as_fd().as_raw_fd() == number)
            .ok_or_else(|| Error::server(format!("descriptor {number} is not kept")))?;
        file.as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::server(format!("copy descriptor {number}: {error}")))
    }

    /// Their numbers.
    pub(crate) fn numbers(&self) -> Vec<i32> {
        self.0.iter().map(|file| file.as_fd().as_raw_fd()).collect()
    }

    /// Whether execve(2) leaves them open.
    ///
    /// # Errors
    /// Never for open files.
    pub(crate) fn set(&self, keep: bool) -> sys::Result<()> {
        self.0
            .iter()
            .try_for_each(|file| sys::process::keep_at_exec(file.as_fd(), keep))
    }
}

/// The streams of a running process, as the next program needs them.
pub(crate) fn carry(streams: &Streams, ends: &Ends, kept: &mut Kept) -> StreamState {
    let unfinished = streams
        .log
        .as_ref()
        .map(|log| log.unfinished())
        .unwrap_or_default();
    StreamState {
        stdin: kept.keep_end(&ends.stdin),
        stdout: kept.keep_end(&ends.stdout),
        stderr: kept.keep_end(&ends.stderr),
        terminal: kept.keep_end(&ends.terminal),
        stdin_closed: streams.stdin_closed(),
        unfinished: unfinished.map(|text| base64::encode(&text)),
    }
}

/// Pumps over inherited descriptors. The log goes on with the lines that have begun.
///
/// # Errors
/// When a descriptor is not there, or the log cannot be opened.
pub(crate) fn revive(
    state: &StreamState,
    streams: &Rc<Streams>,
    inheritance: &Inheritance,
) -> Result<Pumps> {
    let failed = |error: std::io::Error| Error::server(format!("take over streams: {error}"));
    if let Some(log) = &streams.log {
        log.open().map_err(failed)?;
        let [stdout, stderr] = &state.unfinished;
        log.set_unfinished([base64::decode(stdout)?, base64::decode(stderr)?]);
    }
    if state.stdin_closed {
        streams.set_stdin_closed();
    }
    if let Some(number) = state.terminal {
        return Pumps::over_terminal(streams, inheritance.descriptor(number)?).map_err(failed);
    }
    let open = |number: Option<i32>| {
        number
            .map(|number| inheritance.descriptor(number))
            .transpose()
    };
    let descriptors = Descriptors {
        stdin: open(state.stdin)?,
        stdout: open(state.stdout)?,
        stderr: open(state.stderr)?,
    };
    Pumps::over_pipes(streams, descriptors).map_err(failed)
}
