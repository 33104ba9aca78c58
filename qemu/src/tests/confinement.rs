//! What runs with which rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{Context, shared};
use crate::guest::{BOOT_DEADLINE, Guest};

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "confinement_files_of_the_system_are_closed_to_others",
            files_are_closed_to_others,
        ),
        shared(
            context,
            "confinement_services_have_no_more_than_they_declare",
            no_more_than_declared,
        ),
        shared(
            context,
            "confinement_both_dockers_use_apparmor",
            both_dockers_use_apparmor,
        ),
        shared(context, "confinement_only_ssh_listens", only_ssh_listens),
    ]
}

/// What `cargo xtask docs` made of rootfs/os-config.yml, the source of docs/security.md too.
const DECLARED: &str = include_str!("../../confinement.toml");

/// All capabilities in the order of their numbers (linux/capability.h).
#[rustfmt::skip]
const CAPABILITIES: [&str; 41] = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
];

/// The rights of a service.
#[derive(Debug, Deserialize)]
struct Rights {
    privileged: bool,
    seccomp: bool,
    /// Its AppArmor profile.
    apparmor: String,
    capabilities: Vec<String>,
}

fn no_more_than_declared(guest: &Guest) -> anyhow::Result<()> {
    let declared: BTreeMap<String, Rights> = toml::from_str(DECLARED)?;
    let mut running = 0;
    for (service, rights) in declared {
        let pid = guest.run(&format!(
            "system-docker inspect -f '{{{{.State.Pid}}}}' {service}"
        ))?;
        let pid = pid.trim();
        if pid == "0" {
            // It runs once per boot and has ended.
            continue;
        }
        running += 1;
        let status = guest.run(&format!(
            "sudo grep -E '^(CapBnd|Seccomp):' /proc/{pid}/status"
        ))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.map(str::trim)
                .with_context(|| format!("{service}: no {name} in {status:?}"))
        };
        if rights.seccomp {
            ensure!(field("Seccomp:")? == "2", "{service} runs without seccomp");
        }
        let profile = guest.run(&format!("sudo cat /proc/{pid}/attr/apparmor/current"))?;
        let profile = profile.split_whitespace().next().unwrap_or_default();
        ensure!(
            profile == rights.apparmor,
            "{service} runs under the AppArmor profile {profile:?}, declared is {:?}",
            rights.apparmor
        );
        let bounding = u64::from_str_radix(field("CapBnd:")?, 16)?;
        let gained: Vec<&str> = CAPABILITIES
            .iter()
            .enumerate()
            .filter(|(number, name)| {
                bounding & (1 << number) != 0
                    && !rights.capabilities.iter().any(|known| known == *name)
            })
            .map(|(_, name)| *name)
            .collect();
        ensure!(
            rights.privileged || gained.is_empty(),
            "{service} has more than it declares: {gained:?}"
        );
    }
    ensure!(running >= 5, "only {running} services run");
    Ok(())
}

/// The profile of a process, as it sees it itself.
const PROFILE: &str = "cat /proc/self/attr/apparmor/current";

/// A profile of a user's own, as they are written on Debian.
const OWN: &str = "#include <tunables/global>\\nprofile own {\\n #include <abstractions/base>\\n file,\\n deny /etc/passwd r,\\n}\\n";

fn both_dockers_use_apparmor(guest: &Guest) -> anyhow::Result<()> {
    guest.run_until("docker image inspect busybox >/dev/null", BOOT_DEADLINE)?;
    // A different name: another test removes busybox from System Docker meanwhile
    guest.run("docker tag busybox probe && docker save probe | system-docker load -q")?;
    for docker in ["docker", "system-docker"] {
        let run = |options: &str, command: &str| {
            let line = format!("{docker} run --rm {options} probe {command}");
            guest.ssh.answer(&line)
        };
        for (options, profile) in [
            ("", "docker-default (enforce)"),
            (
                "--security-opt apparmor=docker-default",
                "docker-default (enforce)",
            ),
            ("--security-opt apparmor=unconfined", "unconfined"),
            ("--privileged", "unconfined"),
        ] {
            let found = run(options, PROFILE)?.stdout;
            ensure!(
                found.trim() == profile,
                "{docker} run {options}: {found:?}, not {profile}"
            );
        }
        // What capabilities and seccomp allow here, the profile forbids
        let mount = "mount -t tmpfs none /tmp";
        let refused = run("--cap-add SYS_ADMIN", mount)?;
        ensure!(
            refused.stderr.contains("Permission denied"),
            "{docker}: a confined mount: {}",
            refused.stderr
        );
        let options = "--cap-add SYS_ADMIN --security-opt apparmor=unconfined";
        let allowed = run(options, mount)?;
        ensure!(allowed.code == 0, "{docker}: mount: {}", allowed.stderr);
        let unknown = run("--security-opt apparmor=nobodys", "true")?;
        ensure!(unknown.code != 0, "{docker}: a profile that is not loaded");

        guest.run(&format!(
            "{docker} run -d --name confined probe sleep 100000"
        ))?;
        let found = guest.run(&format!("{docker} exec --privileged confined {PROFILE}"))?;
        ensure!(found == "docker-default (enforce)", "exec: {found}");
        let filter = "grep Seccomp: /proc/self/status";
        let found = guest.run(&format!("{docker} exec --privileged confined {filter}"))?;
        ensure!(found == "Seccomp:\t2", "{docker} exec: {found}");
        let found = guest.run(&format!(
            "{docker} inspect -f '{{{{.AppArmorProfile}}}}' confined"
        ))?;
        ensure!(found == "docker-default", "inspect: {found}");
        guest.run(&format!("{docker} rm -f confined"))?;
        guest.run(&format!("printf '{OWN}' | sudo apparmor_parser -r"))?;
        let denied = run("--security-opt apparmor=own", "cat /etc/passwd")?;
        ensure!(
            denied.stderr.contains("Permission denied"),
            "{docker}: a profile of the user's own: {}",
            denied.stderr
        );
        guest.run(&format!("{docker} info | grep -q apparmor"))?;
    }
    guest
        .run("system-docker rmi probe && docker rmi probe")
        .map(drop)
}

fn only_ssh_listens(guest: &Guest) -> anyhow::Result<()> {
    let open = guest.run("sudo ss -Htln | awk '{print $4}' | grep -v -e '^127\\.' -e '^\\[::1\\]' | sed 's/.*://' | sort -u | tr '\\n' ' '")?;
    let strange: Vec<&str> = open
        .split_whitespace()
        .filter(|port| !matches!(*port, "22" | "8080" | "8081"))
        .collect();
    ensure!(strange.is_empty(), "open ports: {open}");
    Ok(())
}

/// What everybody may read of the system's own files: nothing of it is secret. A name that ends in `/` is all below it.
const OPEN: &[&str] = &[
    "/run/rancher/boot.json",
    "/run/rancher/services.json",
    "/run/rancher/console-files",
    "/run/rancher/network/",     // what DHCP servers said, as in resolv.conf
    "/run/rancher/ssh/",         // public keys
    "/run/rancher/ssh-users/",   // public keys
    "/var/lib/rancher/preload/", // the owner's images, and which of them were loaded
    "/run/rancher/runcmd-done",
    "/run/rancher/warnings/",
];

/// A user without any group: of the system's files, what is not listed is closed, and no socket of an engine answers.
fn files_are_closed_to_others(guest: &Guest) -> anyhow::Result<()> {
    let nobody = |command: &str| guest.run(&format!("sudo -u nobody sh -c '{command}'"));
    let found = nobody(
        "find /run/rancher /run/system-docker /var/lib/rancher /var/lib/system-docker /var/lib/docker /etc/docker \
         -xdev -type f -exec test -r {} \\; -print 2>/dev/null || true",
    )?;
    let is_open = |path: &&str| {
        OPEN.iter()
            .any(|open| path == open || open.ends_with('/') && path.starts_with(open))
    };
    let wrong: Vec<&str> = found.lines().filter(|path| !is_open(path)).collect();
    ensure!(wrong.is_empty(), "anybody can read {wrong:#?}");
    let sockets = nobody("find /run -type s -exec test -w {} \\; -print 2>/dev/null || true")?;
    ensure!(
        sockets.lines().all(|socket| socket == "/run/syslog/log"),
        "anybody can write to {sockets}"
    );
    Ok(())
}
