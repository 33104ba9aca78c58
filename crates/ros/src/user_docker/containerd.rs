//! Starts containerd ahead of dockerd, the way dockerd itself would.
//!
//! dockerd starts a containerd of its own and then waits for its socket with growing pauses: both load one after the
//! other, and seconds pass by. A containerd that runs already is taken over by its pid file, as after a crash of dockerd
//! (moby, libcontainerd/supervisor/remote_daemon.go), and from then on looked after: restarted when it dies, ended with
//! dockerd. So both load side by side, and nothing else is different.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use config::Docker;
use sys::process::{Command, Pidfd, Signal};

use super::CLOSURE;

/// dockerd uses a containerd that the user runs at its standard place.
const USERS_OWN: &str = "/run/containerd/containerd.sock";
/// dockerd's default for `--exec-root`.
const EXEC_ROOT: &str = "/var/run/docker";
/// dockerd's default for `--data-root`.
const DATA_ROOT: &str = "/var/lib/docker";
/// Names in its directory, which dockerd knows.
const PID_FILE: &str = "containerd.pid";
const SETTINGS: &str = "containerd.toml";
/// Keys of daemon.json after which dockerd's places are others, or containerd is not dockerd's to start.
const MOVING_KEYS: [&str; 5] = ["containerd", "data-root", "exec-root", "graph", "rootless"];
/// Longest wait for the end of an earlier containerd after SIGKILL, and for the start of the new one.
const DEADLINE: Duration = Duration::from_secs(10);

/// Starts it unless somebody else's is to be used.
///
/// # Errors
/// When it cannot be started; dockerd then starts its own.
pub(super) fn start(
    docker: &Docker,
    in_file: &BTreeSet<String>,
    environment: &[(String, String)],
) -> anyhow::Result<()> {
    let moved = MOVING_KEYS.iter().any(|key| in_file.contains(*key));
    if moved
        || docker.containerd.is_some()
        || docker.config_file.is_some()
        || Path::new(USERS_OWN).exists()
    {
        return Ok(());
    }
    let place = |value: &Option<String>, default: &str| -> PathBuf {
        Path::new(value.as_deref().unwrap_or(default)).join("containerd")
    };
    let state = place(&docker.exec_root, EXEC_ROOT);
    let root = place(
        &docker.data_root.clone().or(docker.graph.clone()),
        DATA_ROOT,
    );
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private
        .create(&state)
        .with_context(|| format!("cannot create {}", state.display()))?;
    end_earlier(&state.join(PID_FILE))?;
    let config = state.join(SETTINGS);
    fs::write(&config, settings(&root, &state))
        .with_context(|| format!("cannot write {}", config.display()))?;
    // This process becomes dockerd, which does not expect a child that it did not start, and would never reap it: a
    // process between the two ends at once, and PID 1 inherits containerd.
    let between = environment
        .iter()
        .fold(
            Command::new("/proc/self/exe").env_clear(),
            |command, (name, value)| command.env(name, value),
        )
        .args(["user-docker", "--containerd"])
        .arg(&state)
        .spawn()?;
    ensure!(
        between.pidfd().wait_ended(Some(DEADLINE))?,
        "not started after {} s",
        DEADLINE.as_secs()
    );
    let status = between.wait()?;
    ensure!(status.success(), "its start failed");
    Ok(())
}

/// The process between: starts containerd for the directory `state`, leaves its number for dockerd, and ends.
///
/// # Errors
/// When containerd cannot be started.
pub(super) fn orphan(state: &Path) -> anyhow::Result<ExitCode> {
    let child = Command::new(Path::new(CLOSURE).join("bin/containerd"))
        .arg("--config")
        .arg(state.join(SETTINGS))
        .survive_parent()
        .spawn()?;
    let path = state.join(PID_FILE);
    fs::write(&path, child.pid().to_string())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the containerd of a dockerd that was killed, which would else have ended it: its output goes nowhere, and the
/// first line it logs would be its end.
fn end_earlier(pid_file: &Path) -> anyhow::Result<()> {
    let pid = fs::read_to_string(pid_file)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    let Some(pid) = pid.filter(|pid| *pid > 0) else {
        return Ok(());
    };
    // The number may mean another process by now.
    let is_containerd =
        || fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "containerd\n");
    if let Ok(process) = Pidfd::open(pid)
        && is_containerd()
    {
        process.send_signal(Signal::KILL)?;
        ensure!(
            process.wait_ended(Some(DEADLINE))?,
            "an earlier containerd, process {pid}, does not end"
        );
    }
    // dockerd reads it when the start below fails.
    let _ = fs::remove_file(pid_file);
    Ok(())
}

/// containerd's configuration (config.toml(5) of containerd 1.7): what dockerd's says, where containerd's defaults
/// differ.
fn settings(root: &Path, state: &Path) -> String {
    let (root, state) = (root.display(), state.display());
    format!(
        r#"version = 2
root = "{root}/daemon"
state = "{state}/daemon"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
imports = []

[grpc]
address = "{state}/containerd.sock"

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
    fn only_a_living_containerd_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join(PID_FILE);
        end_earlier(&pid_file).unwrap();
        // This test is not called containerd.
        fs::write(&pid_file, std::process::id().to_string()).unwrap();
        end_earlier(&pid_file).unwrap();
        assert!(!pid_file.exists());
    }
}
