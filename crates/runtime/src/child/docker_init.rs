//! The first process of `docker run --init`: starts the program, passes signals on, reaps orphans.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitCode;

use sys::process::{self, Command, ExitStatus, Signal};
use sys::signal;

/// Runs `[--] PROGRAM ARGUMENTS` as a child and ends as it ends (128 and the number after a signal). Other options, for
/// which `docker run --init` has no use, are skipped.
pub fn docker_init(args: &[OsString]) -> ExitCode {
    let end_of_options = args.iter().position(|arg| arg == "--").map(|at| at + 1);
    let start = end_of_options.unwrap_or_else(|| {
        args.iter()
            .take_while(|arg| arg.as_encoded_bytes().starts_with(b"-"))
            .count()
    });
    let Some((program, arguments)) = args.get(start..).and_then(<[_]>::split_first) else {
        eprintln!("docker-init: no program given");
        return ExitCode::from(1);
    };
    match run(program, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("docker-init: {error}");
            ExitCode::from(match error.kind() {
                std::io::ErrorKind::NotFound => 127,
                std::io::ErrorKind::PermissionDenied => 126,
                _ => 1,
            })
        }
    }
}

fn run(program: &OsString, arguments: &[OsString]) -> sys::Result<u8> {
    // Faults of this program itself are not to be waited for.
    const FAULTS: [i32; 8] = [4, 5, 6, 7, 8, 11, 30, 31];
    let signals: Vec<i32> = (1..=signal::HIGHEST)
        .filter(|number| !FAULTS.contains(number))
        .collect();
    signal::block(&signals)?;
    // The program stays in the foreground process group of the terminal.
    let child = Command::new(program)
        .args(arguments)
        .inherit_group()
        .spawn()?;
    loop {
        let number = signal::wait(&signals)?;
        if number == Signal::CHLD.raw() {
            if let Some(status) = reap_all(child.pid())? {
                return Ok(code(status));
            }
        } else if let Some(signal) = Signal::from_raw(number) {
            // It may be gone: then SIGCHLD is next.
            let _ = child.pidfd().send_signal(signal);
        }
    }
}

/// Reaps every child that has ended; gives the status of `main` if it is among them.
fn reap_all(main: i32) -> sys::Result<Option<ExitStatus>> {
    let mut found = None;
    while let Some(pid) = process::waitid_any_nowait()? {
        let status = process::reap(pid)?;
        if pid == main {
            found = status;
        }
    }
    Ok(found)
}

fn code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(1)
}
