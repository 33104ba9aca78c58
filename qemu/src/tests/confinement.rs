//! What runs with which rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::context::{Context, shared};
use crate::guest::Guest;

pub(super) fn tests(context: &Arc<Context>) -> Vec<Trial> {
    vec![
        shared(
            context,
            "confinement_services_have_no_more_than_they_declare",
            no_more_than_declared,
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

fn only_ssh_listens(guest: &Guest) -> anyhow::Result<()> {
    let open = guest.run("sudo ss -Htln | awk '{print $4}' | grep -v -e '^127\\.' -e '^\\[::1\\]' | sed 's/.*://' | sort -u | tr '\\n' ' '")?;
    let strange: Vec<&str> = open
        .split_whitespace()
        .filter(|port| !matches!(*port, "22" | "8080" | "8081"))
        .collect();
    ensure!(strange.is_empty(), "open ports: {open}");
    Ok(())
}
