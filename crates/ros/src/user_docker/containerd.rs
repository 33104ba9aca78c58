//! containerd for dockerd, started ahead of it.
//!
//! dockerd can start its own containerd, but then waits for its socket with growing pauses: both load one after the
//! other, and seconds pass by. Here they load side by side. A keeper, this program again, starts containerd again when it
//! dies and ends it when dockerd has ended, as dockerd would. Until dockerd answers it also gives both more of the
//! processors than the services have, which start at the same time.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use config::Docker;
use sys::process::{Command, Pidfd, Signal};

use super::ports::Watch;
use super::{CGROUP, CLOSURE, firewall, starts};
use crate::preload;
use crate::supervisor::{self, Program};

/// dockerd uses a containerd that the user runs at its standard place.
const USERS_OWN: &str = "/run/containerd/containerd.sock";
/// dockerd's default for `--exec-root`.
const EXEC_ROOT: &str = "/var/run/docker";
/// dockerd's default for `--data-root`.
const DATA_ROOT: &str = "/var/lib/docker";
/// Keys of daemon.json after which dockerd's places are others, or containerd is not ours to start.
const MOVING_KEYS: [&str; 4] = ["containerd", "data-root", "exec-root", "graph"];
/// Names in the directory of containerd's state, as dockerd has them.
const SETTINGS: &str = "containerd.toml";
const SOCKET: &str = "containerd.sock";
/// The keeper's number.
const KEEPER: &str = "keeper.pid";
/// cpu.weight of dockerd and containerd while they start, and of every cgroup otherwise (cgroup v2). The machine's
/// services have 100 together.
const HEAD_START: &str = "1000";
const USUAL: &str = "100";
/// Longest wait for the end of an earlier keeper after SIGTERM: more than it gives containerd.
const DEADLINE: Duration = Duration::from_secs(10);

/// Starts the keeper, unless somebody else's containerd is to be used; returns the address for dockerd.
///
/// # Errors
/// When it cannot be started; dockerd then starts its own.
pub(super) fn start(
    docker: &Docker,
    in_file: &BTreeSet<String>,
    environment: &[(String, String)],
) -> anyhow::Result<Option<PathBuf>> {
    let moved = MOVING_KEYS.iter().any(|key| in_file.contains(*key));
    if moved
        || docker.containerd.is_some()
        || docker.config_file.is_some()
        || Path::new(USERS_OWN).exists()
    {
        return Ok(None);
    }
    let state = exec_root(docker).join("containerd");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&state)
        .with_context(|| format!("cannot create {}", state.display()))?;
    end_earlier(&state)?;
    let path = state.join(SETTINGS);
    fs::write(
        &path,
        settings(&data_root(docker).join("containerd"), &state),
    )
    .with_context(|| format!("cannot write {}", path.display()))?;
    let keeper = environment
        .iter()
        .fold(
            Command::new("/proc/self/exe").env_clear(),
            |command, (name, value)| command.env(name, value),
        )
        .args(["user-docker", "--containerd"])
        .arg(&state)
        .survive_parent() // it has containerd to end then
        .spawn()?;
    let path = state.join(KEEPER);
    if let Err(error) = fs::write(&path, keeper.pid().to_string()) {
        // No failure: it runs, and a second containerd in its directory would be one.
        eprintln!("user-docker: cannot write {}: {error}", path.display());
    }
    Ok(Some(state.join(SOCKET)))
}

/// Ends the containerd of a dockerd that has ended: what it has open is not to be looked at. The shims of containers go on.
///
/// # Errors
/// When it does not end.
pub(super) fn stop_earlier(docker: &Docker) -> anyhow::Result<()> {
    end_earlier(&exec_root(docker).join("containerd"))
}

/// Where dockerd keeps what lasts until the next boot, unless daemon.json moves it.
pub(super) fn exec_root(docker: &Docker) -> &Path {
    Path::new(docker.exec_root.as_deref().unwrap_or(EXEC_ROOT))
}

/// Where dockerd keeps everything, unless daemon.json moves it.
pub(super) fn data_root(docker: &Docker) -> &Path {
    let configured = docker.data_root.as_deref().or(docker.graph.as_deref());
    Path::new(configured.unwrap_or(DATA_ROOT))
}

/// The keeper for the directory `state`: runs containerd until its own parent, which becomes dockerd, has ended.
///
/// # Errors
/// When the parent has ended already, or there is no event loop.
pub(super) fn keep(state: &Path) -> anyhow::Result<ExitCode> {
    let parent = parent_id();
    let dockerd = Pidfd::open(parent.cast_signed())?;
    // The orphans of this service's process namespace, which is the host's, are PID 1's.
    ensure!(
        parent != 1 && parent_id() == parent,
        "dockerd has ended before its containerd could start"
    );
    let command = Command::new(Path::new(CLOSURE).join("bin/containerd"))
        .arg("--config")
        .arg(state.join(SETTINGS));
    let program = Program {
        name: "containerd".to_owned(),
        command,
    };
    std::thread::spawn(head_start);
    supervisor::next_to(&dockerd, program)
}

/// Prefers dockerd until it answers, or until it is clear that it will not.
fn head_start() {
    let ports = Watch::start();
    set_cpu_weight(HEAD_START);
    match preload::wait_for_docker() {
        Ok(_) => {
            starts::succeeded();
            std::thread::spawn(super::pull_lost_images);
        }
        Err(error) => starts::warn(&format!("{error:#}: see `system-docker logs docker`")),
    }
    set_cpu_weight(USUAL);
    firewall::when_answering(ports);
    super::settle_layers();
}

fn set_cpu_weight(weight: &str) {
    let path = Path::new(CGROUP).join("cpu.weight");
    if let Err(error) = fs::write(&path, weight) {
        eprintln!("user-docker: cannot write {}: {error}", path.display());
    }
}

/// Waits for the end of the keeper of a dockerd that was killed: two containerds cannot share one directory.
fn end_earlier(state: &Path) -> anyhow::Result<()> {
    let path = state.join(KEEPER);
    let pid = fs::read_to_string(&path)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    let Some(pid) = pid.filter(|pid| *pid > 0) else {
        return Ok(());
    };
    // The number may mean another process by now.
    let is_keeper = || {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|text| {
            text.split(|byte| *byte == 0)
                .any(|word| word == b"--containerd")
        })
    };
    if let Ok(process) = Pidfd::open(pid)
        && is_keeper()
    {
        // It may have ended in this moment.
        let _ = process.send_signal(Signal::TERM);
        if !process.wait_ended(Some(DEADLINE))? {
            let _ = process.send_signal(Signal::KILL); // and containerd with it
            ensure!(
                process.wait_ended(Some(DEADLINE))?,
                "an earlier keeper of containerd, process {pid}, does not end"
            );
        }
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}

/// containerd's configuration (config.toml(5) of containerd 1.7): what dockerd's says, where containerd's defaults
/// differ, and no aufs: Linux has none, and containerd waits for a modprobe to learn that.
fn settings(root: &Path, state: &Path) -> String {
    let (root, state) = (root.display(), state.display());
    format!(
        r#"version = 2
root = "{root}/daemon"
state = "{state}/daemon"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs"]
imports = []

[grpc]
address = "{state}/{SOCKET}"

[debug]
address = "{state}/containerd-debug.sock"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_dockers_places() {
        let text = settings(
            Path::new("/var/lib/docker/containerd"),
            Path::new("/var/run/docker/containerd"),
        );
        for line in [
            "root = \"/var/lib/docker/containerd/daemon\"",
            "state = \"/var/run/docker/containerd/daemon\"",
            "address = \"/var/run/docker/containerd/containerd.sock\"",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}");
        }
    }

    #[test]
    fn only_an_earlier_keeper_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        end_earlier(folder.path()).unwrap();
        // This test is not a keeper.
        let path = folder.path().join(KEEPER);
        fs::write(&path, std::process::id().to_string()).unwrap();
        end_earlier(folder.path()).unwrap();
        assert!(!path.exists());
    }
}
