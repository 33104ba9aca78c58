//! The mounts of a specification: what every container has, the user's own, and the engine's files.

use std::path::Path;

use runtime::oci::{Mount, SUBPATH_OPTION};

use super::process::INIT_PATH;
use super::{Files, Input};
use crate::container::{MountKind, MountRecord, Record};

/// Size of /dev/shm in bytes unless told otherwise.
pub(crate) const SHM_SIZE: i64 = 64 * 1024 * 1024;

/// All mounts, in the order they are made: a parent before what lies below it.
pub(super) fn mounts(input: &Input<'_>) -> Vec<Mount> {
    let record = input.record;
    let is_own = |destination: &str| {
        record
            .mounts
            .iter()
            .any(|mount| mount.destination == destination)
    };
    let own_dev = is_own("/dev");
    let mut mounts: Vec<Mount> = basic(input)
        .into_iter()
        .filter(|mount| {
            !is_own(&mount.destination) && (!own_dev || !mount.destination.starts_with("/dev/"))
        })
        .collect();
    let mut own: Vec<&MountRecord> = record.mounts.iter().collect();
    own.sort_by_key(|mount| Path::new(&mount.destination).components().count());
    mounts.extend(own.into_iter().map(convert));
    mounts.extend(
        network_files(input.files, record.host_config.readonly_rootfs)
            .filter(|mount| !is_own(&mount.destination)),
    );
    if let Some(init) = &input.files.init {
        mounts.push(Mount::new(
            INIT_PATH,
            "bind",
            &init.to_string_lossy(),
            &["bind", "ro"],
        ));
    }
    mounts
}

/// The engine's files in /etc. A read-only container does not write them either, as in Docker.
fn network_files(files: &Files, read_only: bool) -> impl Iterator<Item = Mount> {
    let mut options = vec!["rbind", "rprivate"];
    if read_only {
        options.push("ro");
    }
    [
        (&files.resolv_conf, "/etc/resolv.conf"),
        (&files.hostname, "/etc/hostname"),
        (&files.hosts, "/etc/hosts"),
    ]
    .into_iter()
    .filter_map(move |(path, destination)| {
        let path = path.as_ref()?.to_string_lossy();
        Some(Mount::new(destination, "bind", &path, &options))
    })
}

/// What every container has.
fn basic(input: &Input<'_>) -> Vec<Mount> {
    let host = &input.record.host_config;
    let writable = if host.privileged { "rw" } else { "ro" };
    let mut mounts = vec![
        Mount::new("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        Mount::new(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        Mount::new(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        Mount::new(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", writable],
        ),
        Mount::new(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", writable],
        ),
    ];
    mounts.push(
        if host.ipc_mode == "host" && Path::new("/dev/mqueue").exists() {
            Mount::new("/dev/mqueue", "bind", "/dev/mqueue", &BOUND)
        } else {
            let options = ["nosuid", "noexec", "nodev"];
            Mount::new("/dev/mqueue", "mqueue", "mqueue", &options)
        },
    );
    mounts.extend(shared_memory(input));
    mounts
}

/// How a place of the host's is bound.
const BOUND: [&str; 2] = ["rbind", "rprivate"];

/// /dev/shm: the host's, another container's, or its own.
fn shared_memory(input: &Input<'_>) -> Option<Mount> {
    let host = &input.record.host_config;
    match host.ipc_mode.as_str() {
        "none" => return None,
        "host" if Path::new("/dev/shm").exists() => {
            return Some(Mount::new("/dev/shm", "bind", "/dev/shm", &BOUND));
        }
        _ => {}
    }
    if let Some(shm) = &input.files.shm {
        let source = shm.to_string_lossy();
        return Some(Mount::new("/dev/shm", "bind", &source, &BOUND));
    }
    let bytes = if host.shm_size > 0 {
        host.shm_size
    } else {
        SHM_SIZE
    };
    let size = format!("size={bytes}");
    let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
    Some(Mount::new("/dev/shm", "tmpfs", "shm", &options))
}

fn convert(mount: &MountRecord) -> Mount {
    if mount.kind == MountKind::Tmpfs {
        return Mount {
            destination: mount.destination.clone(),
            kind: "tmpfs".to_owned(),
            source: "tmpfs".to_owned(),
            options: tmpfs_options(&mount.options),
        };
    }
    let mut options = vec![if mount.non_recursive { "bind" } else { "rbind" }.to_owned()];
    // What is mounted below a read-only mount is read-only too, unless the client wants it otherwise.
    options.push(
        match (mount.writable, mount.read_only_non_recursive) {
            (true, _) => "rw",
            (false, true) => "ro",
            (false, false) => "rro",
        }
        .to_owned(),
    );
    let propagation = if mount.propagation.is_empty() {
        "rprivate"
    } else {
        &mount.propagation
    };
    options.push(propagation.to_owned());
    if !mount.subpath.is_empty() {
        options.push(format!("{SUBPATH_OPTION}{}", mount.subpath));
    }
    Mount {
        destination: mount.destination.clone(),
        kind: "bind".to_owned(),
        source: mount.source.clone(),
        options,
    }
}

/// Docker's `noexec,nosuid,nodev` with the user's words over them: `exec` takes `noexec` away, and so on.
fn tmpfs_options(text: &str) -> Vec<String> {
    let mut options = vec!["noexec".to_owned(), "nosuid".to_owned(), "nodev".to_owned()];
    for word in text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        let opposite = match word {
            "rw" => "ro".to_owned(),
            "ro" => "rw".to_owned(),
            _ => word
                .strip_prefix("no")
                .map_or_else(|| format!("no{word}"), str::to_owned),
        };
        let key = word.split_once('=').map(|(key, _)| format!("{key}="));
        options.retain(|old| {
            *old != opposite && old != word && !key.as_ref().is_some_and(|key| old.starts_with(key))
        });
        options.push(word.to_owned());
    }
    options
}

/// A bind that shares mounts with the host needs a root that does: `shared` before `slave` before private.
pub(super) fn rootfs_propagation(record: &Record) -> &'static str {
    let any = |words: [&str; 2]| {
        record
            .mounts
            .iter()
            .any(|mount| words.contains(&mount.propagation.as_str()))
    };
    if any(["shared", "rshared"]) {
        "shared"
    } else if any(["slave", "rslave"]) {
        "rslave"
    } else {
        "rprivate"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_container_does_not_write_the_engines_files() {
        let files = Files {
            hosts: Some("/run/hosts".into()),
            ..Files::default()
        };
        for read_only in [false, true] {
            let mounts: Vec<Mount> = network_files(&files, read_only).collect();
            assert_eq!(mounts[0].destination, "/etc/hosts");
            assert_eq!(mounts[0].options.contains(&"ro".to_owned()), read_only);
        }
    }

    #[test]
    fn the_users_tmpfs_options_win() {
        assert_eq!(
            tmpfs_options("exec,size=64m,size=32m"),
            ["nosuid", "nodev", "exec", "size=32m"]
        );
        assert_eq!(tmpfs_options(""), ["noexec", "nosuid", "nodev"]);
    }
}
