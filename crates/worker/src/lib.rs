//! The engine's worker: what PID 1 must not do itself, in its own program, one process a task.
//!
//! A worker talks to registries, and packs and unpacks archives; it ends with its task, with the engine, or when the engine
//! kills it. Standard input: one line of JSON ([`Request`]), then the archive if the task reads one. Standard output: the
//! archive if the task writes one. Descriptor 3: answers, one JSON object a line. Its one argument is the version of
//! all this, because the engine's program can be replaced while the worker's cannot.
//!
//! **Belongs here:** the tasks, and how a process gives up what its task does not need.
//!
//! **Not here:** this crate does not know containers or Docker's API, and decides nothing: the engine says what to do, and where.
//!
//! **May import:** `oci-image`, `oci-transfer`, `sys` of our crates.

mod confine;
mod copy;
mod files;
mod tasks;
mod view;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use oci_image::{Error, Result};

use oci_image::task::{ANSWERS_FD, Answer, LINE_MAX, Outcome, PROTOCOL, Request};

/// Entry point of the worker; `arguments` without the program's name.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    // without the engine nobody registers the result
    if let Err(error) = sys::process::set_pdeathsig(sys::process::Signal::KILL) {
        eprintln!("worker: {error}");
        return ExitCode::FAILURE;
    }
    let answers = match sys::process::take_inherited_fd(ANSWERS_FD) {
        Ok(fd) => File::from(fd),
        Err(error) => {
            eprintln!("worker: is started by the engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    let protocol = arguments.next().unwrap_or_default();
    let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
    if serve(Place::Process, &protocol, input, output, answers) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Where a task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In its own process, which gives up all rights that the task does not need.
    Process,
    /// In a thread of a test, which gives up nothing. Tasks about files of containers are refused.
    Thread,
}

/// Reads a request of an engine that speaks `protocol`, does it and answers; tells whether it worked.
pub fn serve(
    place: Place,
    protocol: &OsStr,
    input: impl Read,
    output: impl Write,
    answers: impl Write + Send,
) -> bool {
    let answers = Answers(Mutex::new(answers));
    let done = check(protocol).and_then(|()| run(place, input, output, &answers));
    let last = match done {
        Ok(outcome) => Answer::Done(Box::new(outcome)),
        Err(error) => Answer::Failed {
            status: error.status(),
            message: error.to_string(),
        },
    };
    answers.send(&last);
    matches!(last, Answer::Done(_))
}

fn check(protocol: &OsStr) -> Result<()> {
    if protocol == PROTOCOL {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "this machine's worker speaks version {PROTOCOL} and the engine {}: reboot into one release",
        protocol.display()
    )))
}

fn run<W: Write + Send>(
    place: Place,
    input: impl Read,
    output: impl Write,
    answers: &Answers<W>,
) -> Result<Outcome> {
    let mut input = BufReader::with_capacity(128 * 1024, input);
    let mut line = Vec::new();
    input
        .by_ref()
        .take(LINE_MAX as u64)
        .read_until(b'\n', &mut line)
        .map_err(|error| Error::io("read the request", error))?;
    let request: Request = serde_json::from_slice(&line)
        .map_err(|error| Error::invalid(format!("malformed worker request: {error}")))?;
    let world = match place {
        Place::Process => Some(confine::confine(&request)?),
        Place::Thread => None,
    };
    let say = |answer: Answer| answers.send(&answer);
    tasks::run(&request, world.as_ref(), input, output, &say)
}

/// Writes answers from several threads, whole lines only.
struct Answers<W>(Mutex<W>);

impl<W: Write> Answers<W> {
    fn send(&self, answer: &Answer) {
        let Ok(mut line) = serde_json::to_vec(answer) else {
            return;
        };
        line.push(b'\n');
        let mut out = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // the engine has gone away: its death kills this process too
        let _ = out.write_all(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_request_is_answered() {
        let mut answers = Vec::new();
        let protocol = OsStr::new(PROTOCOL);
        assert!(!serve(
            Place::Thread,
            protocol,
            &b"{}\n"[..],
            std::io::sink(),
            &mut answers
        ));
        let answer: Answer = serde_json::from_slice(&answers).unwrap();
        assert!(matches!(answer, Answer::Failed { status: 500, .. }));
    }

    #[test]
    fn an_engine_of_another_version_is_told_so() {
        let mut answers = Vec::new();
        let input = std::io::empty();
        assert!(!serve(
            Place::Thread,
            OsStr::new("0"),
            input,
            std::io::sink(),
            &mut answers
        ));
        let text = String::from_utf8(answers).unwrap();
        assert!(text.contains("speaks version 2 and the engine 0"), "{text}");
    }
}
