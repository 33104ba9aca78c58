//! `system-docker engine`: what no other Docker has, the replacement of the engine's program while containers run.

use std::fs::File;
use std::io::{Cursor, Read as _};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use engine_api::body::Body;
use engine_api::{Client, EngineStatus};

use super::arguments::{Engine, Formatted, Upgrade};
use super::{system, transfer};

/// Longest wait for the engine after it has agreed; it gives a new program 30 s before it goes back to the former.
const DEADLINE: Duration = Duration::from_secs(60);
/// PID 1's program, whatever has become of its path.
const RUNNING: &str = "/proc/1/exe";
/// Pause between two questions.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Keeps a program of PID 1's for the next boots.
///
/// # Errors
/// When it has no room, or the disk fails.
pub type Keep = Box<dyn FnOnce(&[u8]) -> anyhow::Result<()> + Send>;

/// What `engine upgrade --keep` keeps the program with. It is asked first.
///
/// # Errors
/// When this machine cannot keep one.
pub type MakeKeeper = fn() -> anyhow::Result<Keep>;

/// `engine`
pub(crate) async fn engine(
    client: &Client,
    verb: Engine,
    keeper: MakeKeeper,
) -> anyhow::Result<()> {
    match verb {
        Engine::Upgrade(options) => upgrade(client, &options, keeper).await,
        Engine::Version(options) => version(client, &options).await,
    }
}

/// `engine upgrade`
async fn upgrade(client: &Client, options: &Upgrade, keeper: MakeKeeper) -> anyhow::Result<()> {
    if options.keep {
        return upgrade_and_keep(client, options, keeper).await;
    }
    let program = match &options.path {
        Some(path) => transfer::body(Box::new(open(path)?)),
        None => Body::Empty,
    };
    println!("{}", replace(client, program, options.time).await?);
    Ok(())
}

fn open(path: &str) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    let metadata = file.metadata();
    if !metadata.is_ok_and(|metadata| metadata.is_file()) {
        bail!("{path} is not a file");
    }
    Ok(file)
}

/// `engine upgrade --keep`: whether it can be kept is known before anything is replaced, and only a program that has taken over is.
async fn upgrade_and_keep(
    client: &Client,
    options: &Upgrade,
    keeper: MakeKeeper,
) -> anyhow::Result<()> {
    let keep = keeper().context("the program cannot be kept")?;
    let path = options.path.as_deref().unwrap_or(RUNNING);
    let mut program = Vec::new();
    open(path)?
        .read_to_end(&mut program)
        .with_context(|| format!("cannot read {path}"))?;
    let body = match options.path {
        Some(_) => transfer::body(Box::new(Cursor::new(program.clone()))),
        None => Body::Empty,
    };
    println!("{}", replace(client, body, options.time).await?);
    // Waits for disks and for both Dockers, in separate event loops
    let kept = std::thread::spawn(move || keep(&program)).join();
    match kept {
        Ok(kept) => kept.context("it runs, and the next boot starts the installed program"),
        Err(_) => bail!("it runs, and the next boot starts the installed program"),
    }
}

/// Replaces the program by the one in `program`, and waits until that has taken over; a line of success. `wait_s` is how many
/// seconds work under way may take to end.
///
/// # Errors
/// When it was refused, or has not taken over: the former program goes on.
pub async fn replace(
    client: &Client,
    program: Body,
    wait_s: Option<u64>,
) -> anyhow::Result<String> {
    let before = client.engine_upgrade(program, wait_s).await?;
    let after = wait(client, &before).await?;
    outcome(&after)
}

/// Asks until the engine says how it went. A question that the old program did not answer any more is asked again.
async fn wait(client: &Client, before: &EngineStatus) -> anyhow::Result<EngineStatus> {
    let begun = Instant::now();
    loop {
        let answer = tokio::time::timeout(DEADLINE, client.engine_status()).await;
        match answer {
            Ok(Ok(after)) if is_over(before, &after) => return Ok(after),
            Ok(Err(error)) if begun.elapsed() > DEADLINE => {
                return Err(error).context("the engine does not answer after the upgrade");
            }
            Err(_) => bail!(
                "the engine does not answer {} s after the upgrade",
                DEADLINE.as_secs()
            ),
            _ if begun.elapsed() > DEADLINE => bail!(
                "the engine has not been replaced after {} s; see `dmesg`",
                DEADLINE.as_secs()
            ),
            _ => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

fn is_over(before: &EngineStatus, after: &EngineStatus) -> bool {
    after.generation > before.generation || after.last_upgrade != before.last_upgrade
}

/// One line of success, or what went wrong.
fn outcome(status: &EngineStatus) -> anyhow::Result<String> {
    let last = status.last_upgrade.clone().unwrap_or_default();
    match last.outcome.as_str() {
        "done" => Ok(format!(
            "Engine {} has taken over ({} since start)",
            status.version,
            match status.generation {
                1 => "1 upgrade".to_owned(),
                count => format!("{count} upgrades"),
            }
        )),
        "fell back" => bail!(
            "the new program could not take over and the former one goes on: {}",
            last.error
        ),
        _ => bail!("the engine was not replaced and goes on: {}", last.error),
    }
}

/// `engine version`
async fn version(client: &Client, options: &Formatted) -> anyhow::Result<()> {
    let status = client.engine_status().await?;
    if let Some(format) = &options.format {
        return system::formatted(&serde_json::to_value(&status)?, format);
    }
    println!(
        "Version:       {}\nProgram:       {}\nProcess:       {}\nState version: {}\nUpgrades:      {}",
        status.version, status.program, status.pid, status.state_version, status.generation
    );
    if let Some(last) = status.last_upgrade {
        let error = if last.error.is_empty() {
            String::new()
        } else {
            format!(": {}", last.error)
        };
        println!("Last upgrade:  {} at {}{error}", last.outcome, last.time);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use engine_api::LastUpgrade;

    use super::*;

    fn status(generation: i64, outcome: &str, error: &str) -> EngineStatus {
        EngineStatus {
            generation,
            last_upgrade: Some(LastUpgrade {
                outcome: outcome.to_owned(),
                error: error.to_owned(),
                time: format!("{generation}{outcome}"),
            }),
            ..EngineStatus::default()
        }
    }

    #[test]
    fn only_a_new_answer_ends_the_wait() {
        let before = status(1, "done", "");
        assert!(!is_over(&before, &before));
        assert!(is_over(&before, &status(2, "done", "")));
        assert!(is_over(&before, &status(1, "failed", "execve")));
        assert!(!is_over(&EngineStatus::default(), &EngineStatus::default()));
    }

    #[test]
    fn failures_say_which_program_runs() {
        assert!(
            outcome(&status(2, "done", ""))
                .unwrap()
                .contains("2 upgrades")
        );
        let error = outcome(&status(3, "fell back", "panic: x")).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("the former one goes on: panic: x")
        );
        let error = outcome(&status(3, "failed", "busy")).unwrap_err();
        assert!(error.to_string().contains("not replaced"));
    }
}
