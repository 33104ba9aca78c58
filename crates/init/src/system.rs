//! The second half of the boot and the normal run: PID 1 as the container engine.
//!
//! One thread, one event loop: the API, the services and the requests to end all run in it.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use engine::upgrade::Inheritance;
use engine::{Engine, EngineOptions};
use sys::clock;
use sys::reboot::Action;
use tokio::net::UnixListener;

use crate::apply::Applier;
use crate::boot::{ENGINE_PHASES, PHASES, TOTAL};
use crate::event_loop::block_on;
use crate::installed::Installed;
use crate::machine::{MEDIA, Machine};
use crate::owner::{Booted, Owner};
use crate::phase::{self, Fatal, Record};
use crate::power::Requests;
use crate::{
    log, registries, rescue, root, schedule, services, shutdown, timeline, trial, watchdog,
};

/// The engine's state; on the state partition when there is one.
const ENGINE_ROOT: &str = "/var/lib/system-docker";
/// Mounts and bundles of running containers.
const ENGINE_RUN: &str = "/run/system-docker";
/// System Docker's socket.
pub(crate) const SOCKET: &str = "/run/system-docker.sock";
/// Where `ros boot blame` finds the trace.
const TRACE: &str = "/run/rancher/boot.json";

/// Runs the engine until the machine is to leave.
pub(crate) fn run(machine: Machine) -> ExitCode {
    let error = match block_on(live(machine.clone())) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    let fatal = Fatal {
        phase: ENGINE_PHASES[0],
        reason: format!("{error:#}"),
    };
    rescue::shell(&fatal, &machine)
}

/// Goes on where an earlier program of PID 1 stopped, until the machine is to leave.
///
/// # Errors
/// Before the commitment: nothing has happened yet, and the earlier program can go on.
pub(crate) fn go_on(booted: Booted, inheritance: Rc<Inheritance>) -> anyhow::Result<()> {
    let never = block_on(async {
        watchdog::take_over(inheritance.owned()?);
        let mut requests = Requests::listen().context("cannot listen for signals")?;
        let engine = Engine::inherit(engine_options(), &inheritance)
            .context("cannot take the engine over")?;
        add_booted_slot(&engine);
        add_media(&engine, booted.media);
        let listener = inheritance.listener()?;
        inheritance.commit();
        let trial_end = booted.trial_end.unwrap_or_else(|| trial::end(None));
        let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
        let overdue = trial::overdue(line, trial_end);
        engine_api::tasks::spawn(watchdog::feed_from_loop());
        log::info("engine: a new program has taken over");
        engine_api::tasks::spawn(engine_server::serve(engine.clone(), listener));
        let applier = Applier::go_on(&engine);
        engine_api::tasks::spawn(schedule::run(engine.clone()));
        let booted = Booted {
            trial_end: Some(trial_end),
            ..booted
        };
        engine.allow_upgrades(Owner::Machine(booted).to_json(), watchdog::descriptors);
        let action = tokio::select! {
            action = requests.next() => action,
            () = overdue => Action::Reboot,
        };
        engine.forbid_upgrades();
        Ok(shutdown::finish(&engine, action, applier.shutdown_deadline()).await)
    })?;
    match never {}
}

/// Starts the engine and the services, then serves until a request to leave.
///
/// # Errors
/// Only when the engine itself cannot start; a bad service is reported and the rest goes on.
async fn live(mut machine: Machine) -> anyhow::Result<Infallible> {
    let mut requests = Requests::listen().context("cannot listen for signals")?;
    engine_api::tasks::spawn(watchdog::feed_from_loop());
    let mut trace = Trace::new(std::mem::take(&mut machine.trace));

    let start_s = clock::boottime().as_secs_f64();
    let engine = start_engine(&machine).await?;
    timeline::record(&engine);
    trace.end(Record::ended(ENGINE_PHASES[0], start_s, None));

    let mut launch = services::Launch::new(&engine, &machine);
    set_registries(&engine, &machine);
    let of_launch = engine.clone();
    launch.on_configuration(move |machine| set_registries(&of_launch, machine));
    let start_s = clock::boottime().as_secs_f64();
    let trial_end = trial::end(machine.config.rancher.upgrade.timeout);
    let mut overdue = std::pin::pin!(trial::overdue(machine.command_line.clone(), trial_end));
    let action = tokio::select! {
        () = launch.run(&mut machine) => None,
        action = requests.next() => Some(action),
        () = &mut overdue => Some(Action::Reboot),
    };
    let deadline = shutdown_deadline(&machine);
    trace.end(Record::ended(ENGINE_PHASES[1], start_s, launch.errors()));
    let mut applier = None;
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
            let booted = Booted {
                media: machine.media.is_some(),
                shutdown_deadline: deadline,
                trial_end: Some(trial_end),
            };
            applier = Some(Applier::start(&engine, machine.clone()));
            engine_api::tasks::spawn(schedule::run(engine.clone()));
            engine.allow_upgrades(Owner::Machine(booted).to_json(), watchdog::descriptors);
            tokio::select! {
                action = requests.next() => action,
                () = &mut overdue => Action::Reboot,
            }
        }
    };
    engine.forbid_upgrades();
    let deadline = applier.map_or(deadline, |applier| applier.shutdown_deadline());
    Ok(shutdown::finish(&engine, action, deadline).await)
}

async fn start_engine(machine: &Machine) -> anyhow::Result<Engine> {
    let engine = Engine::new(engine_options())
        .await
        .context("cannot start the engine")?;
    add_media(&engine, machine.media.is_some());
    let listener =
        UnixListener::bind(SOCKET).with_context(|| format!("cannot listen on {SOCKET}"))?;
    // The owner of the socket is the owner of the machine (Docker's rule for its own socket).
    sys::fs::set_mode(Path::new(SOCKET), 0o660)?;
    engine_api::tasks::spawn(engine_server::serve(engine.clone(), listener));
    Ok(engine)
}

/// Has the engine reach registries as the configuration says.
pub(crate) fn set_registries(engine: &Engine, machine: &Machine) {
    engine
        .images()
        .set_registry_options(registries::options(&machine.config));
}

fn engine_options() -> EngineOptions {
    let mut options = EngineOptions::new(ENGINE_ROOT.into(), ENGINE_RUN.into());
    options.program = root::PROGRAM.into();
    options.worker = root::WORKER.into();
    options.apparmor_policy = Some(root::APPARMOR_POLICY.into());
    options
}

/// Layers of the version that was booted, for containers that are made from them: after an upgrade without a reboot the media
/// are another version's.
fn add_booted_slot(engine: &Engine) {
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let Some(installed) = Installed::named_by(&line) else {
        return;
    };
    let folder = installed.folder().join("rancheros");
    for error in engine.images().add_media(&folder) {
        log::error(&format!("system image: {error}"));
    }
}

fn add_media(engine: &Engine, media: bool) {
    if !media {
        return;
    }
    let folder = Path::new(MEDIA).join("rancheros");
    for error in engine.images().add_media(&folder) {
        log::error(&format!("system image: {error}"));
    }
}

pub(crate) fn shutdown_deadline(machine: &Machine) -> Duration {
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
        // A lost trace does not stop a boot.
        let written = serde_json::to_vec(&self.0)
            .map_err(std::io::Error::other)
            .and_then(|text| fs::write(TRACE, text));
        if let Err(error) = written {
            log::warning(&format!("boot trace: cannot write {TRACE}: {error}"));
        }
    }
}
