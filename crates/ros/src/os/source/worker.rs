//! Asks a registry through the program `worker`, which has no right of this process and ends with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use oci_image::progress::Progress;
use oci_image::task::{ANSWERS_FD, Answer, LINE_MAX, Outcome, PROTOCOL, Request, Task, UNVERIFIED};
use sys::process::{CloneOptions, SpawnIn, spawn_in};

use crate::os::failure::Failure;

/// Where PID 1 has put it.
const WORKER: &str = "/usr/lib/rancher/worker";

/// Has a worker do `task`; `say` takes its progress.
///
/// # Errors
/// [`Failure::Verification`] when a registry gave something else than it should, else [`Failure::Download`].
pub(super) fn ask(task: Task, say: &mut dyn FnMut(&Progress)) -> anyhow::Result<Outcome> {
    ask_program(Path::new(WORKER), task, say)
}

fn ask_program(
    program: &Path,
    task: Task,
    say: &mut dyn FnMut(&Progress),
) -> anyhow::Result<Outcome> {
    let request = Request {
        task,
        // These tasks have no store of images
        root: PathBuf::new(),
        external: Default::default(),
    };
    let mut line = serde_json::to_vec(&request).context("cannot write a request")?;
    line.push(b'\n');
    let (answers, mut input) = start(program)?;
    // A worker that cannot be started does not listen either, and what it says is the reason.
    let asked = input.write_all(&line);
    drop(input);
    let mut reader = BufReader::new(answers);
    loop {
        let mut line = String::new();
        let length = std::io::Read::take(&mut reader, LINE_MAX as u64)
            .read_line(&mut line)
            .context("cannot hear the worker")?;
        if length == 0 {
            asked.context("the worker does not listen")?;
            bail!("the worker ended without an answer");
        }
        if line.starts_with('!') {
            bail!("{} cannot be started", program.display());
        }
        match serde_json::from_str(&line).context("the worker answers nonsense")? {
            Answer::Progress(progress) => say(&progress),
            Answer::Stat(_) => {}
            Answer::Done(outcome) => return Ok(*outcome),
            Answer::Failed { status, message } => {
                let kind = if status == UNVERIFIED {
                    Failure::Verification
                } else {
                    Failure::Download
                };
                return Err(anyhow!(message).context(kind));
            }
        }
    }
}

/// Starts it: what it says, and its standard input.
fn start(program: &Path) -> anyhow::Result<(UnixStream, std::io::PipeWriter)> {
    let (answers, theirs) = UnixStream::pair().context("cannot make a socket")?;
    let (input, writer) = std::io::pipe().context("cannot make a pipe")?;
    let nothing = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .context("cannot open /dev/null")?;
    // Proxies, by the variables that every client of registries knows
    let environment = sys::process::environment();
    let environment: Vec<&OsStr> = environment.iter().map(|word| word.as_os_str()).collect();
    spawn_in(&SpawnIn {
        program,
        argv: &[program.as_os_str(), OsStr::new(PROTOCOL)],
        env: &environment,
        options: CloneOptions::default(),
        fds: &[
            (input.as_fd(), 0),
            (nothing.as_fd(), 1),
            (nothing.as_fd(), 2),
            (theirs.as_fd(), ANSWERS_FD),
        ],
        report: ANSWERS_FD,
        wait_for_go: false,
    })
    .with_context(|| format!("cannot start {}", program.display()))?;
    Ok((answers, writer))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use oci_image::registry::{Credentials, RegistryOptions};
    use oci_image::task::Question;
    use sys::process::Command;

    use super::*;

    /// Asks a program of /bin/sh, which has the answers' descriptor as the worker has it.
    fn ask_script(answer: &str) -> (anyhow::Result<Outcome>, Vec<Option<u64>>) {
        let folder = tempfile::tempdir().unwrap();
        let (written, program) = (folder.path().join("written"), folder.path().join("worker"));
        let text = format!("#!/bin/sh\nread request\ncase $request in *tags*) {answer};; esac\n");
        fs::write(&written, text).unwrap();
        // A child that another test forks has what this process has open for writing: it would be busy (ETXTBSY of execve(2)).
        let install = Command::new("install").args(["-m", "755"]);
        let installed = install.arg(&written).arg(&program).run().unwrap();
        assert!(installed.status.success());
        let task = Task::Tags(Question {
            reference: "r.example/os".to_owned(),
            registry: RegistryOptions::default(),
            credentials: Credentials::default(),
        });
        let mut seen = Vec::new();
        let result = ask_program(&program, task, &mut |progress| seen.push(progress.current));
        (result, seen)
    }

    #[test]
    fn answers_are_taken_and_failures_told_apart() {
        let done = r#"echo '{"progress":{"id":"a","status":"Downloading","current":5,"total":9}}' >&3;
            echo '{"done":{"images":[],"layer":null,"tags":["v1.0"]}}' >&3"#;
        let (outcome, seen) = ask_script(done);
        assert_eq!(outcome.unwrap().tags, ["v1.0"]);
        assert_eq!(seen, [Some(5)]);
        for (status, kind) in [
            (UNVERIFIED, Failure::Verification),
            (500, Failure::Download),
        ] {
            let failed = format!(r#"echo '{{"failed":{{"status":{status},"message":"no"}}}}' >&3"#);
            let error = ask_script(&failed).0.unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&kind));
            assert!(format!("{error:#}").ends_with(": no"), "{error:#}");
        }
        let error = ask_script("exit 1").0.unwrap_err();
        assert_eq!(error.to_string(), "the worker ended without an answer");
        let error = ask_script("echo nonsense >&3").0.unwrap_err();
        assert_eq!(error.to_string(), "the worker answers nonsense");
        let none = ask_program(Path::new("/nonexistent/worker"), Task::Load, &mut |_| ());
        assert_eq!(
            none.unwrap_err().to_string(),
            "/nonexistent/worker cannot be started"
        );
    }
}
