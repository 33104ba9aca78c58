//! Keeps programs running: each is started again when it ends, more slowly when it ends at once; SIGTERM is passed on.

use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sys::process::{Child, Command, Pidfd, Signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

/// A program that ran this long was well: the next start is at once.
const HEALTHY: Duration = Duration::from_secs(10);
/// First pause before a program that ended early is started again; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause; a login that does not work must not cost the machine its processor.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// What programs get between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// A program to keep running.
#[derive(Debug)]
pub(crate) struct Program {
    /// What it is called in messages.
    pub(crate) name: String,
    /// How it is started.
    pub(crate) command: Command,
}

/// Runs `programs` until SIGTERM or SIGINT; `started` is called when all had their first start.
///
/// # Errors
/// When there is no event loop; a program that cannot be started is reported and tried again.
pub(crate) fn main(programs: Vec<Program>, started: impl FnOnce()) -> anyhow::Result<ExitCode> {
    block_on(supervise(programs, started, None))
}

/// Starts a program that ends by itself, once, and waits for its end next to everything else.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn once(command: &Command) -> anyhow::Result<()> {
    let child = command.spawn()?;
    // Else it would stay a zombie for as long as the console runs
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// The same for one program, which also ends when the process `other` does.
///
/// # Errors
/// As for [`main`].
pub(crate) fn next_to(other: &Pidfd, program: Program) -> anyhow::Result<ExitCode> {
    block_on(supervise(vec![program], || (), Some(other)))
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = system_docker::event_loop()?;
    LocalSet::new().block_on(&runtime, work)?;
    Ok(ExitCode::SUCCESS)
}

async fn supervise(
    programs: Vec<Program>,
    started: impl FnOnce(),
    other: Option<&Pidfd>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    for program in programs {
        tasks.spawn_local(keep(program, stopped.clone()));
    }
    tokio::task::yield_now().await; // every task makes its first start
    started();
    let other_ended = async {
        match other {
            Some(other) => ended(other).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = other_ended => {}
    }
    let _ = stop.send(true); // fails only when no task is left
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Runs one program again and again until `stopped`.
async fn keep(program: Program, mut stopped: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        match program.command.spawn() {
            Ok(child) => {
                if run(&program.name, &child, &mut stopped).await {
                    return;
                }
            }
            Err(error) => eprintln!("{}: {error}", program.name),
        }
        pause = next_pause(pause, begun.elapsed());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}

/// The pause before the next start, after a run of length `ran` that followed the pause `last`.
fn next_pause(last: Duration, ran: Duration) -> Duration {
    if ran >= HEALTHY {
        FIRST_PAUSE
    } else {
        (last * 2).min(LONGEST_PAUSE)
    }
}

/// Waits for the end of a run; true when it ended because everything is to stop.
async fn run(name: &str, child: &Child, stopped: &mut watch::Receiver<bool>) -> bool {
    let mut stopping = false;
    tokio::select! {
        () = ended(child.pidfd()) => {}
        _ = stopped.wait_for(|stopped| *stopped) => stopping = true,
    }
    if stopping {
        // It may have ended by itself in this moment.
        let _ = child.pidfd().send_signal(Signal::TERM);
        if tokio::time::timeout(GRACE, ended(child.pidfd()))
            .await
            .is_err()
        {
            let _ = child.pidfd().send_signal(Signal::KILL);
        }
    }
    match child.wait() {
        Ok(status) if status.success() || stopping => {}
        Ok(status) => eprintln!("{name}: {status}, starting it again"),
        Err(error) => eprintln!("{name}: {error}"),
    }
    stopping
}

/// Returns when the process has ended; a pidfd is readable then.
async fn ended(pidfd: &Pidfd) {
    let Ok(watched) = pidfd.as_fd().try_clone_to_owned().and_then(watch) else {
        // No event loop entry left: look now and then instead.
        while matches!(pidfd.wait_ended(Some(Duration::ZERO)), Ok(false)) {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        return;
    };
    // An error means that the descriptor cannot be waited for; then child.wait() blocks, which is right too.
    let _ = watched.readable().await;
}

#[expect(
    deprecated,
    reason = "the new name is unsafe, for descriptors that change; an owned one cannot"
)]
fn watch(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_start_anew_after_a_good_run() {
        let mut pause = FIRST_PAUSE;
        let mut all = Vec::new();
        for _ in 0..9 {
            pause = next_pause(pause, Duration::ZERO);
            all.push(pause.as_millis());
        }
        assert_eq!(
            all,
            [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]
        );
        assert_eq!(next_pause(pause, HEALTHY), FIRST_PAUSE);
    }

    #[test]
    fn a_program_that_ends_is_started_again_and_stops_when_told() {
        let directory = tempfile::tempdir().unwrap();
        let marker = directory.path().join("runs");
        let script = format!("echo run >> {}; exec sleep 1000", marker.display());
        let first = format!(
            "test -e {0} || {{ echo run >> {0}; exit 1; }}; {script}",
            marker.display()
        );
        let program = Program {
            name: "test".into(),
            command: Command::new("sh").arg("-c").arg(first),
        };
        let runtime = system_docker::event_loop().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let (stop, stopped) = watch::channel(false);
            let task = engine_api::tasks::spawn(keep(program, stopped));
            let two_runs = async {
                while std::fs::read_to_string(&marker)
                    .unwrap_or_default()
                    .lines()
                    .count()
                    < 2
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(20), two_runs)
                .await
                .unwrap();
            stop.send(true).unwrap();
            tokio::time::timeout(Duration::from_secs(20), task)
                .await
                .unwrap()
                .unwrap();
        });
    }
}
