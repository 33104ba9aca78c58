//! Waiting for the console, whose view of the file system dockerd needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use config::Docker;
use engine_api::Client;

use super::{SYSTEM_DOCKER, starts};
use crate::console::{FILES_DONE, mounts};
use crate::machine_config::MachineConfig;

/// The container that writes the marker of the files.
const CONSOLE: &str = "console";
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

/// Waits until the console has the files and mounts of the configuration, daemon.json among them. `pid` is the first process of
/// the container `name`.
pub(super) fn for_files(name: &str, pid: i32) {
    let end = Instant::now() + CONSOLE_DEADLINE;
    let view = PathBuf::from(format!("/proc/{pid}/ns/mnt"));
    // Another container may be the context, whose view the console does not name.
    let view = (name == CONSOLE).then_some(view.as_path());
    while !has_files(Path::new(FILES_DONE), view) {
        if Instant::now() > end {
            eprintln!(
                "user-docker: container {name} does not have all its files and mounts after {} s: Docker starts without them",
                CONSOLE_DEADLINE.as_secs()
            );
            return;
        }
        std::thread::sleep(CONSOLE_PAUSE);
    }
}

/// Whether the console has written its marker, and that console sees `view`: the marker of one that ended is still there, and the
/// mounts of the next one, Docker's disk among them, are not.
fn has_files(marker: &Path, view: Option<&Path>) -> bool {
    let Ok(text) = fs::read_to_string(marker) else {
        return false;
    };
    // A process that has ended has no view; entering it fails, and says so.
    let same = |view| fs::read_link(view).map_or(true, |view| view == Path::new(&text));
    view.is_none_or(same)
}

/// Ends with an error while the disk of Docker's data is not there, so that the service starts again and looks again: dockerd would
/// start the containers that the state disk has at that place, and the disk would hide what they write. The caller has entered the
/// view of the container `name`; the console mounts nothing in another one's.
pub(super) fn for_disk(name: &str, machine: &MachineConfig, docker: &Docker) -> anyhow::Result<()> {
    if name != CONSOLE {
        return Ok(());
    }
    let data = super::data_root(docker, &super::daemon_json());
    if let Some(entry) = mounts::missing(&machine.loaded.config.mounts, &data) {
        let message = format!(
            "{entry} is not mounted, and Docker's data is there: User Docker starts when it is, or with its option nofail without it"
        );
        starts::warn(&message);
        bail!("{message}");
    }
    if let Err(error) = mounts::note_docker(&data) {
        eprintln!("user-docker: the place of its data is not noted: {error:#}");
    }
    Ok(())
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
    use super::*;

    #[test]
    fn the_marker_of_an_earlier_console_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let (marker, view) = (folder.path().join("marker"), folder.path().join("mnt"));
        std::os::unix::fs::symlink("mnt:[2]", &view).unwrap();
        assert!(!has_files(&marker, Some(&view)) && !has_files(&marker, None));
        fs::write(&marker, "mnt:[1]").unwrap();
        assert!(!has_files(&marker, Some(&view)) && has_files(&marker, None));
        fs::write(&marker, "mnt:[2]").unwrap();
        assert!(has_files(&marker, Some(&view)));
        assert!(has_files(&marker, Some(Path::new("/nonexistent"))));
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\ndockers:x:9:\ndocker:x:1101:rancher\n";
        assert!(has_group(text, "docker"));
        assert!(!has_group(text, "dock"));
        assert!(!has_group("", "docker"));
    }
}
