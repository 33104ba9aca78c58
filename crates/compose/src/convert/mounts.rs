//! `volumes`, `tmpfs` and `volumes_from`.

use std::collections::BTreeSet;

use config::service::{LongVolume, Volume};
use engine_api::{ContainerConfig, HostConfig};

use super::{Converter, holders};

impl Converter<'_> {
    pub(super) fn volumes(&mut self, config: &mut ContainerConfig, host: &mut HostConfig) {
        for entry in &self.service.volumes {
            match entry {
                Volume::Short(text) => self.short(text, config, host),
                Volume::Long(volume) => {
                    if let Err(error) = long(volume, config, host) {
                        self.error("volumes", error);
                    }
                }
            }
        }
        for entry in &self.service.tmpfs {
            let (target, options) = entry.split_once(':').unwrap_or((entry, ""));
            host.tmpfs.insert(target.to_owned(), options.to_owned());
        }
        host.volume_driver = self.service.volume_driver.clone().unwrap_or_default();
    }

    fn short(&mut self, entry: &str, config: &mut ContainerConfig, host: &mut HostConfig) {
        match entry.split_once(':') {
            None => {
                config
                    .volumes
                    .insert(entry.to_owned(), serde_json::json!({}));
            }
            Some((_, target)) if target.starts_with('/') && !entry.starts_with('.') => {
                host.binds.push(entry.to_owned());
            }
            Some(_) => self.error(
                "volumes",
                format!("{entry:?} is not source:/target[:options]"),
            ),
        }
    }

    /// Volumes of other containers; RancherOS's holders of volumes are what they held, unless a service has the name.
    pub(super) fn volumes_from(&mut self, config: &ContainerConfig, host: &mut HostConfig) {
        let mut taken: BTreeSet<String> = host
            .binds
            .iter()
            .filter_map(|bind| bind.split(':').nth(1))
            .chain(config.volumes.keys().map(String::as_str))
            .chain(host.tmpfs.keys().map(String::as_str))
            .map(str::to_owned)
            .collect();
        let mut missing: BTreeSet<&'static str> = BTreeSet::new();
        for entry in &self.service.volumes_from {
            let entry = entry.strip_prefix("container:").unwrap_or(entry);
            let (name, mode) = entry.split_once(':').unwrap_or((entry, ""));
            let held = holders::held(name);
            if held.is_empty() || self.around.services.contains_key(name) {
                host.volumes_from.push(entry.to_owned());
                continue;
            }
            if !matches!(mode, "" | "rw" | "ro") {
                self.error("volumes_from", format!("{mode:?} is not ro or rw"));
                continue;
            }
            for holder in held {
                missing.extend(holder.missing);
                for bind in holder.binds {
                    let target = bind.split(':').nth(1).unwrap_or(bind);
                    if taken.insert(target.to_owned()) {
                        host.binds.push(with_mode(bind, mode));
                    }
                }
            }
        }
        if !missing.is_empty() {
            let paths: Vec<&str> = missing.into_iter().collect();
            let message = format!(
                "left out, since this system has no such: {}",
                paths.join(", ")
            );
            self.warn("volumes_from", message);
        }
    }
}

/// `source:target[:options]` with `ro`, if that is the mode.
fn with_mode(bind: &str, mode: &str) -> String {
    match (mode, bind.matches(':').count()) {
        ("ro", 1) => format!("{bind}:ro"),
        ("ro", _) => format!("{bind},ro"),
        _ => bind.to_owned(),
    }
}

/// An entry as a map.
///
/// # Errors
/// What is wrong with it, in words.
fn long(
    volume: &LongVolume,
    config: &mut ContainerConfig,
    host: &mut HostConfig,
) -> Result<(), String> {
    let target = volume.target.clone().unwrap_or_default();
    let source = volume.source.clone().unwrap_or_default();
    if !target.starts_with('/') || target.contains(':') {
        return Err(format!(
            "target {target:?} is not a path that begins with /"
        ));
    }
    let mut options = Vec::new();
    if volume.read_only == Some(true) {
        options.push("ro".to_owned());
    }
    match volume.kind.as_deref() {
        Some("bind") if source.starts_with('/') && !source.contains(':') => {
            options.extend(volume.bind.propagation.clone());
        }
        Some("bind") => {
            return Err(format!(
                "source {source:?} is not a path that begins with /"
            ));
        }
        Some("volume") if source.is_empty() => {
            if volume.read_only == Some(true) {
                return Err("an empty volume that is read-only has no use".to_owned());
            }
            config.volumes.insert(target, serde_json::json!({}));
            return Ok(());
        }
        Some("volume") if !source.contains(['/', ':']) => {
            if volume.volume.nocopy == Some(true) {
                options.push("nocopy".to_owned());
            }
        }
        Some("volume") => return Err(format!("source {source:?} is not the name of a volume")),
        Some("tmpfs") => {
            let size = volume.tmpfs.size.as_deref();
            options.extend(size.map(|size| format!("size={size}")));
            let mode = volume.tmpfs.mode.as_deref();
            options.extend(mode.map(|mode| format!("mode={}", mode.trim_start_matches("0o"))));
            host.tmpfs.insert(target, options.join(","));
            return Ok(());
        }
        other => {
            let other = other.unwrap_or_default();
            return Err(format!("type {other:?} is not bind, volume or tmpfs"));
        }
    }
    let mut bind = format!("{source}:{target}");
    if !options.is_empty() {
        bind = format!("{bind}:{}", options.join(","));
    }
    host.binds.push(bind);
    Ok(())
}
