//! `ros config apply`: what it changes holds at once, and what cuts the machine off comes back by itself.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use super::user_data::prints;
use crate::context::{Context, alone};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![alone(
        context,
        "config_apply_holds_at_once_and_comes_back_when_it_cuts_the_machine_off",
        holds_at_once_and_comes_back,
    )]
}

/// Longest wait for a machine whose change is taken back: the time to confirm, restarts, and DHCP.
const BACK: Duration = Duration::from_secs(120);

fn holds_at_once_and_comes_back(context: &Context) -> anyhow::Result<()> {
    let guest = Machine::new("config-apply", Boot::Kernel)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run_until("sudo test -S /run/rancher/config.sock", BOOT_DEADLINE)?;
    live(&guest).context("what holds at once")?;
    user(&guest).context("a user")?;
    address(&guest).context("a wrong address")?;
    dockerd(&guest).context("settings that dockerd refuses")?;
    guest.check()
}

/// A kernel setting, a host name and a service come and go; a login that is older than the change confirms nothing.
fn live(guest: &Guest) -> anyhow::Result<()> {
    let before = guest.run("cat /proc/sys/vm/swappiness")?;
    guest.run("sudo ros config set rancher.sysctl.vm.swappiness 7 && sudo ros config set hostname live && sudo ros config set rancher.services.probe '{image: \"rancher/os-base:${VERSION}\", command: sleep 1000, labels: {io.rancher.os.scope: system}}'")?;
    let plan = guest.run("sudo ros config apply --dry-run")?;
    for words in ["rancher.sysctl.vm.swappiness", "at once", "outage: none"] {
        ensure!(plan.contains(words), "{words} is not in {plan}");
    }
    let old = guest.run(
        "sudo ros config apply --confirm=60s 2>&1; sudo ros config confirm 2>&1 || echo refused",
    )?;
    ensure!(
        old.contains("older than the change") && old.contains("refused"),
        "{old}"
    );
    prints(guest, "cat /proc/sys/vm/swappiness; hostname", "7\nlive")?;
    let second = guest
        .ssh
        .answer("sudo ros config set rancher.debug true; sudo ros config apply")?;
    ensure!(second.code != 0, "a second change was taken");
    guest.run("sudo ros config set rancher.debug null")?;
    let confirmed = guest.ssh.answer_anew("sudo ros config confirm")?;
    ensure!(
        confirmed.code == 0,
        "a new connection may not confirm: {confirmed:?}"
    );
    prints(
        guest,
        "system-docker inspect -f '{{.State.Running}}' probe",
        "true",
    )?;
    prints(
        guest,
        "sudo ros config apply --dry-run",
        "nothing to apply: the machine runs with this configuration",
    )?;
    guest.run("sudo ros config set rancher.sysctl null && sudo ros config set hostname null && sudo ros config set rancher.services null && sudo ros config apply")?;
    prints(guest, "cat /proc/sys/vm/swappiness", &before)?;
    ensure!(guest.run("hostname")? != "live", "the name stays");
    ensure!(
        guest.ssh.answer("system-docker inspect probe")?.code != 0,
        "the service stays"
    );
    Ok(())
}

/// A user, a password and a mount come and go with their keys, and a container of User Docker runs on meanwhile.
fn user(guest: &Guest) -> anyhow::Result<()> {
    const SINCE: &str = "docker inspect -f '{{.State.StartedAt}}' runs-on";
    guest.run("docker run -d --name runs-on -p 18080:80 busybox sh -c 'echo whole >/index.html; exec httpd -f -h /'")?;
    is_whole(guest)?;
    let since = guest.run(SINCE)?;
    guest.run("sudo ros config set users '[{name: eve, sudo: \"ALL=(ALL) NOPASSWD:ALL\"}]' && sudo ros config set rancher.password secret && sudo ros config set mounts '[[none, /mnt/eve, tmpfs]]'")?;
    apply(guest)?;
    guest.run_until(
        "sudo -u eve sudo -n true && grep -q ' /mnt/eve ' /proc/mounts && sudo grep -q '^rancher:[$]' /etc/shadow",
        BACK,
    )?;
    for key in ["users", "rancher.password", "mounts"] {
        guest.run(&format!("sudo ros config set {key} null"))?;
    }
    apply(guest)?;
    guest.run_until(
        "! id eve 2>/dev/null && ! sudo grep -rq eve /etc/sudoers.d && sudo grep -q '^rancher:[*]:' /etc/shadow && ! grep -q ' /mnt/eve ' /proc/mounts",
        BACK,
    )?;
    guest.wait_docker()?;
    prints(guest, SINCE, &since)?;
    is_whole(guest).context("a container that ran on, after its console was replaced twice")?;
    prints(guest, "docker rm -f runs-on", "runs-on")?;
    prints(
        guest,
        "system-docker ps -a --format '{{.Names}}' | grep '^console'",
        "console",
    )
}

/// Docker reaches the file system and the network of a container: both are mounted in the view of the console that dockerd runs in.
fn is_whole(guest: &Guest) -> anyhow::Result<()> {
    prints(guest, "docker exec runs-on cat /index.html", "whole")?;
    guest.run("docker cp runs-on:/index.html /tmp/copied && grep whole /tmp/copied")?;
    guest.run_until(
        "curl -sf http://127.0.0.1:18080/ | grep whole",
        BOOT_DEADLINE,
    )?;
    guest.run("docker network create second && docker network connect second runs-on && docker exec runs-on ip addr show eth1 && docker network disconnect second runs-on && docker network rm second")?;
    Ok(())
}

/// Applies what ends the login that asks for it.
fn apply(guest: &Guest) -> anyhow::Result<()> {
    let mark = guest.console.mark();
    guest.run("sudo sh -c 'setsid ros config apply >/run/apply.log 2>&1 &'")?;
    guest
        .console
        .wait_after(mark, "config apply: docker was restarted", BACK)?;
    guest.run_until("true", BACK)?;
    Ok(())
}

/// An address that nobody reaches: after the deadline the machine is where it was.
fn address(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo ros config set rancher.network.interfaces.eth0.address 192.168.77.5/24")?;
    guest.run("sudo sh -c 'setsid ros config apply --confirm=20s >/run/apply.log 2>&1 &'")?;
    guest
        .console
        .wait("is taken back: it was not confirmed", BACK)?;
    guest.run_until("true", BACK)?;
    let links = guest.run("ip -4 addr")?;
    ensure!(
        links.contains("10.0.2.15") && !links.contains("192.168.77.5"),
        "{links}"
    );
    guest.refuses(
        "sudo ros config get rancher.network.interfaces",
        1,
        "rancher.network.interfaces is not set",
    )?;
    let status = guest.run("sudo ros status --problems")?;
    ensure!(status.contains("is taken back"), "{status}");
    ensure!(
        !status.contains("after the change was taken back"),
        "{status}"
    );
    Ok(())
}

/// A logging driver that does not exist, and an option: Docker answers all the same, and says what it runs with.
fn dockerd(guest: &Guest) -> anyhow::Result<()> {
    for (key, value) in [
        ("log_driver", "bogus"),
        ("extra_args", "[--no-such-option]"),
    ] {
        guest.run(&format!(
            "sudo ros config set rancher.docker.{key} '{value}' && sudo ros config apply"
        ))?;
        guest.run_until(
            "sudo ros status --problems | grep -q 'that it last answered with'",
            BOOT_DEADLINE,
        )?;
        guest.wait_docker()?;
        prints(
            guest,
            "docker info --format '{{.LoggingDriver}}'",
            "json-file",
        )?;
        guest.run(&format!(
            "sudo ros config set rancher.docker.{key} null && sudo ros config apply"
        ))?;
        guest.wait_docker()?;
        guest.run_until(
            "! sudo ros status --problems | grep -q 'that it last answered with'",
            BOOT_DEADLINE,
        )?;
    }
    Ok(())
}
