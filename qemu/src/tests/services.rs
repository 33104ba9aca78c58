//! System services come back, and User Docker's containers do not notice.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest, SERVICES};
use crate::machine::{Boot, Machine};

/// Succeeds when the user's web server answers.
const SERVED: &str = "test \"$(wget -T 5 -qO- http://127.0.0.1:8080/index.html)\" = served";
/// Says when the user's web server was started.
const STARTED: &str = "docker inspect -f '{{.State.StartedAt}}' web";

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "services_restart_while_a_user_container_serves",
            restart_while_a_user_container_serves,
        ),
        alone(context, "services_return_after_kill_9", return_after_kill_9),
        alone(
            context,
            "services_survive_rm_f_of_all_user_containers",
            survive_rm_f_of_all_user_containers,
        ),
    ]
}

fn booted(context: &Context, name: &str) -> anyhow::Result<Guest> {
    let guest = Machine::new(name, Boot::Kernel)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    Ok(guest)
}

/// A web server whose start time tells whether it was ever restarted.
fn serve(guest: &Guest) -> anyhow::Result<String> {
    guest.run("docker run -d --name web -p 8080:80 busybox sh -c 'echo served > /index.html; exec httpd -f -p 80 -h /'")?;
    guest.run_until(SERVED, BOOT_DEADLINE)?;
    guest.run(STARTED)
}

fn restart_while_a_user_container_serves(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "services-restart")?;
    let started = serve(&guest)?;
    for service in SERVICES {
        let before = state(&guest, service, "StartedAt")?;
        // The console's restart ends this very connection: it is asked for in the background.
        let _ = guest.ssh.answer(&format!(
            "sudo sh -c 'setsid system-docker restart {service} >/dev/null 2>&1 &'"
        ));
        changed(&guest, service, "StartedAt", &before)?;
        serves_on(&guest, &started).with_context(|| format!("after the restart of {service}"))?;
    }
    guest.check()
}

fn return_after_kill_9(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "services-kill")?;
    let started = serve(&guest)?;
    for service in SERVICES {
        let pid = state(&guest, service, "Pid")?;
        let _ = guest.ssh.answer(&format!("sudo kill -9 {pid}"));
        changed(&guest, service, "Pid", &pid)?;
        serves_on(&guest, &started).with_context(|| format!("after kill -9 of {service}"))?;
    }
    guest.check()
}

/// One field of a service's state. It is asked again until it answers: a restart of the console, or of the network,
/// may end the connection under the question.
fn state(guest: &Guest, service: &str, field: &str) -> anyhow::Result<String> {
    guest.run_until(
        &format!("system-docker inspect -f '{{{{.State.{field}}}}}' {service}"),
        BOOT_DEADLINE,
    )
}

/// Waits until a service runs again: until `field` of its state, which differs from start to start, is no longer
/// `before`.
fn changed(guest: &Guest, service: &str, field: &str, before: &str) -> anyhow::Result<()> {
    let state = format!("{{{{.State.Running}}}} {{{{.State.{field}}}}}");
    guest
        .run_until(
            &format!(
                "set -- $(system-docker inspect -f '{state}' {service}) && test \"$1\" = true && test \"$2\" != '{before}'"
            ),
            BOOT_DEADLINE,
        )
        .map(drop)
        .with_context(|| format!("{service} does not return"))
}

/// The user's container answers, and is the one that was started at `started`.
fn serves_on(guest: &Guest, started: &str) -> anyhow::Result<()> {
    guest.run_until(SERVED, BOOT_DEADLINE)?;
    let now = guest.run_until(STARTED, BOOT_DEADLINE)?;
    ensure!(
        now == started,
        "the user's container was restarted: {started}, {now}"
    );
    Ok(())
}

fn survive_rm_f_of_all_user_containers(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "services-rm")?;
    for name in ["one", "two", "three"] {
        guest.run(&format!(
            "docker run -d --name {name} --restart always busybox sleep 100000"
        ))?;
    }
    let before = guest.run("for s in acpid console docker network ntp syslog udev; do system-docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}' $s; done")?;
    guest.run("docker rm -f $(docker ps -qa)")?;
    ensure!(
        guest.run("docker ps -qa")?.is_empty(),
        "a user container is left"
    );
    let after = guest.run("for s in acpid console docker network ntp syslog udev; do system-docker inspect -f '{{.Name}} {{.Id}} {{.State.StartedAt}}' $s; done")?;
    ensure!(before == after, "the system noticed:\n{before}\n{after}");
    guest.check()
}
