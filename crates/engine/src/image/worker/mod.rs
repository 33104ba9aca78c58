//! Worker processes: a program beside the engine's own, for what PID 1 must not do itself.
//!
//! A worker talks to registries and parses archives; it ends with its task, with the engine, or when the engine kills it.
//! Standard input: one line of JSON ([`request::Request`]), then the archive if the task reads one. Standard output: the
//! archive if the task writes one. Descriptor 3: answers, one JSON object a line. Its one argument is the version of
//! all this, because the engine's program can be replaced while the worker's cannot.

pub(crate) mod client;
pub(crate) mod request;
mod tasks;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use engine_api::{ProgressDetail, ProgressMessage};
use oci_image::progress::Progress;
use oci_image::{Error, Result};

use request::{Answer, LINE_MAX, Request};

/// Descriptor of the answers.
pub(crate) const ANSWERS_FD: i32 = 3;

/// Version of what engine and worker say to each other. Raise it when a worker could misunderstand a request.
pub(crate) const PROTOCOL: &str = "1";

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
    if serve(&protocol, input, output, answers) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Reads a request of an engine that speaks `protocol`, does it and answers; tells whether it worked.
pub(crate) fn serve(
    protocol: &OsStr,
    input: impl Read,
    output: impl Write,
    answers: impl Write + Send,
) -> bool {
    let answers = Answers(Mutex::new(answers));
    let done = check(protocol).and_then(|()| run(input, output, &answers));
    let last = match done {
        Ok(outcome) => Answer::Done(outcome),
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
    input: impl Read,
    output: impl Write,
    answers: &Answers<W>,
) -> Result<request::Outcome> {
    let mut input = BufReader::with_capacity(128 * 1024, input);
    let mut line = Vec::new();
    input
        .by_ref()
        .take(LINE_MAX as u64)
        .read_until(b'\n', &mut line)
        .map_err(|error| Error::io("read the request", error))?;
    let request: Request = serde_json::from_slice(&line)
        .map_err(|error| Error::invalid(format!("malformed worker request: {error}")))?;
    tasks::run(&request, input, output, &|progress| {
        answers.send(&Answer::Progress(message(progress)));
    })
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

/// Progress as Docker's clients read it.
fn message(progress: Progress) -> ProgressMessage {
    let detail = match (progress.current, progress.total) {
        (Some(current), total) => Some(ProgressDetail {
            current: i64::try_from(current).unwrap_or(i64::MAX),
            total: i64::try_from(total.unwrap_or(0)).unwrap_or(i64::MAX),
        }),
        (None, _) if progress.id.is_empty() || progress.status.starts_with("Pulling from") => None,
        (None, _) => Some(ProgressDetail::default()),
    };
    ProgressMessage {
        progress: detail.as_ref().map_or_else(String::new, bar),
        status: progress.status,
        id: progress.id,
        progress_detail: detail,
        ..ProgressMessage::default()
    }
}

/// The bar that clients without a terminal of their own print: `[=====>     ]  1.5MB/3MB`.
fn bar(detail: &ProgressDetail) -> String {
    const WIDTH: i64 = 50;
    if detail.current <= 0 {
        return String::new();
    }
    if detail.total <= 0 {
        return human(detail.current);
    }
    let done =
        usize::try_from((detail.current * WIDTH / detail.total).clamp(0, WIDTH)).unwrap_or(0);
    let left = 50 - done;
    let arrow = if left > 0 { ">" } else { "" };
    let dashes = "=".repeat(done);
    let spaces = " ".repeat(left.saturating_sub(1));
    format!(
        "[{dashes}{arrow}{spaces}]  {}/{}",
        human(detail.current),
        human(detail.total)
    )
}

/// A size with four digits at most, in powers of 1000.
fn human(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let decimals = match size {
        _ if unit == 0 => 0,
        size if size < 10.0 => 3,
        size if size < 100.0 => 2,
        _ => 1,
    };
    let text = format!("{size:.decimals$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_look_like_dockers() {
        let bar = |current, total| bar(&ProgressDetail { current, total });
        assert_eq!(bar(0, 100), "");
        assert_eq!(bar(512, 0), "512B");
        assert_eq!(
            bar(1_500_000, 3_000_000),
            format!("[{}>{}]  1.5MB/3MB", "=".repeat(25), " ".repeat(24))
        );
        assert_eq!(bar(2000, 2000), format!("[{}]  2kB/2kB", "=".repeat(50)));
    }

    #[test]
    fn a_malformed_request_is_answered() {
        let mut answers = Vec::new();
        let protocol = OsStr::new(PROTOCOL);
        assert!(!serve(
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
            OsStr::new("0"),
            input,
            std::io::sink(),
            &mut answers
        ));
        let text = String::from_utf8(answers).unwrap();
        assert!(text.contains("speaks version 1 and the engine 0"), "{text}");
    }
}
