//! Which capabilities a container's processes have.

use engine_api::{Error, HostConfig, Result};

/// What Docker gives unless told otherwise.
const DEFAULT: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// All that Linux 6.12 has, by number.
pub(crate) const EVERY: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// The container's capabilities, by `Privileged`, `CapAdd` and `CapDrop`.
///
/// # Errors
/// 400 for a name that is not that of a capability.
pub(crate) fn choose(host: &HostConfig) -> Result<Vec<String>> {
    let add = normalize(host.cap_add.as_deref().unwrap_or_default(), "CapAdd")?;
    let drop = normalize(host.cap_drop.as_deref().unwrap_or_default(), "CapDrop")?;
    let all = || {
        EVERY
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    if host.privileged {
        return Ok(all());
    }
    let has_all = |list: &[String]| list.iter().any(|name| name == "ALL");
    let base = match (has_all(&add), has_all(&drop)) {
        (true, true) => return Ok(all()),
        (true, false) => all(),
        (false, true) => Vec::new(),
        (false, false) => DEFAULT.iter().map(|name| (*name).to_owned()).collect(),
    };
    let mut chosen: Vec<String> = base
        .into_iter()
        .filter(|name| !drop.contains(name))
        .collect();
    for name in add {
        if name != "ALL" && !chosen.contains(&name) {
            chosen.push(name);
        }
    }
    Ok(chosen)
}

fn normalize(names: &[String], field: &str) -> Result<Vec<String>> {
    let one = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let full = if upper == "ALL" || upper.starts_with("CAP_") {
            upper
        } else {
            format!("CAP_{upper}")
        };
        if full == "ALL" || EVERY.contains(&full.as_str()) {
            return Ok(full);
        }
        Err(Error::bad_parameter(format!(
            "invalid {field}: unknown capability: \"{full}\""
        )))
    };
    names.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(add: &[&str], drop: &[&str]) -> Vec<String> {
        let list = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        choose(&HostConfig {
            cap_add: list(add),
            cap_drop: list(drop),
            ..HostConfig::default()
        })
        .unwrap()
    }

    #[test]
    fn add_and_drop_combine_as_in_docker() {
        assert_eq!(chosen(&[], &[]).len(), 14);
        assert_eq!(chosen(&["net_admin"], &["ALL"]), ["CAP_NET_ADMIN"]);
        assert_eq!(chosen(&["ALL"], &["CAP_SYS_ADMIN"]).len(), 40);
        assert!(!chosen(&[], &["mknod"]).contains(&"CAP_MKNOD".to_owned()));
    }

    #[test]
    fn unknown_names_are_refused() {
        let host = HostConfig {
            cap_add: Some(vec!["FLY".into()]),
            ..HostConfig::default()
        };
        assert_eq!(
            choose(&host).unwrap_err().message,
            "invalid CapAdd: unknown capability: \"CAP_FLY\""
        );
    }
}
