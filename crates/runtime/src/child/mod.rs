//! The child's side: the program that PID 1 starts for a container becomes the container.
//!
//! It has one thread and starts no other. Every error goes to the engine as a text over the control socket.

mod account;
mod create;
mod devices;
mod directory;
mod docker_init;
mod exec;
mod file_systems;
mod filter;
mod finish;
mod kernel;
mod look;
mod lookup;
mod mounts;
mod namespaces;
mod paths;
mod rootfs;
mod targets;
mod terminal;

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::process::ExitCode;

use serde::Serialize;
use sys::fdpass;
use sys::process::take_inherited_fd;

pub use account::Account;
pub use docker_init::docker_init;

use super::error::{Error, Result};
use super::nodes;
use super::protocol::{CGROUP_FD, CONTROL_FD, JOB_FD, Job, LONGEST_PART, Report, TARGET_FD};

/// Largest job, bytes (4 MiB: a specification with a thousand mounts has some 200 KiB).
const LARGEST_JOB: u64 = 4 * 1024 * 1024;

/// Which process this is at the end of the set-up.
enum Role {
    /// The container's process is another one; this one has done its work.
    Helper,
}

/// Entry point of `runtime VERB ...`: `docker-init ARGUMENTS` is the first process of `docker run --init`, all others are for the
/// engine's launcher only. Must be called before any thread is started.
pub fn main(args: &[OsString]) -> ExitCode {
    match args.first().and_then(|verb| verb.to_str()) {
        Some("docker-init") => docker_init(&args[1..]),
        Some(
            "create" | "exec" | "look" | "read" | "account" | "nodes" | "mount" | "unmount"
            | "measure",
        ) => match take_inherited_fd(CONTROL_FD).map(|socket| Engine { socket }) {
            Ok(engine) => work(&engine),
            Err(error) => usage(&error.to_string()),
        },
        _ => usage("no such verb"),
    }
}

fn usage(error: &str) -> ExitCode {
    eprintln!("runtime: {error}: it is started by the engine only");
    ExitCode::from(2)
}

fn work(engine: &Engine) -> ExitCode {
    let outcome = read_job().and_then(|job| match job {
        Job::Create {
            bundle,
            spec,
            has_cgroup,
        } => {
            let cgroup = take_if(has_cgroup, CGROUP_FD)?;
            create::run(engine, std::path::Path::new(&bundle), &spec, cgroup)
        }
        Job::Exec {
            process,
            seccomp,
            has_cgroup,
        } => {
            let target = take_inherited_fd(TARGET_FD)?;
            let cgroup = take_if(has_cgroup, CGROUP_FD)?;
            exec::run(engine, target, *process, seccomp.as_ref(), cgroup)
        }
        Job::Look { paths } => look::run(engine, &paths),
        Job::Read { paths } => look::read(engine, &paths),
        Job::Account { root, text } => engine.answer(&account::account_in(&root, &text)?),
        Job::Nodes { paths } => engine.answer(&nodes::of_all(&paths)),
        Job::Mount(wanted) => engine.answer(&file_systems::mount(&wanted)?),
        Job::Unmount { target } => engine.answer(&file_systems::unmount(&target)?),
        Job::Measure { directory } => engine.answer(&file_systems::measure(engine, &directory)?),
    });
    match outcome {
        Ok(Role::Helper) => ExitCode::SUCCESS,
        Err(error) => {
            // If the engine is gone there is nobody to tell.
            let _ = engine.report(&Report::Failed(error), &[]);
            ExitCode::FAILURE
        }
    }
}

fn take_if(present: bool, number: i32) -> Result<Option<OwnedFd>> {
    Ok(if present {
        Some(take_inherited_fd(number)?)
    } else {
        None
    })
}

fn read_job() -> Result<Job> {
    let mut bytes = Vec::new();
    let job = File::from(take_inherited_fd(JOB_FD)?);
    job.take(LARGEST_JOB)
        .read_to_end(&mut bytes)
        .map_err(|e| Error::other(format!("read the job: {e}")))?;
    json_reader::from_slice(&bytes).map_err(|e| Error::other(format!("read the job: {e}")))
}

/// The engine, at the other end of the control socket.
struct Engine {
    socket: OwnedFd,
}

impl Engine {
    fn report(&self, report: &Report, fds: &[BorrowedFd<'_>]) -> Result<()> {
        fdpass::send(&self.socket, &report.encode(), fds)
            .map_err(|e| Error::other(format!("report: {e}")))
    }

    /// Says what a job came to.
    fn answer(&self, answer: &impl Serialize) -> Result<Role> {
        let text = serde_json::to_vec(answer)
            .map_err(|e| Error::other(format!("write the answer: {e}")))?;
        self.parts(&text)?;
        Ok(Role::Helper)
    }

    /// Says a text of any length.
    fn parts(&self, text: &[u8]) -> Result<()> {
        for part in text.chunks(LONGEST_PART) {
            self.report(&Report::Part(part.to_vec()), &[])?;
        }
        self.report(&Report::Part(Vec::new()), &[])
    }

    /// Waits for a word of the engine. That the engine is gone, or gave up, is an error: the process then ends.
    fn expect(&self, word: &[u8]) -> Result<()> {
        let message = fdpass::recv(&self.socket)
            .map_err(|e| Error::other(format!("wait for the engine: {e}")))?;
        if message.bytes == word {
            Ok(())
        } else {
            Err(Error::other("the engine has given up"))
        }
    }
}

/// Assembles a filter without installing it.
///
/// # Errors
/// When the profile cannot be expressed; the text says where.
pub fn check_filter(seccomp: &super::oci::Seccomp) -> Result<()> {
    filter::build(seccomp).map(drop)
}
