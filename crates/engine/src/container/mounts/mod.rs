//! What a container mounts: `Binds`, `Mounts`, `Tmpfs`, `VolumesFrom` and the image's volumes, read into one list.

mod binds;
mod record;
pub(super) mod sources;
mod structured;
mod tmpfs;
pub(super) mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use binds::parse_bind;
use engine_api::{ContainerConfig, Error, HostConfig, Result};
pub use record::{MountKind, MountRecord};
use structured::parse_mount;

/// All mounts that a create request and its image ask for; `inherited` is what `VolumesFrom` names.
///
/// # Errors
/// 400 for specifications that Docker refuses.
pub fn collect(
    config: &ContainerConfig,
    host: &HostConfig,
    inherited: Vec<MountRecord>,
) -> Result<Vec<MountRecord>> {
    let mut mounts: BTreeMap<String, MountRecord> = BTreeMap::new();
    for mount in inherited {
        mounts.insert(mount.destination.clone(), mount);
    }
    let mut asked = BTreeSet::new();
    let explicit = host
        .binds
        .iter()
        .map(|bind| parse_bind(bind))
        .chain(host.mounts.iter().map(parse_mount));
    for mount in explicit {
        let mount = mount?;
        if !asked.insert(mount.destination.clone()) {
            return Err(Error::bad_parameter(format!(
                "Duplicate mount point: {}",
                mount.destination
            )));
        }
        mounts.insert(mount.destination.clone(), mount);
    }
    for (destination, options) in &host.tmpfs {
        let destination = clean_destination(destination, destination)?;
        if asked.contains(&destination) {
            return Err(Error::bad_parameter(format!(
                "Duplicate mount point: {destination}"
            )));
        }
        tmpfs::check(options)?;
        let mut mount = MountRecord::new(MountKind::Tmpfs, destination.clone());
        mount.options.clone_from(options);
        mounts.insert(destination, mount);
    }
    for destination in config.volumes.keys() {
        let destination = clean_destination(destination, destination)?;
        mounts
            .entry(destination.clone())
            .or_insert_with(|| anonymous(destination));
    }
    Ok(mounts.into_values().collect())
}

fn anonymous(destination: String) -> MountRecord {
    MountRecord {
        anonymous: true,
        copy_up: true,
        ..MountRecord::new(MountKind::Volume, destination)
    }
}

/// A bind that shows the engine's own directory must follow the host's mounts, or it would keep the file systems of
/// other containers mounted for ever: `rslave` unless the client says so, and nothing that does not.
///
/// # Errors
/// 400 with Docker's words.
pub fn guard_root(mount: &mut MountRecord, host: &HostConfig, root: &Path) -> Result<()> {
    let source = Path::new(&mount.source);
    if mount.kind != MountKind::Bind || !(source.starts_with(root) || root.starts_with(source)) {
        return Ok(());
    }
    let asked = host
        .mounts
        .iter()
        .find(|asked| clean(&asked.target) == mount.destination)
        .and_then(|asked| asked.bind_options.as_ref())
        .map(|options| options.propagation.as_str())
        .or_else(|| {
            mount
                .mode
                .split(',')
                .find(|word| PROPAGATIONS.contains(word))
        })
        .unwrap_or_default();
    match asked {
        "" => "rslave".clone_into(&mut mount.propagation),
        "rslave" | "rshared" => {}
        other => {
            return Err(Error::bad_parameter(format!(
                "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, daemon root: {root:?}, bind mount source: {source:?}, propagation: {other:?}"
            )));
        }
    }
    Ok(())
}

fn volume_name(name: &str) -> Result<String> {
    if objects::ids::is_valid_name(name) {
        return Ok(name.to_owned());
    }
    Err(Error::bad_parameter(format!(
        "create {name}: \"{name}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are \
         allowed. If you intended to pass a host directory, use absolute path"
    )))
}

const PROPAGATIONS: [&str; 6] = [
    "private", "rprivate", "shared", "rshared", "slave", "rslave",
];

/// An absolute, normal path that is not the root.
fn clean_destination(path: &str, specification: &str) -> Result<String> {
    if !path.starts_with('/') {
        return Err(Error::bad_parameter(format!(
            "invalid volume specification: '{specification}': invalid mount path: '{path}' mount path must be absolute"
        )));
    }
    let cleaned = clean(path);
    if cleaned == "/" {
        return Err(Error::bad_parameter(format!(
            "invalid volume specification: '{specification}': invalid specification: destination can't be '/'"
        )));
    }
    Ok(cleaned)
}

/// A path without `.`, `..` and repeated slashes, by words alone.
#[must_use]
pub fn clean(path: &str) -> String {
    let mut cleaned = PathBuf::from("/");
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => {
                cleaned.pop();
            }
            _ => {}
        }
    }
    cleaned.to_string_lossy().into_owned()
}

/// Splits `container[:mode]` of `VolumesFrom` and refuses other modes than `ro` and `rw` (and labels).
///
/// # Errors
/// 400 with Docker's words.
pub fn parse_volumes_from(text: &str) -> Result<(&str, Option<bool>)> {
    let (container, mode) = text.split_once(':').unwrap_or((text, ""));
    if container.is_empty() {
        return Err(Error::bad_parameter(format!(
            "invalid volumes-from specification: '{text}'"
        )));
    }
    match mode {
        "" | "z" | "Z" => Ok((container, None)),
        "rw" => Ok((container, Some(true))),
        "ro" => Ok((container, Some(false))),
        other => Err(Error::bad_parameter(format!("invalid mode: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_mounted_once() {
        let host = HostConfig {
            binds: vec!["/a:/x".into(), "/b:/x/".into()],
            ..HostConfig::default()
        };
        let error = collect(&ContainerConfig::default(), &host, Vec::new()).unwrap_err();
        assert_eq!(error.message, "Duplicate mount point: /x");
    }

    #[test]
    fn the_users_mount_replaces_the_images_volume_and_the_inherited_one() {
        let config = ContainerConfig {
            volumes: BTreeMap::from([("/x".to_owned(), serde_json::json!({}))]),
            ..ContainerConfig::default()
        };
        let host = HostConfig {
            binds: vec!["/a:/x".into()],
            ..HostConfig::default()
        };
        let mounts = collect(&config, &host, vec![parse_bind("/other:/x").unwrap()]).unwrap();
        assert_eq!(mounts.len(), 1);
        assert_eq!(mounts[0].source, "/a");
    }
}
