//! User Docker is the real Docker Engine, in the console's view of the files.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::guest::{BOOT_DEADLINE, Guest};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "user_docker_runs_the_preloaded_busybox",
            runs_the_preloaded_busybox,
        ),
        shared(context, "user_docker_publishes_ports", publishes_ports),
        shared(
            context,
            "user_docker_reaches_the_network",
            reaches_the_network,
        ),
        shared(
            context,
            "user_docker_sees_the_consoles_files",
            sees_the_consoles_files,
        ),
        shared(context, "user_docker_keeps_volumes", keeps_volumes),
        shared(
            context,
            "user_docker_uses_overlay2_and_caps_logs",
            uses_overlay2_and_caps_logs,
        ),
    ]
}

fn with_busybox(guest: &Guest) -> anyhow::Result<()> {
    guest
        .run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)
        .map(drop)
}

fn runs_the_preloaded_busybox(guest: &Guest) -> anyhow::Result<()> {
    with_busybox(guest)?;
    ensure!(
        guest.run("docker run --rm busybox echo hi")? == "hi",
        "echo hi"
    );
    let answer = guest.ssh.answer("docker run --rm busybox sh -c 'exit 7'")?;
    ensure!(answer.code == 7, "exit code {}", answer.code);
    Ok(())
}

fn publishes_ports(guest: &Guest) -> anyhow::Result<()> {
    with_busybox(guest)?;
    guest.run("docker run -d --name port -p 8081:80 busybox sh -c 'echo port > /index.html; exec httpd -f -p 80 -h /'")?;
    guest.run_until(
        "test \"$(wget -qO- http://127.0.0.1:8081/index.html)\" = port",
        BOOT_DEADLINE,
    )?;
    guest.run("docker rm -f port").map(drop)
}

/// The gateway of QEMU's user network answers pings; a container reaches it through masquerading.
fn reaches_the_network(guest: &Guest) -> anyhow::Result<()> {
    with_busybox(guest)?;
    guest
        .run_until(
            "docker run --rm busybox ping -c 1 -W 5 10.0.2.2",
            BOOT_DEADLINE,
        )
        .map(drop)
}

fn sees_the_consoles_files(guest: &Guest) -> anyhow::Result<()> {
    with_busybox(guest)?;
    guest.run("sudo mkdir -p /foo && echo mine | sudo tee /foo/note >/dev/null")?;
    ensure!(
        guest.run("docker run --rm -v /foo:/bar busybox cat /bar/note")? == "mine",
        "/foo of the console is not /foo of docker"
    );
    guest.run("docker run --rm -v /foo:/bar busybox sh -c 'echo theirs > /bar/answer'")?;
    ensure!(
        guest.run("cat /foo/answer")? == "theirs",
        "the container's file is not in the console"
    );
    Ok(())
}

fn keeps_volumes(guest: &Guest) -> anyhow::Result<()> {
    with_busybox(guest)?;
    guest.run("docker volume create kept && docker run --rm -v kept:/data busybox sh -c 'echo kept > /data/note'")?;
    ensure!(
        guest.run("docker run --rm -v kept:/data busybox cat /data/note")? == "kept",
        "the volume lost its file"
    );
    guest.run("docker volume rm kept").map(drop)
}

fn uses_overlay2_and_caps_logs(guest: &Guest) -> anyhow::Result<()> {
    ensure!(
        guest.run("docker info --format '{{.Driver}}'")? == "overlay2",
        "storage driver"
    );
    with_busybox(guest)?;
    guest.run("docker create --name logs busybox true")?;
    let options = guest.run("docker inspect -f '{{index .HostConfig.LogConfig.Config \"max-size\"}} {{index .HostConfig.LogConfig.Config \"max-file\"}}' logs")?;
    ensure!(options == "25m 2", "log options are {options}");
    guest.run("docker rm logs").map(drop)
}
