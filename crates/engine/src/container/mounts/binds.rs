//! `HostConfig.Binds`: mounts in one string, `source:target[:options]`.

use engine_api::{Error, Result};

use super::{
    MountKind, MountRecord, PROPAGATIONS, anonymous, clean, clean_destination, volume_name,
};

/// Reads `source:target[:options]`, `name:target[:options]` or `target`.
pub(super) fn parse_bind(text: &str) -> Result<MountRecord> {
    let invalid = || Error::bad_parameter(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, mode) = match parts[..] {
        [target] => return Ok(anonymous(clean_destination(target, text)?)),
        // An anonymous volume has no options.
        [_, mode] if is_mode(mode) => return Err(invalid()),
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
    let alien = |kind: &str, field: &str| {
        Error::bad_parameter(format!(
            "invalid volume specification: '{text}': invalid mount config for type \"{kind}\": field {field} must not be specified"
        ))
    };
    for word in mode.split(',') {
        match word {
            "ro" => mount.writable = false,
            "nocopy" if mount.kind == MountKind::Volume => mount.copy_up = false,
            "nocopy" => return Err(alien("bind", "VolumeOptions")),
            _ if PROPAGATIONS.contains(&word) => {
                if mount.kind != MountKind::Bind {
                    return Err(alien("volume", "BindOptions"));
                }
                mount.propagation = word.to_owned();
            }
            _ => {}
        }
    }
    Ok(())
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
    fn options_of_another_kind_are_named() {
        for (text, words) in [
            ("data:/b:shared", "for type \"volume\": field BindOptions"),
            ("/a:/b:nocopy", "for type \"bind\": field VolumeOptions"),
        ] {
            let error = parse_bind(text).unwrap_err().message;
            let begin = format!("invalid volume specification: '{text}': invalid mount config");
            assert_eq!(error, format!("{begin} {words} must not be specified"));
        }
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
            "/a:ro",
            "relative",
        ] {
            let error = parse_bind(bad)
                .err()
                .unwrap_or_else(|| panic!("{bad:?} was accepted"));
            assert_eq!(error.status, 400, "{bad:?}");
        }
    }
}
