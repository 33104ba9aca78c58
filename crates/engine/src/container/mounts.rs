//! What a container mounts: `Binds`, `Mounts`, `Tmpfs`, `VolumesFrom` and the image's volumes, read into one list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use engine_api::{ContainerConfig, DriverConfig, Error, HostConfig, Mount, MountPoint, Result};
use serde::{Deserialize, Serialize};

/// Where a mount's files come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume of this engine.
    Volume,
    /// Memory.
    Tmpfs,
}

/// One mount of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MountRecord {
    /// Where its files come from.
    pub kind: MountKind,
    /// The host's path; empty for tmpfs, and for volumes until they are created.
    pub source: String,
    /// Absolute path in the container.
    pub destination: String,
    /// The volume's name.
    #[serde(default)]
    pub name: String,
    /// The options as they were given.
    #[serde(default)]
    pub mode: String,
    /// Whether the container may write.
    pub writable: bool,
    /// `rprivate`, `rshared` ...; empty for volumes and tmpfs.
    #[serde(default)]
    pub propagation: String,
    /// tmpfs options, such as `size=64m,mode=1777`.
    #[serde(default)]
    pub options: String,
    /// Whether submounts of the source are left out.
    #[serde(default)]
    pub non_recursive: bool,
    /// Whether submounts stay writable under a read-only mount.
    #[serde(default)]
    pub read_only_non_recursive: bool,
    /// Whether a missing source of a bind is created as a directory.
    #[serde(default)]
    pub create_source: bool,
    /// Whether the image's files are copied into a volume that is empty.
    #[serde(default)]
    pub copy_up: bool,
    /// Whether the volume was made for this container alone and goes with it.
    #[serde(default)]
    pub anonymous: bool,
    /// Directory of the volume that is mounted.
    #[serde(default)]
    pub subpath: String,
    /// The volume's driver, when it is to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverConfig>,
    /// The volume's labels, when it is to be created.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl MountRecord {
    fn new(kind: MountKind, destination: String) -> Self {
        Self {
            kind,
            source: String::new(),
            destination,
            name: String::new(),
            mode: String::new(),
            writable: true,
            propagation: String::new(),
            options: String::new(),
            non_recursive: false,
            read_only_non_recursive: false,
            create_source: false,
            copy_up: false,
            anonymous: false,
            subpath: String::new(),
            driver: None,
            labels: BTreeMap::new(),
        }
    }

    /// The API's form.
    #[must_use]
    pub fn to_api(&self) -> MountPoint {
        let (kind, driver) = match self.kind {
            MountKind::Bind => ("bind", ""),
            MountKind::Volume => ("volume", "local"),
            MountKind::Tmpfs => ("tmpfs", ""),
        };
        MountPoint {
            typ: kind.to_owned(),
            name: self.name.clone(),
            source: self.source.clone(),
            destination: self.destination.clone(),
            driver: driver.to_owned(),
            mode: self.mode.clone(),
            rw: self.writable,
            propagation: self.propagation.clone(),
        }
    }
}

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

/// Reads `source:target[:options]`, `name:target[:options]` or `target`.
fn parse_bind(text: &str) -> Result<MountRecord> {
    let invalid = || Error::bad_parameter(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => return Ok(anonymous(clean_destination(target, text)?)),
        // `target:ro` is an anonymous volume with options.
        [target, mode] if target.starts_with('/') && !mode.starts_with('/') && is_mode(mode) => {
            let mut mount = anonymous(clean_destination(target, text)?);
            apply_mode(&mut mount, mode, text)?;
            return Ok(mount);
        }
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(invalid()),
    };
    if source.is_empty() || target.is_empty() {
        return Err(invalid());
    }
    let destination = clean_destination(target, text)?;
    let mut mount = if source.starts_with('/') {
        let mut mount = MountRecord::new(MountKind::Bind, destination);
        mount.source = clean(source);
        mount.propagation = "rprivate".to_owned();
        mount.create_source = true;
        mount
    } else {
        let mut mount = MountRecord::new(MountKind::Volume, destination);
        mount.name = volume_name(source)?;
        mount.copy_up = true;
        mount
    };
    apply_mode(&mut mount, mode, text)?;
    if mount.kind == MountKind::Volume && mount.mode.is_empty() {
        mount.mode = "z".to_owned();
    }
    Ok(mount)
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
    if crate::ids::is_valid_name(name) {
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

fn is_mode(mode: &str) -> bool {
    mode.split(',').all(|word| {
        matches!(
            word,
            "ro" | "rw" | "z" | "Z" | "nocopy" | "consistent" | "cached" | "delegated"
        ) || PROPAGATIONS.contains(&word)
    })
}

fn apply_mode(mount: &mut MountRecord, mode: &str, text: &str) -> Result<()> {
    mount.mode = mode.to_owned();
    if mode.is_empty() {
        return Ok(());
    }
    if !is_mode(mode) {
        return Err(Error::bad_parameter(format!("invalid mode: {mode}")));
    }
    for word in mode.split(',') {
        match word {
            "ro" => mount.writable = false,
            "nocopy" if mount.kind == MountKind::Volume => mount.copy_up = false,
            "nocopy" => {
                return Err(Error::bad_parameter(format!(
                    "invalid volume specification: '{text}'"
                )));
            }
            _ if PROPAGATIONS.contains(&word) => {
                if mount.kind != MountKind::Bind {
                    return Err(Error::bad_parameter(format!(
                        "invalid volume specification: '{text}'"
                    )));
                }
                mount.propagation = word.to_owned();
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads one of `HostConfig.Mounts`.
fn parse_mount(mount: &Mount) -> Result<MountRecord> {
    let refuse = |why: &str| {
        Error::bad_parameter(format!(
            "invalid mount config for type \"{}\": {why}",
            mount.typ
        ))
    };
    if mount.target.is_empty() {
        return Err(refuse("field Target must not be empty"));
    }
    let destination =
        clean_destination(&mount.target, &mount.target).map_err(|error| refuse(&error.message))?;
    match mount.typ.as_str() {
        "bind" => bind_mount(mount, destination, refuse),
        "volume" => volume_mount(mount, destination, refuse),
        "tmpfs" => tmpfs_mount(mount, destination, refuse),
        "" => Err(Error::bad_parameter(
            "invalid mount config: mount type unknown: \"\"",
        )),
        other => Err(Error::bad_parameter(format!(
            "invalid mount config: mount type unknown: \"{other}\""
        ))),
    }
}

fn bind_mount(
    mount: &Mount,
    destination: String,
    refuse: impl Fn(&str) -> Error,
) -> Result<MountRecord> {
    if mount.source.is_empty() {
        return Err(refuse("field Source must not be empty"));
    }
    if mount.volume_options.is_some() {
        return Err(refuse("field VolumeOptions must not be specified"));
    }
    if !mount.source.starts_with('/') {
        return Err(refuse(&format!(
            "invalid mount path: '{}' mount path must be absolute",
            mount.source
        )));
    }
    let options = mount.bind_options.clone().unwrap_or_default();
    if !options.propagation.is_empty() && !PROPAGATIONS.contains(&options.propagation.as_str()) {
        return Err(refuse(&format!(
            "invalid propagation mode: {}",
            options.propagation
        )));
    }
    if !options.create_mountpoint && !Path::new(&mount.source).exists() {
        return Err(refuse(&format!(
            "bind source path does not exist: {}",
            mount.source
        )));
    }
    if options.read_only_force_recursive && options.read_only_non_recursive {
        return Err(refuse(
            "cannot use both ReadOnlyForceRecursive and ReadOnlyNonRecursive",
        ));
    }
    Ok(MountRecord {
        source: clean(&mount.source),
        writable: !mount.read_only,
        propagation: if options.propagation.is_empty() {
            "rprivate".to_owned()
        } else {
            options.propagation
        },
        non_recursive: options.non_recursive,
        read_only_non_recursive: options.read_only_non_recursive,
        create_source: options.create_mountpoint,
        ..MountRecord::new(MountKind::Bind, destination)
    })
}

fn volume_mount(
    mount: &Mount,
    destination: String,
    refuse: impl Fn(&str) -> Error,
) -> Result<MountRecord> {
    if mount.bind_options.is_some() {
        return Err(refuse("field BindOptions must not be specified"));
    }
    let options = mount.volume_options.clone().unwrap_or_default();
    let subpath = Path::new(&options.subpath);
    if subpath.is_absolute()
        || subpath
            .components()
            .any(|part| part == Component::ParentDir)
    {
        return Err(refuse("subpath must be a relative path within the volume"));
    }
    let name = if mount.source.is_empty() {
        String::new()
    } else {
        volume_name(&mount.source)?
    };
    Ok(MountRecord {
        anonymous: name.is_empty(),
        name,
        mode: "z".to_owned(),
        writable: !mount.read_only,
        copy_up: !options.no_copy,
        subpath: options.subpath,
        driver: options.driver_config,
        labels: options.labels,
        ..MountRecord::new(MountKind::Volume, destination)
    })
}

fn tmpfs_mount(
    mount: &Mount,
    destination: String,
    refuse: impl Fn(&str) -> Error,
) -> Result<MountRecord> {
    if !mount.source.is_empty() {
        return Err(refuse("field Source must not be specified"));
    }
    let options = mount.tmpfs_options.clone().unwrap_or_default();
    let mut words = Vec::new();
    if options.size_bytes < 0 {
        return Err(refuse("size must not be negative"));
    }
    if options.size_bytes > 0 {
        words.push(format!("size={}", options.size_bytes));
    }
    if options.mode != 0 {
        words.push(format!("mode={:o}", options.mode));
    }
    if mount.read_only {
        words.push("ro".to_owned());
    }
    Ok(MountRecord {
        writable: !mount.read_only,
        options: words.join(","),
        ..MountRecord::new(MountKind::Tmpfs, destination)
    })
}

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
    fn binds_are_read_as_docker_reads_them() {
        let bind = parse_bind("/host//dir/:/in/../data:ro,rshared").unwrap();
        assert_eq!(
            (bind.source.as_str(), bind.destination.as_str()),
            ("/host/dir", "/data")
        );
        assert_eq!(
            (bind.writable, bind.propagation.as_str()),
            (false, "rshared")
        );
        let named = parse_bind("data:/var/lib").unwrap();
        assert_eq!(
            (named.name.as_str(), named.mode.as_str(), named.kind),
            ("data", "z", MountKind::Volume)
        );
        assert!(parse_bind("/var/lib").unwrap().anonymous);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            ":",
            "/a:",
            ":/a",
            "/a:b",
            "/a:/",
            "/a:/b:rx",
            "a b:/c",
            "/a:/b:ro:rw",
            "data:/b:rshared",
            "relative",
        ] {
            let error = parse_bind(bad)
                .err()
                .unwrap_or_else(|| panic!("{bad:?} was accepted"));
            assert_eq!(error.status, 400, "{bad:?}");
        }
    }

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
