//! `docker compose` and `docker buildx`, which come with User Docker.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::guest::{BOOT_DEADLINE, Guest};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "plugins_compose_starts_a_project_in_order",
            compose,
        ),
        shared(context, "plugins_buildx_builds_an_image", buildx),
    ]
}

const PROJECT: &str = "
services:
  web:
    image: busybox
    command: sh -c 'echo page > /tmp/index.html; exec httpd -f -p 80 -h /tmp'
    healthcheck: {test: [CMD, wget, -qO-, http://127.0.0.1/], interval: 1s, timeout: 20s, retries: 60}
    networks: [front]
  client:
    image: busybox
    command: sh -c 'wget -qO /page http://web/ && exec sleep 1000'
    depends_on: {web: {condition: service_healthy}}
    networks: [front]
networks:
  front: {}
";

fn compose(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    for user in ["", "sudo "] {
        let version = guest.run(&format!("{user}docker compose version"))?;
        ensure!(
            version.contains("Docker Compose version"),
            "{user}: {version}"
        );
    }
    guest.run(&format!(
        "mkdir -p /tmp/project && cat > /tmp/project/compose.yaml <<'END'{PROJECT}END"
    ))?;
    let run = |rest: &str| {
        guest.run(&format!(
            "cd /tmp/project && docker compose --progress quiet {rest}"
        ))
    };
    run("up --detach")?;
    // It started after the web server was healthy, so its first question was answered
    guest.run_until(
        "cd /tmp/project && test \"$(docker compose exec -T client cat /page)\" = page",
        BOOT_DEADLINE,
    )?;
    run("down --timeout 1")?;
    let left = guest.run("docker ps -aq --filter label=com.docker.compose.project=project")?;
    ensure!(left.is_empty(), "left behind: {left}");
    Ok(())
}

const DOCKERFILE: &str = "
FROM busybox AS first
RUN echo built > /note
FROM busybox
COPY --from=first /note /note
";

fn buildx(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    let version = guest.run("docker buildx version")?;
    ensure!(version.contains("buildx"), "{version}");
    guest.run(&format!(
        "mkdir -p /tmp/built && cat > /tmp/built/Dockerfile <<'END'{DOCKERFILE}END"
    ))?;
    guest.run("docker build --quiet --tag built /tmp/built")?;
    let note = guest.run("docker run --rm built cat /note")?;
    ensure!(note == "built", "{note}");
    guest.run("docker rmi built").map(drop)
}
