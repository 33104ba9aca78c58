//! `Sysctls`: parameters that have a separate value in one of the container's namespaces, and no others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use engine_api::{Error, HostConfig, Result};
use runtime::oci::NamespaceType;

use super::Joins;

/// The user's kernel parameters, and Docker's two defaults for a network namespace of one's own: any user may bind
/// low ports and send pings.
///
/// # Errors
/// 500 with Docker's words for a parameter that the machine has only once.
pub(super) fn sysctls(host: &HostConfig, joins: Joins) -> Result<BTreeMap<String, String>> {
    let mut sysctls = host.sysctls.clone();
    for name in sysctls.keys() {
        if let Some(refusal) = refusal(&dotted(name), host, joins) {
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
fn refusal(name: &str, host: &HostConfig, joins: Joins) -> Option<String> {
    match runtime::namespace_of_sysctl(name) {
        Some(NamespaceType::Ipc) => is_shared(&host.ipc_mode, joins.ipc, "ipc")
            .then(|| format!("sysctl \"{name}\" is not allowed in the hosts ipc namespace")),
        Some(NamespaceType::Network) => is_shared(&host.network_mode, joins.network, "net")
            .then(|| format!("sysctl \"{name}\" not allowed in host network namespace")),
        Some(NamespaceType::Uts) if host.uts_mode != "host" => (name == "kernel.hostname").then(|| {
            format!(
                "sysctl \"{name}\" is not allowed as it conflicts with the OCI \"hostname\" field"
            )
        }),
        _ => Some(format!(
            "sysctl \"{name}\" is not in a separate kernel namespace"
        )),
    }
}

/// Whether the container's namespace is the machine's: it says so, or joins a container that is in it, itself or by another
/// one. Only the kernel knows where that container is now.
fn is_shared(mode: &str, joined: Option<i32>, file: &str) -> bool {
    let Some(pid) = joined else {
        return mode == "host";
    };
    let namespace = |pid: &str| {
        let found = fs::metadata(format!("/proc/{pid}/ns/{file}")).ok()?;
        Some((found.dev(), found.ino()))
    };
    // One that has ended has no namespace to join, and no value to set.
    namespace(&pid.to_string()).is_none_or(|other| Some(other) == namespace("self"))
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
        words_of(name, host, Joins::default())
    }

    fn words_of(name: &str, host: &HostConfig, joins: Joins) -> Option<String> {
        let host = HostConfig {
            sysctls: [(name.to_owned(), "1".to_owned())].into(),
            ..host.clone()
        };
        let refused = sysctls(&host, joins).err()?.message;
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

    /// A container that joins one which is in the machine's namespaces, as this process is in its own.
    #[test]
    fn a_parameter_of_the_machine_is_refused_through_another_container() {
        let me = i32::try_from(std::process::id()).unwrap();
        let joined = |network, ipc| Joins {
            network,
            ipc,
            ..Joins::default()
        };
        let host = HostConfig {
            network_mode: "container:h".to_owned(),
            ipc_mode: "container:h".to_owned(),
            ..HostConfig::default()
        };
        for (name, joins, expected) in [
            (
                "net.ipv4.ip_forward",
                joined(Some(me), None),
                "not allowed in host network namespace",
            ),
            (
                "kernel.shmmax",
                joined(None, Some(me)),
                "is not allowed in the hosts ipc namespace",
            ),
        ] {
            let words = words_of(name, &host, joins).unwrap();
            assert!(words.ends_with(expected), "{words}");
        }
        // Its own process numbers are not its network.
        assert_eq!(words("net.ipv4.ip_forward", &HostConfig::default()), None);
    }

    #[test]
    #[ignore = "needs root: cargo test -- --include-ignored"]
    fn a_parameter_of_another_containers_network_is_taken() {
        let netns = sys::netlink::new_netns().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sys::netlink::in_netns(std::os::fd::AsFd::as_fd(&netns), move || {
                    sender.send(fs::read_link("/proc/thread-self")).unwrap();
                    let _ = wait.recv();
                })
                .unwrap();
            });
            let thread = receiver.recv().unwrap().unwrap();
            let thread = thread.file_name().unwrap().to_str().unwrap().parse();
            let joins = Joins {
                network: Some(thread.unwrap()),
                ..Joins::default()
            };
            let words = words_of("net.ipv4.ip_forward", &HostConfig::default(), joins);
            drop(done);
            assert_eq!(words, None);
        });
    }
}
