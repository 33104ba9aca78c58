//! Modes of the namespaces, and what they forbid.

use engine_api::{ContainerConfig, HostConfig, Result};

use super::refuse;

pub(super) fn namespaces(host: &HostConfig) -> Result<()> {
    let other_container = |mode: &str| {
        mode.strip_prefix("container:")
            .is_some_and(|name| !name.is_empty())
    };
    if !matches!(host.pid_mode.as_str(), "" | "host") && !other_container(&host.pid_mode) {
        return refuse(format!("invalid PID mode: {}", host.pid_mode));
    }
    if !matches!(
        host.ipc_mode.as_str(),
        "" | "none" | "private" | "shareable" | "host"
    ) && !other_container(&host.ipc_mode)
    {
        return refuse(format!("invalid IPC mode: {}", host.ipc_mode));
    }
    if !matches!(host.uts_mode.as_str(), "" | "host") {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "host" | "private") {
        return refuse(format!(
            "invalid cgroup namespace mode: {}",
            host.cgroupns_mode
        ));
    }
    if host.network_mode.starts_with("container:") {
        if !other_container(&host.network_mode) {
            return refuse(
                "Invalid network mode: invalid container format container:<name|id>".to_owned(),
            );
        }
        if !host.port_bindings.is_empty() || host.publish_all_ports {
            return refuse(
                "conflicting options: port publishing and the container type network mode"
                    .to_owned(),
            );
        }
        if !host.dns.is_empty() {
            return refuse("conflicting options: dns and the network mode".to_owned());
        }
        if host
            .extra_hosts
            .as_ref()
            .is_some_and(|hosts| !hosts.is_empty())
        {
            return refuse(
                "conflicting options: custom host-to-IP mapping and the network mode".to_owned(),
            );
        }
    }
    Ok(())
}

/// What a container that shares another's network, or the machine's name, cannot have for itself. It concerns what the
/// client asks for, not what the image brings.
///
/// # Errors
/// 400 with Docker's words.
pub fn shared(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let joins = host.network_mode.starts_with("container:");
    let named = !config.hostname.is_empty();
    for (conflict, what) in [
        (joins && named, "hostname and the network mode"),
        (
            host.uts_mode == "host" && named,
            "hostname and the UTS mode",
        ),
        (
            joins && !config.mac_address.is_empty(),
            "mac-address and the network mode",
        ),
        (
            joins && !config.exposed_ports.is_empty(),
            "port exposing and the container type network mode",
        ),
    ] {
        if conflict {
            return refuse(format!("conflicting options: {what}"));
        }
    }
    Ok(())
}
