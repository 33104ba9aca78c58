//! Which services change with a version: those whose image is another one, told before the question.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use install::{Manifest, store};
use oci_image::Reference;
use oci_image::media::{FILE_NAME, MediaIndex};

use super::installed::{Installed, STORE};
use super::wanted::Wanted;
use crate::machine_config::MachineConfig;

/// What a system image is called, in front of its name.
const PREFIX: &str = "os-";

/// A line for the question. That it cannot be told is said, and refuses nothing.
pub(super) fn line(machine: &Installed, wanted: &Wanted<'_>) -> String {
    match images(machine, wanted) {
        Ok(changed) if changed.is_empty() => "  no service changes".to_owned(),
        Ok(changed) => format!("  services that change: {}", services(&changed).join(", ")),
        Err(error) => format!("  which services change cannot be told: {error:#}"),
    }
}

/// Repositories of images that are not the same in both versions.
fn images(machine: &Installed, wanted: &Wanted<'_>) -> anyhow::Result<Vec<String>> {
    let running = machine
        .version(machine.slot)
        .context("the running version has no manifest")?;
    let folder = Path::new(STORE).join(store::slot_folder(machine.slot));
    let now = std::fs::read(folder.join(index_of(&running.manifest)?))
        .context("cannot read the running version's images")?;
    let index = index_of(wanted.manifest)?;
    let mut files = wanted.manifest.files.iter();
    let item = files.find(|item| item.path == index);
    let then = wanted.read(item.context("it has no images")?)?;
    Ok(differences(
        &MediaIndex::parse(&now)?,
        &MediaIndex::parse(&then)?,
    ))
}

/// Path of the index of images.
fn index_of(manifest: &Manifest) -> anyhow::Result<&str> {
    let mut paths = manifest.files.iter().map(|item| item.path.as_str());
    let ends = |path: &&str| path.rsplit('/').next() == Some(FILE_NAME);
    paths.find(ends).context("a version without images")
}

fn differences(now: &MediaIndex, then: &MediaIndex) -> Vec<String> {
    let (now, then) = (ids(now), ids(then));
    let names = now.keys().chain(then.keys());
    let mut changed: Vec<String> = names
        .filter(|name| now.get(*name) != then.get(*name))
        .cloned()
        .collect();
    changed.sort();
    changed.dedup();
    changed
}

/// The id of each image by its repository: the tag is the version's name.
fn ids(index: &MediaIndex) -> BTreeMap<String, String> {
    let of = |reference: &String| Some(Reference::parse(reference).ok()?.familiar_name());
    let mut found = BTreeMap::new();
    for image in &index.images {
        for name in image.references.iter().filter_map(of) {
            found.insert(name, image.config_digest.to_string());
        }
    }
    found
}

/// The services that this machine makes from them; an image that no service has stands under its short name.
fn services(images: &[String]) -> Vec<String> {
    let config = MachineConfig::load().loaded.config;
    let repository = |image: &String| Some(Reference::parse(image).ok()?.familiar_name());
    let by_image: Vec<(String, String)> = config
        .rancher
        .services
        .iter()
        .filter_map(|(name, service)| Some((repository(service.image.as_ref()?)?, name.clone())))
        .collect();
    names(images, &by_image)
}

fn names(images: &[String], services: &[(String, String)]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for image in images {
        let before = found.len();
        let made = services.iter().filter(|(of, _)| of == image);
        found.extend(made.map(|(_, service)| service.clone()));
        if found.len() == before {
            let short = image.rsplit('/').next().unwrap_or(image);
            found.push(short.strip_prefix(PREFIX).unwrap_or(short).to_owned());
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use oci_image::Digest;
    use oci_image::media::MediaImage;

    use super::*;

    fn index(version: &str, images: &[(&str, &str)]) -> MediaIndex {
        let image = |(name, content): &(&str, &str)| MediaImage {
            references: vec![format!("rancher/os-{name}:{version}")],
            manifest_digest: Digest::sha256(content.as_bytes()),
            config: (*content).to_owned(),
            config_digest: Digest::sha256(content.as_bytes()),
            layers: Vec::new(),
        };
        MediaIndex {
            version: version.to_owned(),
            images: images.iter().map(image).collect(),
        }
    }

    #[test]
    fn services_are_told_by_images_that_differ_in_more_than_the_tag() {
        let now = index("v1", &[("ntp", "a"), ("network", "b"), ("acpid", "c")]);
        let then = index("v2", &[("ntp", "a"), ("network", "B"), ("storage", "d")]);
        let changed = differences(&now, &then);
        assert_eq!(
            changed,
            [
                "rancher/os-acpid",
                "rancher/os-network",
                "rancher/os-storage"
            ]
        );
        let service = |name: &str, image: &str| (format!("rancher/os-{image}"), name.to_owned());
        let known = [
            service("network", "network"),
            service("cloud-init", "network"),
            service("ntp", "ntp"),
            service("acpid", "acpid"),
        ];
        assert_eq!(
            names(&changed, &known),
            ["acpid", "cloud-init", "network", "storage"]
        );
        assert!(
            differences(
                &now,
                &index("v3", &[("ntp", "a"), ("network", "b"), ("acpid", "c")])
            )
            .is_empty()
        );
    }
}
