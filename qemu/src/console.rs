//! A guest's serial console: everything it printed, waiting for a line, and typing into it.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// What no boot may print: a test passes only if none of these is in its console.
///
/// The first list of this kind is CoreOS's kola; ours adds Rust's panic and drops systemd's.
pub(crate) const FORBIDDEN: &[&str] = &[
    "Kernel panic",
    "Oops:",
    "BUG:",
    "WARNING: CPU",
    "WARNING: possible",
    "segfault at",
    "general protection fault",
    "panicked at",
    "contained panic",
    "EXT4-fs error",
    "SQUASHFS error",
    "I/O error",
    "blocked for more than",
    "rcu_sched self-detected stall",
    "rcu_preempt self-detected stall",
    "oom-kill:",
    "Out of memory:",
    "Attempted to kill init",
];

/// How many of the last lines a failure shows.
const SHOWN_LINES: usize = 25;

/// The reading end is a separate thread, so that nothing is lost while a test does other things.
#[derive(Debug)]
pub(crate) struct Console {
    shared: Arc<Shared>,
    writer: UnixStream,
    log: PathBuf,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Reads QEMU's serial socket and keeps a copy of all output in `log`.
    pub(crate) fn new(writer: UnixStream, log: &Path) -> anyhow::Result<Console> {
        let mut reader = writer.try_clone().context("cannot clone the console")?;
        let mut copy = std::fs::File::create(log)
            .with_context(|| format!("cannot create {}", log.display()))?;
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count) = reader.read(&mut buffer) {
                if count == 0 {
                    break;
                }
                // The log is for people; a full disk must not fail a test.
                let _ = copy.write_all(&buffer[..count]);
                ours.lock()
                    .text
                    .push_str(&String::from_utf8_lossy(&buffer[..count]));
                ours.changed.notify_all();
            }
            ours.lock().closed = true;
            ours.changed.notify_all();
        });
        Ok(Console {
            shared,
            writer,
            log: log.to_owned(),
        })
    }

    /// The current end of the output: a mark for [`Console::wait_after`].
    pub(crate) fn mark(&self) -> usize {
        self.shared.lock().text.len()
    }

    /// Waits until the whole output contains `text`.
    pub(crate) fn wait(&self, text: &str, deadline: Duration) -> anyhow::Result<()> {
        self.wait_after(0, text, deadline)
    }

    /// Waits until the output after `mark` contains `text`.
    ///
    /// # Errors
    /// With the last lines when the deadline passes or the guest ends first.
    pub(crate) fn wait_after(
        &self,
        mark: usize,
        text: &str,
        deadline: Duration,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + deadline;
        let mut state = self.shared.lock();
        loop {
            if state
                .text
                .get(mark..)
                .is_some_and(|output| output.contains(text))
            {
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                let why = if state.closed {
                    "the guest ended"
                } else {
                    "the deadline passed"
                };
                drop(state);
                bail!("{why} before the console said {text:?}\n{}", self.tail());
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until QEMU closes the console: the machine is off.
    pub(crate) fn wait_closed(&self, deadline: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + deadline;
        let mut state = self.shared.lock();
        while !state.closed {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                bail!(
                    "the machine is not off after {} s\n{}",
                    deadline.as_secs(),
                    self.tail()
                );
            }
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(())
    }

    /// Types a line, as an operator at the terminal would.
    pub(crate) fn type_line(&self, line: &str) -> anyhow::Result<()> {
        self.type_keys(&format!("{line}\n"))
    }

    /// Types what these characters are at a terminal.
    pub(crate) fn type_keys(&self, keys: &str) -> anyhow::Result<()> {
        (&self.writer)
            .write_all(keys.as_bytes())
            .context("cannot type into the console")
    }

    /// Everything printed so far.
    pub(crate) fn text(&self) -> String {
        self.shared.lock().text.clone()
    }

    /// The first line that holds one of [`FORBIDDEN`], except where it holds one of `allowed`.
    pub(crate) fn forbidden_line(&self, allowed: &[&str]) -> Option<String> {
        first_forbidden(&self.text(), allowed).map(str::to_owned)
    }

    /// The last lines and where the rest is.
    pub(crate) fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n  ");
        format!(
            "last lines of the console ({}):\n  {shown}",
            self.log.display()
        )
    }
}

fn first_forbidden<'a>(text: &'a str, allowed: &[&str]) -> Option<&'a str> {
    let holds = |line: &str, texts: &[&str]| texts.iter().any(|text| line.contains(text));
    text.lines()
        .find(|line| holds(line, FORBIDDEN) && !holds(line, allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_allowed_by_any_part_of_it() {
        let text = "fine\noom-kill:constraint=CONSTRAINT_MEMCG,cpuset=a\noom-kill:constraint=CONSTRAINT_NONE\n";
        assert_eq!(
            first_forbidden(text, &["constraint=CONSTRAINT_MEMCG"]),
            Some("oom-kill:constraint=CONSTRAINT_NONE")
        );
        assert_eq!(first_forbidden(text, &["oom-kill:"]), None);
        assert_eq!(first_forbidden("fine\n", &[]), None);
    }
}
