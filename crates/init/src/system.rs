//! The second half of the boot and the normal run: PID 1 as the container engine.
//!
//! One thread, one event loop: the API, the services and the requests to end all run in it.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use engine::{Engine, EngineOptions};
use sys::clock;
use tokio::net::UnixListener;
use tokio::task::LocalSet;

use crate::boot::{ENGINE_PHASES, PHASES, TOTAL};
use crate::machine::{MEDIA, Machine};
use crate::phase::{self, Fatal, Record};
use crate::power::Requests;
use crate::{log, rescue, root, services, shutdown};

/// The engine's state; on the state partition when there is one.
const ENGINE_ROOT: &str = "/var/lib/system-docker";
/// Mounts and bundles of running containers.
const ENGINE_RUN: &str = "/run/system-docker";
/// System Docker's socket.
pub(crate) const SOCKET: &str = "/run/system-docker.sock";
/// Where `ros boot blame` finds the trace.
const TRACE: &str = "/run/rancher/boot.json";

/// Threads for file work that would hold up the event loop; each costs a stack when it is used.
const BLOCKING_THREADS: usize = 4;

/// Runs the engine until the machine is to leave.
pub(crate) fn run(machine: Machine) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| log::error(&format!("contained {panic}"))));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let fatal = match runtime {
        Ok(runtime) => match LocalSet::new().block_on(&runtime, live(machine.clone())) {
            Ok(never) => match never {},
            Err(error) => Fatal {
                phase: ENGINE_PHASES[0],
                reason: format!("{error:#}"),
            },
        },
        Err(error) => Fatal {
            phase: ENGINE_PHASES[0],
            reason: format!("no event loop: {error}"),
        },
    };
    rescue::shell(&fatal, &machine)
}

/// Starts the engine and the services, then serves until a request to leave.
///
/// # Errors
/// Only when the engine itself cannot start; a bad service is reported and the rest goes on.
async fn live(mut machine: Machine) -> anyhow::Result<Infallible> {
    let mut requests = Requests::listen().context("cannot listen for signals")?;
    let mut trace = Trace::new(std::mem::take(&mut machine.trace));

    let start_s = clock::boottime().as_secs_f64();
    let engine = start_engine(&machine).await?;
    trace.end(Record::ended(ENGINE_PHASES[0], start_s, None));

    let deadline = shutdown_deadline(&machine);
    let mut launch = services::Launch::new(&engine, &machine);
    let start_s = clock::boottime().as_secs_f64();
    let action = tokio::select! {
        () = launch.run() => None,
        action = requests.next() => Some(action),
    };
    trace.end(Record::ended(ENGINE_PHASES[1], start_s, launch.errors()));
    let action = match action {
        Some(action) => action,
        None => {
            // Containers that the user made on System Docker, by their restart policies.
            engine.resume();
            trace.end(Record::ended(
                ENGINE_PHASES[2],
                clock::boottime().as_secs_f64(),
                None,
            ));
            requests.next().await
        }
    };
    Ok(shutdown::finish(&engine, action, deadline).await)
}

async fn start_engine(machine: &Machine) -> anyhow::Result<Engine> {
    let mut options = EngineOptions::new(ENGINE_ROOT.into(), ENGINE_RUN.into());
    options.program = root::PROGRAM.into();
    let engine = Engine::new(options)
        .await
        .context("cannot start the engine")?;
    if machine.media.is_some() {
        for error in engine
            .images()
            .add_media(&Path::new(MEDIA).join("rancheros"))
        {
            log::error(&format!("system image: {error}"));
        }
    }
    let listener =
        UnixListener::bind(SOCKET).with_context(|| format!("cannot listen on {SOCKET}"))?;
    // The owner of the socket is the owner of the machine (Docker's rule for its own socket).
    sys::fs::set_mode(Path::new(SOCKET), 0o660)?;
    tokio::task::spawn_local(engine::api::serve(engine.clone(), listener));
    Ok(engine)
}

fn shutdown_deadline(machine: &Machine) -> Duration {
    machine
        .config
        .rancher
        .shutdown_timeout
        .map_or(shutdown::DEFAULT_DEADLINE, |seconds| {
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).max(shutdown::LEAST_DEADLINE)
        })
}

/// The boot's records, written where `ros boot blame` reads them.
struct Trace(Vec<Record>);

impl Trace {
    fn new(records: Vec<Record>) -> Trace {
        Trace(records)
    }

    fn end(&mut self, record: Record) {
        let number = PHASES.len() + 1 + self.0.len().saturating_sub(PHASES.len());
        phase::announce(number.min(TOTAL), TOTAL, &record);
        self.0.push(record);
        // A lost trace is no reason to stop a boot.
        let written = serde_json::to_vec(&self.0)
            .map_err(std::io::Error::other)
            .and_then(|text| fs::write(TRACE, text));
        if let Err(error) = written {
            log::warning(&format!("boot trace: cannot write {TRACE}: {error}"));
        }
    }
}
