//! The Docker SDK for Python on this machine, against the guest's socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use libtest_mimic::Trial;

use crate::artifacts::Artifacts;
use crate::context::{Context, shared_with};
use crate::guest::Guest;

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![shared_with(
        context,
        "sdk_python_drives_system_docker",
        drives_system_docker,
    )]
}

const PROGRAM: &str = include_str!("sdk_python.py");
/// How long the program may take in a guest without KVM.
const DEADLINE: Duration = Duration::from_secs(400);

fn drives_system_docker(artifacts: &Artifacts, guest: &Guest) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let socket = folder.path().join("docker.sock");
    let _forward = guest.ssh.forward(&socket, "/var/run/system-docker.sock")?;
    let image = guest.run("system-docker inspect -f '{{.Config.Image}}' syslog")?;
    let handle = duct::cmd!("python3", "-c", PROGRAM, &socket, image)
        .env("PYTHONPATH", artifacts.client("python")?)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .start()
        .context("cannot start python3")?;
    let Some(output) = handle.wait_timeout(DEADLINE)? else {
        // It is killed so that it does not outlive the test.
        let _ = handle.kill();
        bail!("no end after {} s", DEADLINE.as_secs());
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && stdout.trim_end() == "ok",
        "the SDK's program failed: {stdout}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
