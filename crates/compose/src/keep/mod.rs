//! Whether a service's container is still the one that the service asks for, and what a new one takes over from it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use engine_api::{ContainerInspect, CreateRequest, ImageInspect, MountPoint};

use crate::{Rebuild, Step};

/// Length of the name of an anonymous volume: 32 random bytes as hexadecimal digits.
const ANONYMOUS_LENGTH: usize = 64;

/// What a service's container is compared with.
#[derive(Debug, Default)]
pub struct Found {
    /// The service's image; none when it is not here.
    pub image: Option<ImageInspect>,
    /// The containers that the service names in [`Step::shares`], as far as there are such.
    pub shared: BTreeMap<String, ContainerInspect>,
}

/// A container in place of another one.
#[derive(Debug)]
pub struct Replacement {
    /// What it is made from.
    pub request: CreateRequest,
    /// Anonymous volumes of the old one that it does not have: `NAME at PATH`.
    pub left: Vec<String>,
}

impl Step {
    /// Names of containers whose namespaces or volumes this one's has.
    pub fn shares(&self) -> BTreeSet<&str> {
        let host = &self.request.host_config;
        let modes = [&host.network_mode, &host.pid_mode, &host.ipc_mode];
        let namespaces = modes
            .into_iter()
            .filter_map(|mode| mode.strip_prefix("container:"));
        namespaces
            .chain(host.volumes_from.iter().map(|entry| donor(entry)))
            .collect()
    }

    /// Whether a container of this service stays at a start of all services, as its label says.
    pub fn is_current(&self, existing: &ContainerInspect, found: &Found) -> bool {
        match self.rebuild {
            Rebuild::Always => false,
            Rebuild::Never => true,
            Rebuild::OnChange => self.is_made_so(existing, found),
        }
    }

    /// Whether a container was made from this very definition and from the image that its name stands for now, and has the
    /// namespaces and volumes of the containers that are there now: a container keeps those of one that was removed.
    pub fn is_made_so(&self, existing: &ContainerInspect, found: &Found) -> bool {
        let image = found.image.as_ref();
        self.has_hash(&existing.config.labels)
            && image.is_none_or(|image| image.id == existing.image)
            && self.has_namespaces(existing, found)
            && self.has_volumes(existing, found)
    }

    /// Which of two containers is this service's, where a replacement was cut off after the `new` one was made: the one that the
    /// service asks for, and the new one where it asks for neither.
    pub fn is_new(&self, new: &ContainerInspect, old: &ContainerInspect, found: &Found) -> bool {
        match self.rebuild {
            Rebuild::Never => self.is_made_so(new, found),
            _ => self.is_made_so(new, found) || !self.is_made_so(old, found),
        }
    }

    fn has_namespaces(&self, existing: &ContainerInspect, found: &Found) -> bool {
        let (wanted, had) = (&self.request.host_config, &existing.host_config);
        [
            (&wanted.network_mode, &had.network_mode),
            (&wanted.pid_mode, &had.pid_mode),
            (&wanted.ipc_mode, &had.ipc_mode),
        ]
        .into_iter()
        .filter_map(|(wanted, had)| Some((wanted.strip_prefix("container:")?, had)))
        .all(|(name, had)| {
            // An engine writes the id for the name, where it knew the container.
            let had = had.strip_prefix("container:").unwrap_or_default();
            had == name || found.shared.get(name).is_none_or(|other| other.id == had)
        })
    }

    fn has_volumes(&self, existing: &ContainerInspect, found: &Found) -> bool {
        let given = targets(&self.request);
        let donors = self.request.host_config.volumes_from.iter();
        donors
            .filter_map(|entry| found.shared.get(donor(entry)))
            .flat_map(|other| &other.mounts)
            .filter(|mount| mount.typ != "tmpfs" && !given.contains(mount.destination.as_str()))
            .all(|mount| {
                let had = existing.mounts.iter();
                let mut same = had.filter(|had| had.destination == mount.destination);
                same.any(|had| had.source == mount.source)
            })
    }

    /// What takes the place of `existing`. Volumes that have a name are in the definition; those without one are taken over
    /// where the new container would get an empty one, as docker compose does.
    pub fn replacement(&self, existing: &ContainerInspect, found: &Found) -> Replacement {
        let mut request = self.request.clone();
        let given: BTreeSet<String> = targets(&request).into_iter().map(str::to_owned).collect();
        let of_image = found.image.as_ref().and_then(|image| image.config.as_ref());
        let declared: BTreeSet<String> = of_image
            .into_iter()
            .chain([&self.request.config])
            .flat_map(|config| config.volumes.keys())
            .map(|path| cleaned(path).to_owned())
            .collect();
        let mut left = Vec::new();
        for mount in existing.mounts.iter().filter(|mount| is_anonymous(mount)) {
            let target = &mount.destination;
            if declared.contains(target) && !given.contains(target) {
                let flags = if mount.rw { "" } else { ":ro" };
                let bind = format!("{}:{target}{flags}", mount.name);
                request.host_config.binds.push(bind);
            } else if request.host_config.volumes_from.is_empty() {
                // With `volumes_from` it may be another container's.
                left.push(format!("{} at {target}", mount.name));
            }
        }
        Replacement { request, left }
    }
}

/// The container that an entry of `volumes_from` names.
fn donor(entry: &str) -> &str {
    entry.split(':').next().unwrap_or(entry)
}

/// Paths in the container that the definition itself puts something on.
fn targets(request: &CreateRequest) -> BTreeSet<&str> {
    let host = &request.host_config;
    let binds = host.binds.iter().filter_map(|bind| bind.split(':').nth(1));
    binds
        .chain(host.tmpfs.keys().map(String::as_str))
        .map(cleaned)
        .collect()
}

/// A path as engines write it.
fn cleaned(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

fn is_anonymous(mount: &MountPoint) -> bool {
    let name = mount.name.as_str();
    mount.typ == "volume"
        && name.len() == ANONYMOUS_LENGTH
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}
