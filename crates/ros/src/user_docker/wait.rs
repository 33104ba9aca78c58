//! Waiting for the console, whose view of the file system dockerd needs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use engine_api::Client;

use super::SYSTEM_DOCKER;
use crate::console::FILES_DONE;

/// Made by the console when it is ready.
const CONSOLE_DONE: &str = "/run/console-done";
/// Longest wait for the console; then the service fails and is restarted by its policy.
const CONSOLE_DEADLINE: Duration = Duration::from_secs(120);
/// Pause between two looks at the console.
const CONSOLE_PAUSE: Duration = Duration::from_millis(100);

/// The host pid of the console's first process, once there is one.
pub(super) fn for_console(name: &str) -> anyhow::Result<i32> {
    let runtime = system_docker::event_loop()?;
    let client = Client::new(SYSTEM_DOCKER);
    let ready = async {
        loop {
            if let Ok(container) = client.container_inspect(name, false).await
                && container.state.running
                && container.state.pid > 0
            {
                return container.state.pid;
            }
            tokio::time::sleep(CONSOLE_PAUSE).await;
        }
    };
    runtime
        .block_on(async { tokio::time::timeout(CONSOLE_DEADLINE, ready).await })
        .with_context(|| {
            format!(
                "container {name} does not run after {} s",
                CONSOLE_DEADLINE.as_secs()
            )
        })
}

/// Waits until the console has the files and mounts of the configuration, daemon.json among them.
pub(super) fn for_files(name: &str) {
    let end = Instant::now() + CONSOLE_DEADLINE;
    while !Path::new(FILES_DONE).exists() {
        if Instant::now() > end {
            eprintln!(
                "user-docker: container {name} has not all files and mounts after {} s: going on without",
                CONSOLE_DEADLINE.as_secs()
            );
            return;
        }
        std::thread::sleep(CONSOLE_PAUSE);
    }
}

/// Waits until the console has the group of dockerd's socket, or will not have it: dockerd looks it up. All else that the
/// console prepares (host keys, logins) takes seconds on a slow machine, and dockerd loads meanwhile.
pub(super) fn for_group(name: &str, group: &str) -> anyhow::Result<()> {
    let end = Instant::now() + CONSOLE_DEADLINE;
    while !has_group(&fs::read_to_string("/etc/group").unwrap_or_default(), group)
        && !Path::new(CONSOLE_DONE).exists()
    {
        if Instant::now() > end {
            bail!(
                "container {name} is not ready after {} s",
                CONSOLE_DEADLINE.as_secs()
            );
        }
        std::thread::sleep(CONSOLE_PAUSE);
    }
    Ok(())
}

/// Whether group(5) in `text` names `group`.
fn has_group(text: &str, group: &str) -> bool {
    text.lines()
        .any(|line| line.split(':').next() == Some(group))
}

#[cfg(test)]
mod tests {
    use super::has_group;

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\ndockers:x:9:\ndocker:x:1101:rancher\n";
        assert!(has_group(text, "docker"));
        assert!(!has_group(text, "dock"));
        assert!(!has_group("", "docker"));
    }
}
