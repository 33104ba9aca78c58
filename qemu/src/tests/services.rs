//! System services come back, and User Docker's containers do not notice.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::machine::{BOOT_DEADLINE, Boot, Guest, Machine};

/// What `system-docker ps` shows.
const SERVICES: [&str; 7] = [
    "acpid", "console", "docker", "network", "ntp", "syslog", "udev",
];

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
    guest.run_until(
        "test \"$(wget -qO- http://127.0.0.1:8080/index.html)\" = served",
        BOOT_DEADLINE,
    )?;
    guest.run("docker inspect -f '{{.State.StartedAt}}' web")
}

fn restart_while_a_user_container_serves(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "services-restart")?;
    let started = serve(&guest)?;
    for service in SERVICES {
        // The console's restart ends this very connection: it is asked for in the background.
        let _ = guest.ssh.answer(&format!(
            "sudo sh -c 'setsid system-docker restart {service} >/dev/null 2>&1 &'"
        ));
        restarted(&guest, service)?;
        guest
            .run_until(
                "test \"$(wget -qO- http://127.0.0.1:8080/index.html)\" = served",
                BOOT_DEADLINE,
            )
            .with_context(|| format!("the user's container after the restart of {service}"))?;
        guest.wait_docker()?;
        let now = guest.run("docker inspect -f '{{.State.StartedAt}}' web")?;
        ensure!(
            now == started,
            "the restart of {service} restarted the user's container"
        );
    }
    guest.check()
}

/// Waits until a service runs whose start is less than the guest's uptime ago.
fn restarted(guest: &Guest, service: &str) -> anyhow::Result<()> {
    let running =
        format!("test \"$(system-docker inspect -f '{{{{.State.Running}}}}' {service})\" = true");
    guest
        .run_until(&running, BOOT_DEADLINE)
        .with_context(|| format!("{service} does not run"))?;
    Ok(())
}

fn return_after_kill_9(context: &Context) -> anyhow::Result<()> {
    let guest = booted(context, "services-kill")?;
    let started = serve(&guest)?;
    for service in SERVICES {
        let pid = guest.run(&format!(
            "system-docker inspect -f '{{{{.State.Pid}}}}' {service}"
        ))?;
        let _ = guest.ssh.answer(&format!("sudo kill -9 {pid}"));
        let returned = format!(
            "p=$(system-docker inspect -f '{{{{.State.Pid}}}}' {service}); test -n \"$p\" && test $p -gt 0 && test $p != {pid}"
        );
        guest
            .run_until(&returned, BOOT_DEADLINE)
            .with_context(|| format!("{service} does not return"))?;
    }
    guest.wait_docker()?;
    guest.run_until(
        "test \"$(wget -qO- http://127.0.0.1:8080/index.html)\" = served",
        BOOT_DEADLINE,
    )?;
    let now = guest.run("docker inspect -f '{{.State.StartedAt}}' web")?;
    ensure!(
        now == started,
        "a killed service took the user's container with it"
    );
    guest.check()
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
