//! `Sysctls`: parameters that have a separate value in one of the container's namespaces, and no others.

use std::collections::BTreeMap;

use engine_api::{Error, HostConfig, Result};

use super::Joins;

/// Parameters of an IPC namespace (ipc_namespaces(7)); `fs.mqueue.*` are, too.
const IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// The user's kernel parameters, and Docker's two defaults for a network namespace of one's own: any user may bind
/// low ports and send pings.
///
/// # Errors
/// 500 with Docker's words for a parameter that the machine has only once.
pub(super) fn sysctls(host: &HostConfig, joins: Joins) -> Result<BTreeMap<String, String>> {
    let mut sysctls = host.sysctls.clone();
    for name in sysctls.keys() {
        if let Some(refusal) = refusal(&dotted(name), host) {
            return Err(Error::server(format!(
                "failed to create task for container: failed to create shim task: OCI runtime create failed: {refusal}: unknown"
            )));
        }
    }
    if host.network_mode != "host" && joins.network.is_none() {
        for (name, value) in [
            ("net.ipv4.ip_unprivileged_port_start", "0"),
            ("net.ipv4.ping_group_range", "0 2147483647"),
        ] {
            sysctls
                .entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    Ok(sysctls)
}

/// Why a parameter would be the machine's; none if it is the container's.
fn refusal(name: &str, host: &HostConfig) -> Option<String> {
    if IPC.contains(&name) || name.starts_with("fs.mqueue.") {
        return (host.ipc_mode == "host")
            .then(|| format!("sysctl \"{name}\" is not allowed in the hosts ipc namespace"));
    }
    if name.starts_with("net.") {
        return (host.network_mode == "host")
            .then(|| format!("sysctl \"{name}\" not allowed in host network namespace"));
    }
    match name {
        "kernel.domainname" if host.uts_mode != "host" => None,
        "kernel.hostname" if host.uts_mode != "host" => Some(format!(
            "sysctl \"{name}\" is not allowed as it conflicts with the OCI \"hostname\" field"
        )),
        _ => Some(format!(
            "sysctl \"{name}\" is not in a separate kernel namespace"
        )),
    }
}

/// The name with dots, as sysctl(8) reads one whose first separator is a slash.
fn dotted(name: &str) -> String {
    let first = name.find(['.', '/']).map(|at| name.as_bytes()[at]);
    if first != Some(b'/') {
        return name.to_owned();
    }
    let exchange = |letter| match letter {
        '/' => '.',
        '.' => '/',
        other => other,
    };
    name.chars().map(exchange).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(name: &str, host: &HostConfig) -> Option<String> {
        let host = HostConfig {
            sysctls: [(name.to_owned(), "1".to_owned())].into(),
            ..host.clone()
        };
        let refused = sysctls(&host, Joins::default()).err()?.message;
        let (_, words) = refused.split_once("create failed: ").unwrap();
        Some(words.trim_end_matches(": unknown").to_owned())
    }

    #[test]
    fn a_parameter_of_the_machine_is_refused() {
        let own = HostConfig::default();
        let shared = HostConfig {
            ipc_mode: "host".to_owned(),
            network_mode: "host".to_owned(),
            uts_mode: "host".to_owned(),
            ..own.clone()
        };
        for (name, of_own, of_shared) in [
            (
                "kernel.shmmax",
                None,
                Some("is not allowed in the hosts ipc namespace"),
            ),
            (
                "kernel/shmmax",
                None,
                Some("is not allowed in the hosts ipc namespace"),
            ),
            (
                "fs.mqueue.msg_max",
                None,
                Some("is not allowed in the hosts ipc namespace"),
            ),
            (
                "net.ipv4.ip_forward",
                None,
                Some("not allowed in host network namespace"),
            ),
            (
                "kernel.domainname",
                None,
                Some("is not in a separate kernel namespace"),
            ),
            (
                "kernel.hostname",
                Some("is not allowed as it conflicts with the OCI \"hostname\" field"),
                Some("is not in a separate kernel namespace"),
            ),
            (
                "kernel.core_pattern",
                Some("is not in a separate kernel namespace"),
                Some("is not in a separate kernel namespace"),
            ),
            (
                "vm.swappiness",
                Some("is not in a separate kernel namespace"),
                Some("is not in a separate kernel namespace"),
            ),
        ] {
            let expected = |end: Option<&str>| {
                end.map(|end| format!("sysctl \"{}\" {end}", name.replace('/', ".")))
            };
            assert_eq!(words(name, &own), expected(of_own), "{name}");
            assert_eq!(words(name, &shared), expected(of_shared), "{name}");
        }
    }
}
