//! The moment before a boot that tries another version: what works on this machine is noted once more, for the checks of that
//! version. Weeks may have passed since the order was given, with containers added and removed.
//!
//! `ros os note-facts` in the console does it, because PID 1 asks neither Docker nor the network itself.

use std::time::{Duration, Instant};

use engine::Engine;
use engine_api::{ExecConfig, ExecStartConfig};
use tokio::time::{sleep, timeout};

use crate::installed::Installed;
use crate::{log, trial};

/// The service whose programs look at the machine.
const CONSOLE: &str = "console";
/// Longest wait for the disk with the boot records.
const RECORDS_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for all of it: an emulated machine needs 2 s, and the containers' time to end is what it is taken from.
const LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Has it noted when the next boot tries a version, within a part of the time that the shutdown has. What was noted when the order was
/// given holds where this fails.
pub(crate) async fn note_what_works(engine: &Engine, whole: Duration) {
    if !is_given().await {
        return;
    }
    let limit = LIMIT.min(whole / 6);
    let begun = Instant::now();
    match timeout(limit, note(engine, limit)).await {
        Ok(Ok(())) => log::info(&format!(
            "shutdown: noted for the next boot what works, {:.1} s",
            begun.elapsed().as_secs_f64()
        )),
        Ok(Err(error)) => log::warning(&format!("shutdown: what works was not noted: {error}")),
        Err(_) => log::warning(&format!(
            "shutdown: what works was not noted in {:.0} s",
            limit.as_secs_f64()
        )),
    }
}

/// Whether the records have the next boot try another version than the one that runs.
async fn is_given() -> bool {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let Some(installed) = Installed::named_by(&line) else {
        return false;
    };
    let read = tokio::task::spawn_blocking(move || trial::tries_another(&installed));
    matches!(timeout(RECORDS_LIMIT, read).await, Ok(Ok(true)))
}

async fn note(engine: &Engine, limit: Duration) -> engine_api::Result<()> {
    let limit = limit.as_millis().to_string();
    let config = ExecConfig {
        cmd: Some(
            ["/usr/bin/ros", "os", "note-facts", limit.as_str()]
                .map(str::to_owned)
                .to_vec(),
        ),
        // It writes to a file system that is read-only else
        privileged: true,
        ..ExecConfig::default()
    };
    let id = engine.exec_create(CONSOLE, config).await?;
    let detached = ExecStartConfig {
        detach: true,
        ..ExecStartConfig::default()
    };
    engine.exec_start(&id, detached).await?;
    loop {
        let exec = engine.exec_inspect(&id).await?;
        match exec.exit_code {
            _ if exec.running => sleep(LOOK_AGAIN).await,
            Some(0) => return Ok(()),
            code => {
                return Err(engine_api::Error::server(format!(
                    "ros os note-facts ended with {code:?}"
                )));
            }
        }
    }
}
