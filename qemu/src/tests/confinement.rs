//! What runs with which rights.

use std::sync::Arc;

use anyhow::ensure;
use libtest_mimic::Trial;

use crate::context::{Context, shared};
use crate::machine::Guest;

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

/// The privileged ones; each has its reason in rootfs/os-config.yml.
const PRIVILEGED: [&str; 2] = ["console", "docker"];

fn no_more_than_declared(guest: &Guest) -> anyhow::Result<()> {
    for service in ["acpid", "network", "ntp", "syslog", "udev"] {
        ensure!(!PRIVILEGED.contains(&service), "{service} is listed twice");
        let pid = guest.run(&format!(
            "system-docker inspect -f '{{{{.State.Pid}}}}' {service}"
        ))?;
        let status = guest.run(&format!(
            "sudo grep -E '^(CapBnd|Seccomp|NoNewPrivs):' /proc/{pid}/status"
        ))?;
        ensure!(
            !status.contains("000001ffffffffff"),
            "{service} has every capability:\n{status}"
        );
        ensure!(
            status.contains("Seccomp:\t2"),
            "{service} runs without seccomp:\n{status}"
        );
    }
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
