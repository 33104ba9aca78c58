//! PID 1's program is replaced in place, and nobody in the machine notices.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use super::install::{DISK_BYTES, blank_disk, install_on, reboot};
use crate::context::{Context, alone, long};
use crate::guest::{BOOT_DEADLINE, Guest};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "upgrade_reexec_keeps_containers",
            reexec_keeps_containers,
        ),
        long(
            context,
            "upgrade_keeps_a_program_of_pid_1_over_boots",
            keeps_a_program,
        ),
    ]
}

/// The stock docker client, on PID 1's socket.
const STOCK: &str = "docker -H unix:///var/run/system-docker.sock";
/// Counts; with it a lost or doubled line shows.
const COUNT: &str = "i=0; while :; do echo n $i; i=$((i+1)); usleep 5000; done";
const UPGRADES: u32 = 50;
/// Upgrades in one command, which has a deadline.
const AT_ONCE: u32 = 5;

fn reexec_keeps_containers(context: &Context) -> anyhow::Result<()> {
    let mut guest = Machine::new("upgrade", Boot::Kernel)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    let served = start(&guest)?;
    let before = processes(&guest)?;
    let mut descriptors = String::new();
    for round in 1..=UPGRADES / AT_ONCE {
        // The stock client is answered by each of the programs.
        guest.run(&format!(
            "for i in $(seq {AT_ONCE}); do system-docker engine upgrade && {STOCK} ps -q >/dev/null || exit 1; done"
        ))?;
        if round == 1 {
            // Each program opens itself once, for its first container
            guest.run(&format!("{STOCK} run --rm busybox true"))?;
            descriptors = guest.run("sudo ls /proc/1/fd | wc -l")?;
        }
    }
    let version = guest.run("system-docker engine version")?;
    ensure!(
        version.contains(&format!("Upgrades:      {UPGRADES}")),
        "engine version says {version}"
    );
    let after = processes(&guest)?;
    ensure!(before == after, "a process was lost:\n{before}\n{after}");
    check_logs(&guest)?;
    let now = guest.run("docker inspect -f '{{.State.StartedAt}}' web")?;
    ensure!(now == served, "the user's container was restarted");
    guest.run("test \"$(wget -qO- http://127.0.0.1:8080/index.html)\" = served")?;
    guest.run_until(
        &format!("test $(sudo ls /proc/1/fd | wc -l) -le {descriptors}"),
        BOOT_DEADLINE,
    )?;
    guest.run_until(
        "! sudo grep -q '^State:[[:space:]]*Z' /proc/[0-9]*/status",
        BOOT_DEADLINE,
    )?;
    let refused = guest.ssh.answer("system-docker engine upgrade /bin/sh")?;
    ensure!(
        refused.code == 1 && refused.stderr.contains("cannot take over"),
        "another program: {refused:?}"
    );
    // What PID 1 did before it still does.
    guest.run("ros boot blame")?;
    guest.run(&format!("{STOCK} run --rm busybox true"))?;
    guest.press_power()?;
    guest.wait_off()?;
    guest.check()
}

/// A user's container and some on System Docker; when the user's was started.
fn start(guest: &Guest) -> anyhow::Result<String> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    guest.run("docker run -d --name web -p 8080:80 busybox sh -c 'echo served > /index.html; exec httpd -f -p 80 -h /'")?;
    guest.run_until(
        "test \"$(wget -qO- http://127.0.0.1:8080/index.html)\" = served",
        BOOT_DEADLINE,
    )?;
    guest
        .run("docker save busybox -o /tmp/busybox.tar && system-docker load -i /tmp/busybox.tar")?;
    guest.run(&format!(
        "{STOCK} run -d --name counter busybox sh -c '{COUNT}'"
    ))?;
    guest.run(&format!(
        "{STOCK} run -dt --name terminal busybox sh -c '{COUNT}'"
    ))?;
    guest.run(&format!(
        "{STOCK} run -d --name again --restart always busybox sh -c 'echo run; sleep 1; exit 3'"
    ))?;
    guest.run("docker inspect -f '{{.State.StartedAt}}' web")
}

/// The first process of each container that is not to end.
fn processes(guest: &Guest) -> anyhow::Result<String> {
    guest.run(&format!(
        "{STOCK} inspect -f '{{{{.Name}}}} {{{{.State.Pid}}}} {{{{.RestartCount}}}}' acpid console docker network ntp syslog udev counter terminal"
    ))
}

/// Every number once, and as many restarts as runs.
fn check_logs(guest: &Guest) -> anyhow::Result<()> {
    for name in ["counter", "terminal"] {
        guest.run(&format!(
            "{STOCK} logs {name} | awk -v least={UPGRADES} '$2 + 0 != NR - 1 {{ bad = 1 }} END {{ exit bad || NR < least }}'"
        ))?;
    }
    guest.run(&format!("{STOCK} stop -t 0 again"))?;
    let runs = guest.run(&format!("{STOCK} logs again | grep -c run"))?;
    let restarts = guest.run(&format!("{STOCK} inspect -f '{{{{.RestartCount}}}}' again"))?;
    ensure!(
        runs.parse::<u32>()? == restarts.parse::<u32>()? + 1,
        "{runs} runs, {restarts} restarts"
    );
    Ok(())
}

/// Another program of PID 1's: the same one with some bytes behind it, which no program looks at.
const OTHER: &str = "sudo cp /proc/1/exe /var/lib/rancher/other && echo other | sudo tee -a /var/lib/rancher/other >/dev/null";
/// Whether PID 1 runs it.
const RUNS_OTHER: &str = "sudo cmp /proc/1/exe /var/lib/rancher/other";

fn keeps_a_program(context: &Context) -> anyhow::Result<()> {
    let disk = blank_disk(DISK_BYTES)?;
    install_on(&context.artifacts, "keep-install", &disk.path, "")?;
    let guest = Machine::new("keep", Boot::Disk)
        .disk_behind(&disk.path, "virtio-blk-pci")
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.run(OTHER)?;
    // What cannot take over is not kept, either
    let refused = guest
        .ssh
        .answer("sudo system-docker engine upgrade --keep /bin/sh")?;
    ensure!(
        refused.code == 1 && refused.stderr.contains("cannot take over"),
        "another program: {refused:?}"
    );
    guest.run("sudo ros os status | grep -q 'state: idle'")?;
    let said = guest.run("sudo system-docker engine upgrade --keep /var/lib/rancher/other")?;
    ensure!(
        said.contains("has taken over") && said.contains("+engine."),
        "it said: {said}"
    );
    guest.run(RUNS_OTHER)?;
    guest.run("sudo ros os status | grep -q 'state: armed'")?;
    guest.refuses(
        "sudo system-docker engine upgrade --keep",
        1,
        "is tried first",
    )?;
    for boot in 1..=2 {
        reboot(&guest, 1)?;
        guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
        guest.run(RUNS_OTHER)?;
        let list = guest.run("sudo ros os list | grep running")?;
        ensure!(
            list.contains("+engine.") && list.contains("good"),
            "boot {boot}: {list}"
        );
    }
    guest.run("sudo ros os verify")?;
    // The way back is that of any version
    guest.run("sudo ros os rollback -f --no-reboot")?;
    reboot(&guest, 1)?;
    guest.run_until("sudo ros os status | grep -q 'state: idle'", BOOT_DEADLINE)?;
    guest.run(&format!("! {RUNS_OTHER}"))?;
    guest.check()
}
