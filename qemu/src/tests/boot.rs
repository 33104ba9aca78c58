//! What is true of the machine once it is up.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::guest::{Guest, SERVICES};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(context, "boot_pid_1_is_the_engine", pid_1_is_the_engine),
        shared(
            context,
            "boot_nothing_runs_outside_a_container",
            nothing_runs_outside_a_container,
        ),
        shared(context, "boot_services_are_listed", services_are_listed),
        shared(context, "boot_services_run_once", services_run_once),
        shared(
            context,
            "boot_blame_names_every_phase_and_service",
            blame_names_every_phase,
        ),
        shared(context, "boot_orphans_are_reaped", orphans_are_reaped),
        shared(
            context,
            "boot_unknown_parameters_are_warned_about",
            unknown_parameters_are_warned_about,
        ),
        shared(
            context,
            "boot_devices_get_their_modules",
            devices_get_their_modules,
        ),
        shared(
            context,
            "boot_kernel_gets_modules_it_asks_for",
            kernel_gets_modules_it_asks_for,
        ),
        shared(
            context,
            "boot_kernel_runs_no_program_that_somebody_names",
            kernel_runs_no_program_that_somebody_names,
        ),
        shared(
            context,
            "boot_small_machines_keep_a_small_reserve",
            small_machines_keep_a_small_reserve,
        ),
    ]
}

fn pid_1_is_the_engine(guest: &Guest) -> anyhow::Result<()> {
    // A copy of its program would be in RAM next to the one that runs
    guest.run(
        "test \"$(sudo stat -L -c %d:%i /proc/1/exe)\" = \"$(sudo stat -L -c %d:%i /proc/1/root/sbin/init)\"",
    )?;
    let first = guest.run("ps aux | head -2 | tail -1")?;
    let words: Vec<&str> = first.split_whitespace().collect();
    ensure!(
        words.get(1) == Some(&"1") && first.contains("init"),
        "the first process is {first}"
    );
    // The one that answers on the socket is PID 1 itself.
    let owner = guest.run("sudo ss -xlpH src /run/system-docker.sock | grep -o 'pid=[0-9]*'")?;
    ensure!(
        owner.lines().all(|line| line == "pid=1"),
        "the socket belongs to {owner}"
    );
    Ok(())
}

/// Kernel threads are children of process 2; every other process has a cgroup of some container.
fn nothing_runs_outside_a_container(guest: &Guest) -> anyhow::Result<()> {
    let outside = guest.run(
        "for p in /proc/[0-9]*; do n=${p#/proc/}; \
         [ $n = 1 ] || [ $n = 2 ] || [ \"$(awk '/^PPid:/ {print $2}' $p/status 2>/dev/null)\" = 2 ] && continue; \
         c=$(cat $p/cgroup 2>/dev/null) || continue; \
         case $c in 0::/system-docker/*|0::/user-docker*|0::/docker/*|0::/../*) ;; '') ;; \
         *) echo $n $c $(tr '\\0' ' ' < $p/cmdline);; esac; done",
    )?;
    ensure!(outside.is_empty(), "outside any container: {outside}");
    Ok(())
}

fn services_are_listed(guest: &Guest) -> anyhow::Result<()> {
    guest.wait_services(&SERVICES)
}

/// A service that is started twice has two first processes; each of these has one, whatever its helpers.
fn services_run_once(guest: &Guest) -> anyhow::Result<()> {
    guest.wait_services(&SERVICES)?;
    for program in [
        "systemd-udevd",
        "rsyslogd",
        "acpid",
        "dhcpcd",
        "chronyd",
        "dockerd",
    ] {
        let first = guest.run(&format!(
            "for p in $(pgrep -x {program}); do awk '/^PPid:/ {{print $2}}' /proc/$p/status; done | grep -cx 1"
        ))?;
        ensure!(first == "1", "{program} runs {first} times");
    }
    Ok(())
}

fn blame_names_every_phase(guest: &Guest) -> anyhow::Result<()> {
    let blame = guest.run("ros boot blame")?;
    for phase in [
        "find media",
        "mount state",
        "switch root",
        "start engine",
        "start services",
        "ready",
    ] {
        ensure!(blame.contains(phase), "{phase} is not in {blame}");
    }
    for service in SERVICES {
        let is_line = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.first() == Some(&service) && words.contains(&"made") && words.contains(&"started")
        };
        ensure!(
            blame.lines().any(is_line),
            "{service} has no line in {blame}"
        );
    }
    ensure!(
        blame.contains(" after cloud-init (ended "),
        "nobody waited: {blame}"
    );
    Ok(())
}

/// A process whose parent ends becomes PID 1's child; PID 1 must not leave it a zombie.
fn orphans_are_reaped(guest: &Guest) -> anyhow::Result<()> {
    guest.run("for i in 1 2 3 4 5 6 7 8; do (sh -c 'sleep 0.2 & exit 0' &); done")?;
    let zombies = "! ps -eo stat=,ppid= | grep -q '^Z.* 1$'";
    guest.run_until(
        &format!("! pgrep -x sleep && {zombies}"),
        std::time::Duration::from_secs(30),
    )?;
    Ok(())
}

fn unknown_parameters_are_warned_about(guest: &Guest) -> anyhow::Result<()> {
    let text = guest.console.text();
    ensure!(
        text.contains("rancher.not_a_key"),
        "no warning about rancher.not_a_key on the console"
    );
    Ok(())
}

fn devices_get_their_modules(guest: &Guest) -> anyhow::Result<()> {
    let missing = guest.run(
        "uname -r >/dev/null; test -e /lib/modules/$(uname -r)/modules.dep || echo no modules; \
         lsmod | grep -q . || echo none loaded",
    )?;
    ensure!(missing.is_empty(), "{missing}");
    Ok(())
}

/// A link of a kind that no module is loaded for: the kernel calls PID 1's program as modprobe(8).
fn kernel_gets_modules_it_asks_for(guest: &Guest) -> anyhow::Result<()> {
    guest.run("test ! -d /sys/module/dummy")?;
    guest.run("sudo ip link add asked type dummy && test -d /sys/module/dummy")?;
    guest.run("sudo ip link delete asked")?;
    // dhcpcd asks for Wi-Fi on every machine, and this one has no card.
    guest.run("test ! -d /sys/module/cfg80211")?;
    Ok(())
}

/// Root of a container that gets at these files would be root of the machine: the kernel runs what they name outside of it.
fn kernel_runs_no_program_that_somebody_names(guest: &Guest) -> anyhow::Result<()> {
    for (file, provoke) in [
        (
            "core_pattern",
            "sh -c 'ulimit -c unlimited; kill -SEGV $$' || true",
        ),
        ("modprobe", "ip link add asked type ifb || true"),
    ] {
        let set = |text: &str| {
            guest.run(&format!(
                "echo '{text}' | sudo tee /proc/sys/kernel/{file} >/dev/null"
            ))
        };
        let evil = format!("/tmp/evil-{file}");
        guest.run(&format!(
            "printf '#!/bin/sh\\nid > /tmp/taken\\n' > {evil} && chmod 755 {evil}"
        ))?;
        let before = guest.run(&format!("cat /proc/sys/kernel/{file}"))?;
        let pipe = if file == "core_pattern" { "|" } else { "" };
        set(&format!("{pipe}{evil}"))?;
        guest.run(&format!("sudo {provoke}"))?;
        set(&before)?;
        guest.run_until(
            &format!("sudo dmesg | grep 'was told to run {evil}'"),
            std::time::Duration::from_secs(30),
        )?;
        guest.run("test ! -e /tmp/taken")?;
    }
    Ok(())
}

/// The kernel's own choice with huge pages is 44 MiB and more.
fn small_machines_keep_a_small_reserve(guest: &Guest) -> anyhow::Result<()> {
    let kib: u64 = guest.run("cat /proc/sys/vm/min_free_kbytes")?.parse()?;
    ensure!(kib < 20_000, "{kib} KiB are kept free");
    Ok(())
}
