//! `HostConfig.Mounts`: mounts as objects, one kind of options each.

use std::path::{Component, Path};

use engine_api::{Error, Mount, Result};

use super::{MountKind, MountRecord, PROPAGATIONS, clean, clean_destination, volume_name};

/// Reads one of `HostConfig.Mounts`.
pub(super) fn parse_mount(mount: &Mount) -> Result<MountRecord> {
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
