//! Ways to end: they are orderly, and they end.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;

use crate::context::{Context, alone};
use crate::disk::Disk;
use crate::guest::{Guest, OFF_DEADLINE};
use crate::machine::{Boot, Machine};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        alone(
            context,
            "power_button_turns_the_machine_off",
            button_turns_the_machine_off,
        ),
        alone(context, "power_ctrl_alt_del_reboots", ctrl_alt_del_reboots),
        alone(
            context,
            "power_commands_end_user_containers_gently",
            commands_end_user_containers_gently,
        ),
        alone(
            context,
            "power_off_stops_each_container_by_its_own_rules",
            off_stops_each_container_by_its_own_rules,
        ),
    ]
}

fn booted(context: &Context, name: &str) -> anyhow::Result<Guest> {
    let guest = Machine::new(name, Boot::Kernel)
        .reset_ends()
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    Ok(guest)
}

fn button_turns_the_machine_off(context: &Context) -> anyhow::Result<()> {
    let mut guest = booted(context, "power-button")?;
    guest.press_power()?;
    guest.wait_off()
}

fn ctrl_alt_del_reboots(context: &Context) -> anyhow::Result<()> {
    let mut guest = booted(context, "power-ctrl-alt-del")?;
    guest.press_ctrl_alt_del()?;
    guest.wait_reset()
}

/// Containers that write to the console when they get SIGTERM. dockerd hangs, and says nothing of them: they are found wherever
/// their cgroup is, and in whosever pid namespace they run.
fn commands_end_user_containers_gently(context: &Context) -> anyhow::Result<()> {
    let mut guest = booted(context, "power-gentle")?;
    guest.wait_docker()?;
    for (number, options) in [(44, ""), (55, "--cgroup-parent mine --pid host")] {
        let said = number - 4;
        guest.run(&format!(
            "docker run -d -v /dev/kmsg:/kmsg --privileged {options} busybox \
             sh -c \"trap 'echo container-says-$(({said} + 4)) > /kmsg; exit' TERM; while :; do sleep 0.1; done\""
        ))?;
    }
    // A container that is paused gets its signal, too.
    guest.run("docker pause $(docker ps -lq) && sudo pkill -STOP -x dockerd")?;
    let mark = guest.console.mark();
    let _ = guest.ssh.answer("sudo poweroff");
    for words in ["container-says-44", "container-says-55"] {
        guest.console.wait_after(mark, words, OFF_DEADLINE)?;
    }
    guest.wait_off()
}

/// A shell that writes what signal it got, and when it was done, to files of the state partition; `/x` is there.
fn witness(name: &str, signal: &str, before: &str) -> String {
    format!(
        "busybox sh -c \"trap '{before} echo done >/x/{name}; exit' {signal}; trap 'echo term >/x/{name}; exit' TERM; \
         while :; do sleep 0.2; done\""
    )
}

/// Whoever fills /run stops no start of a container.
fn full_run_stops_no_start(guest: &Guest) -> anyhow::Result<()> {
    guest.run("sudo dd if=/dev/zero of=/run/filler bs=1M 2>/dev/null; ! echo x | sudo tee /run/more >/dev/null 2>&1")?;
    for docker in ["docker", "system-docker"] {
        let said = guest.run(&format!("{docker} run --rm busybox echo started"))?;
        ensure!(
            said == "started",
            "{docker} says {said:?} when /run is full"
        );
    }
    guest.run("sudo rm -f /run/filler /run/more").map(drop)
}

/// Containers of both engines with their own signals and times, and eight that do not end by themselves: each gets what
/// it asked for, and the state file system is clean.
fn off_stops_each_container_by_its_own_rules(context: &Context) -> anyhow::Result<()> {
    let disk = Disk::state()?;
    let mut guest = Machine::new("power-own-rules", Boot::Kernel)
        .state_disk(&disk.path)
        .memory_mib(1536)
        .start(&context.artifacts)?;
    guest.wait_ready()?;
    guest.wait_docker()?;
    guest.run("sudo mkdir -m 777 /opt/x && docker save busybox | system-docker load")?;
    for docker in ["docker", "system-docker"] {
        let run = |options: &str, command: &str| {
            guest.run(&format!("{docker} run -d -v /opt/x:/x {options} {command}"))
        };
        let quick = witness(&format!("{docker}-quit"), "QUIT", "");
        run("--stop-signal SIGQUIT", &quick)?;
        // Longer than anybody gets who does not ask for it.
        let slow = format!(
            "busybox sh -c \"trap 'sleep 13; echo done >/x/{docker}-slow; exit' TERM; while :; do sleep 0.2; done\""
        );
        run("--stop-timeout 30", &slow)?;
    }
    full_run_stops_no_start(&guest)?;
    for number in 0..8 {
        guest.run(&format!(
            "system-docker run -d --name deaf{number} busybox sleep 100000"
        ))?;
    }
    // A swap file would keep the state disk mounted.
    guest.run("sudo sh -c 'dd if=/dev/zero of=/home/swap bs=1M count=16 2>/dev/null; chmod 600 /home/swap; mkswap /home/swap >/dev/null; swapon /home/swap'")?;
    let _ = guest.ssh.answer("sudo poweroff");
    guest.wait_off()?;
    for words in ["leaving anyway", "stays mounted", "stays on"] {
        ensure!(
            !guest.console.text().contains(words),
            "the shutdown says {words:?}\n{}",
            guest.console.tail()
        );
    }
    for name in [
        "docker-quit",
        "docker-slow",
        "system-docker-quit",
        "system-docker-slow",
    ] {
        let cat = format!("cat /opt/x/{name}");
        let said = duct::cmd!("debugfs", "-R", &cat, &disk.path)
            .stderr_null()
            .read()
            .context("debugfs")?;
        ensure!(
            said == "done",
            "{name} says {said:?}\n{}",
            guest.console.tail()
        );
    }
    let superblock = duct::cmd!("dumpe2fs", "-h", &disk.path)
        .stderr_null()
        .read()
        .context("dumpe2fs")?;
    ensure!(
        !superblock.contains("needs_recovery"),
        "the state file system was not unmounted\n{}",
        guest.console.tail()
    );
    Ok(())
}
