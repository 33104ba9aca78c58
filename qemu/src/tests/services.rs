//! System services come back, and User Docker's containers do not notice; what services wrote is kept over a reboot.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::disk::Disk;
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
        alone(
            context,
            "services_keep_what_they_wrote_over_a_reboot_and_volumes_over_a_change",
            keep_what_they_wrote,
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

/// Services of both scopes with a volume that has no name, as the configuration has them.
const OWN: [(&str, &str); 2] = [
    (
        "mine",
        "{image: busybox, command: sleep 100000, volumes: [/data], restart: always}",
    ),
    (
        "sys",
        "{image: \"rancher/os-base:${VERSION}\", command: sleep 100000, volumes: [/data], restart: always, labels: {io.rancher.os.scope: system}}",
    ),
];

/// The client of a service's Docker.
fn client(service: &str) -> &'static str {
    if service == "mine" {
        "docker"
    } else {
        "system-docker"
    }
}

/// The id of a service's container. It is asked for again: after a reboot the service may still be on its way.
fn id(guest: &Guest, service: &str) -> anyhow::Result<String> {
    let docker = client(service);
    guest.run_until(
        &format!("{docker} exec {service} true && {docker} inspect -f '{{{{.Id}}}}' {service}"),
        BOOT_DEADLINE,
    )
}

/// What a service has of what was written into its layer and into its volume.
fn notes(guest: &Guest, service: &str) -> anyhow::Result<String> {
    let docker = client(service);
    guest.run(&format!(
        "{docker} exec {service} sh -c 'cat /note 2>/dev/null; cat /data/note'"
    ))
}

fn keep_what_they_wrote(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let guest = Machine::new("services-kept", Boot::Kernel)
        .memory_mib(1536)
        .state_disk(&disk.path)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    for (service, definition) in OWN {
        guest.run(&format!(
            "sudo ros config set rancher.services.{service} '{definition}'"
        ))?;
    }
    guest.run("sudo ros service up")?;
    let mut before = Vec::new();
    for (service, _) in OWN {
        let docker = client(service);
        guest.run(&format!(
            "{docker} exec {service} sh -c 'echo layer > /note; echo volume > /data/note'"
        ))?;
        before.push(id(&guest, service)?);
    }
    let console = guest.run("system-docker inspect -f '{{.Id}}' console")?;

    let mark = guest.reboot()?;
    guest.wait_ready_after(mark)?;
    guest.wait_docker()?;
    for ((service, _), before) in OWN.into_iter().zip(&before) {
        ensure!(
            id(&guest, service)? == *before,
            "{service} has another container"
        );
        let notes = notes(&guest, service)?;
        ensure!(notes == "layer\nvolume", "{service} has {notes}");
    }
    let now = guest.run("system-docker inspect -f '{{.Id}}' console")?;
    ensure!(now != console, "the console did not start from its image");

    // Another definition is another container, with the volume of the old one.
    guest.run_until("sudo test -S /run/rancher/config.sock", BOOT_DEADLINE)?;
    for (service, _) in OWN {
        guest.run(&format!(
            "sudo ros config set rancher.services.{service}.command 'sleep 200000'"
        ))?;
    }
    guest.run("sudo ros config apply")?;
    for ((service, _), before) in OWN.into_iter().zip(&before) {
        ensure!(
            id(&guest, service)? != *before,
            "{service} has its old container"
        );
        let notes = notes(&guest, service)?;
        ensure!(notes == "volume", "{service} has {notes}");
    }
    for (service, _) in OWN {
        upgrade(&guest, service).with_context(|| format!("upgrade of {service}"))?;
    }
    guest.check()
}

/// An image that does not start it, or is not healthy, leaves the old container, with what is in it; one that does takes its place.
fn upgrade(guest: &Guest, service: &str) -> anyhow::Result<()> {
    let docker = client(service);
    let before = id(guest, service)?;
    // In the one image its program is not found, in the other one it is never healthy
    guest.run(&format!(
        "{docker} exec {service} sh -c 'echo layer > /note' && {docker} commit --change 'ENV PATH=/none' {service} bad:1 \
         && {docker} commit --change 'HEALTHCHECK --interval=1s --retries=1 CMD false' {service} sick:1 \
         && {docker} tag $({docker} inspect -f '{{{{.Config.Image}}}}' {service}) good:1"
    ))?;
    for image in ["bad:1", "sick:1"] {
        let bad = guest
            .ssh
            .answer(&format!("sudo ros service upgrade {service} {image}"))?;
        ensure!(
            bad.code == 1 && bad.stdout.contains("the old container runs again"),
            "{image}: {bad:?}"
        );
        ensure!(
            id(guest, service)? == before,
            "{image}: it has another container"
        );
        let notes_now = notes(guest, service)?;
        ensure!(notes_now == "layer\nvolume", "{image}: it has {notes_now}");
    }
    guest.run(&format!("sudo ros service upgrade {service} good:1"))?;
    let image = guest.run(&format!(
        "{docker} inspect -f '{{{{.Config.Image}}}}' {service}; {docker} ps -a --format '{{{{.Names}}}}' | grep -c before-upgrade; true"
    ))?;
    ensure!(image == "good:1\n0", "it runs {image}");
    let notes_now = notes(guest, service)?;
    ensure!(notes_now == "volume", "it has {notes_now}");
    Ok(())
}
