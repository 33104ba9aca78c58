//! The stop of User Docker's containers when the machine goes down: each gets its own stop signal and its own time.
//!
//! They are not stopped through dockerd: it would remember that and not start an `unless-stopped` container at the next
//! boot. dockerd is asked what they want, ends, and leaves them running (live-restore); then PID 1 stops them. Without
//! live-restore dockerd stops them itself when it ends, by the same rules.

pub(crate) mod ask;
mod groups;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use engine::Engine;
use groups::Group;
use sys::cgroup;
use sys::process::{self, Pidfd, Signal};
use tokio::time::sleep;

use crate::{log, root};

/// The service that User Docker runs in.
pub(crate) const SERVICE: &str = "docker";
/// dockerd's socket as the host sees it.
const SOCKET: &str = "/run/docker.sock";
/// Where `ros user-docker` puts dockerd, containerd and the shims.
const DAEMONS: &str = "/sys/fs/cgroup/user-docker";
/// What dockerd may take to say what all its containers want, as long as a quarter of the time allows it. An emulated machine takes
/// 50 ms a container. What was said until then counts; the others are stopped by Docker's defaults.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// What dockerd may take to end when its containers live on.
const DAEMON_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks at what is still running.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is known of User Docker.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    /// Containers live on when dockerd ends; what is not known is taken for the default.
    ends_them: bool,
    /// First process, number of the signal, seconds.
    containers: Vec<(i32, i32, i64)>,
}

/// A container that has to end.
struct Stop {
    pid: i32,
    /// What it is killed with; a container that has none is gone.
    group: Option<Group>,
    process: Pidfd,
    signal: i32,
    seconds: i64,
}

/// Stops User Docker and its containers within `limit`.
pub(crate) async fn stop(engine: &Engine, limit: Duration) {
    let end = Instant::now() + limit;
    let known = ask_dockerd(ANSWER_LIMIT.min(limit / 4)).await;
    // Open before dockerd ends: then no number can come to mean another process.
    let mut stops: Vec<Stop> = known
        .containers
        .iter()
        .filter_map(|(pid, signal, seconds)| Stop::new(*pid, *signal, *seconds))
        .collect();
    let rest = end.saturating_duration_since(Instant::now());
    let daemon_limit = if known.ends_them {
        rest
    } else {
        DAEMON_LIMIT.min(rest / 2)
    };
    let seconds = i64::try_from(daemon_limit.as_secs()).unwrap_or(0);
    if let Err(error) = engine.container_stop(SERVICE, None, Some(seconds)).await
        && !matches!(error.status.as_u16(), 304 | 404)
    {
        log::warning(&format!("shutdown: {error}"));
    }
    let groups = groups::find(Path::new(cgroup::ROOT));
    groups.iter().for_each(Group::thaw);
    for group in groups {
        match stops.iter_mut().find(|stop| group.pids.contains(&stop.pid)) {
            Some(stop) => stop.group = Some(group),
            None => stops.extend(Stop::by_default(group)),
        }
    }
    end_each(stops, end).await;
    // What an ended container has left behind.
    let groups = groups::find(Path::new(cgroup::ROOT));
    groups.iter().for_each(Group::kill);
    // Absent when User Docker never ran.
    let _ = fs::write(Path::new(DAEMONS).join("cgroup.kill"), "1");
}

/// Asks dockerd, by a child. Who does not answer is stopped by Docker's defaults.
async fn ask_dockerd(limit: Duration) -> Known {
    if !Path::new(SOCKET).exists() {
        return Known::default();
    }
    let asking = tokio::task::spawn_blocking(move || {
        process::Command::new(root::PROGRAM)
            .args([ask::VERB, SOCKET, &limit.as_secs_f32().to_string()])
            .deadline(limit + Duration::from_secs(1))
            .run()
    });
    match asking.await {
        Ok(Ok(output)) => {
            let words = String::from_utf8_lossy(&output.stderr);
            if !output.status.success() {
                log::warning(&format!("shutdown: User Docker: {}", words.trim()));
            }
            Known::read(&String::from_utf8_lossy(&output.stdout))
        }
        Ok(Err(error)) => {
            log::warning(&format!("shutdown: User Docker: {error}"));
            Known::default()
        }
        Err(_) => Known::default(),
    }
}

impl Known {
    /// Reads the child's lines; what is not one is passed over.
    fn read(text: &str) -> Known {
        let mut known = Known::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                [ask::LIVE_RESTORE, on] => known.ends_them = on == "false",
                [pid, signal, seconds] => {
                    if let (Ok(pid), Ok(signal), Ok(seconds)) =
                        (pid.parse(), signal.parse(), seconds.parse())
                    {
                        known.containers.push((pid, signal, seconds));
                    }
                }
                _ => {}
            }
        }
        known
    }
}

impl Stop {
    /// None when it has ended.
    fn new(pid: i32, signal: i32, seconds: i64) -> Option<Stop> {
        Some(Stop {
            pid,
            group: None,
            process: Pidfd::open(pid).ok()?,
            signal,
            seconds,
        })
    }

    /// A container that dockerd has said nothing of.
    fn by_default(group: Group) -> Option<Stop> {
        let stop = Stop::new(group.first()?, engine::STOP_SIGNAL, ask::STOP_TIMEOUT)?;
        Some(Stop {
            group: Some(group),
            ..stop
        })
    }

    fn has_ended(&self) -> bool {
        self.process
            .wait_ended(Some(Duration::ZERO))
            .unwrap_or(true)
    }

    /// Kills all processes of its container.
    fn kill(&self) {
        if let Some(group) = &self.group {
            group.kill();
        }
        let _ = self.process.send_signal(Signal::KILL);
    }
}

/// Sends each its signal, and kills it when its time is over.
async fn end_each(stops: Vec<Stop>, end: Instant) {
    let begun = Instant::now();
    let mut left: Vec<(Stop, Instant)> = Vec::new();
    for stop in stops {
        if let Some(signal) = Signal::from_raw(stop.signal) {
            // It may have ended since it was listed.
            let _ = stop.process.send_signal(signal);
        }
        // A negative time means "no limit"; a machine that goes down has one.
        let own = u64::try_from(stop.seconds).map_or(end, |own| begun + Duration::from_secs(own));
        left.push((stop, own.min(end)));
    }
    loop {
        left.retain(|(stop, _)| !stop.has_ended());
        if left.is_empty() {
            return;
        }
        let now = Instant::now();
        for (stop, _) in left.iter().filter(|(_, until)| *until <= now) {
            log::warning(&format!(
                "shutdown: a container of User Docker (process {}) did not end in time",
                stop.pid
            ));
            stop.kill();
        }
        left.retain(|(_, until)| *until > now);
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_what_is_none_is_passed_over() {
        let text = "live-restore false\n12 3 30\n13 x 1\n\n14 15 -1\nlate";
        assert_eq!(
            Known::read(text),
            Known {
                ends_them: true,
                containers: vec![(12, 3, 30), (14, 15, -1)],
            }
        );
        assert_eq!(Known::read(""), Known::default());
    }
}
