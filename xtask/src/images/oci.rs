//! Writes an image as an OCI image layout in one tar, which `docker load` reads too.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use oci_image::config::{History, ImageConfig};
use oci_image::digest::Digest;
use oci_image::manifest::{self, Descriptor, Index, Manifest};
use oci_image::media::{MediaImage, MediaLayer};
use serde_json::json;

use super::declaration::Declaration;
use super::layer::Layer;
use crate::cache;
use crate::workspace::Build;

/// An image: its documents and layers, lowest first.
pub(crate) struct Image {
    reference: String,
    config: Vec<u8>,
    manifest: Vec<u8>,
    layers: Vec<Layer>,
}

impl Image {
    /// Describes an image whose layers are packed. `names` are the images that made them.
    pub(crate) fn new(
        build: &Build,
        image: &Declaration,
        version: &str,
        names: &[String],
        layers: Vec<Layer>,
    ) -> Result<Self> {
        let created = Some(rfc3339(build.epoch()?));
        let mut config = ImageConfig {
            architecture: build.arch.oci().to_owned(),
            os: "linux".to_owned(),
            created: created.clone(),
            ..ImageConfig::default()
        };
        let list = |words: &[String]| (!words.is_empty()).then(|| words.to_vec());
        config.config.entrypoint = list(&image.entrypoint);
        config.config.cmd = list(&image.cmd);
        config.config.env.clone_from(&image.env);
        config.config.labels.clone_from(&image.labels);
        config.rootfs.diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        config.history = names
            .iter()
            .map(|name| History {
                created: created.clone(),
                created_by: format!("cargo xtask images: {name}"),
                ..History::default()
            })
            .collect();
        let config = config.to_bytes();
        let manifest = Manifest {
            schema_version: 2,
            media_type: manifest::OCI_MANIFEST.to_owned(),
            config: Descriptor::new(
                manifest::OCI_CONFIG,
                Digest::sha256(&config),
                config.len() as u64,
            ),
            layers: layers
                .iter()
                .map(|layer| {
                    Descriptor::new(
                        manifest::OCI_LAYER_GZIP,
                        layer.blob_digest.clone(),
                        layer.blob_size,
                    )
                })
                .collect(),
            annotations: BTreeMap::new(),
        };
        let manifest = serde_json::to_vec(&manifest).context("write a manifest")?;
        Ok(Self {
            reference: image.reference(version),
            config,
            manifest,
            layers,
        })
    }

    /// The image's entry in the index of the media; `read_ahead` has the programs of each layer that every boot starts.
    pub(crate) fn media(&self, read_ahead: Vec<Vec<String>>) -> Result<MediaImage> {
        let layer = |(layer, read_ahead): (&Layer, Vec<String>)| MediaLayer {
            diff_id: layer.diff_id.clone(),
            file: format!("layers/{}.squashfs", layer.diff_id.hex()),
            size: layer.squashfs_size,
            read_ahead,
        };
        Ok(MediaImage {
            references: vec![self.reference.clone()],
            manifest_digest: Digest::sha256(&self.manifest),
            config: String::from_utf8(self.config.clone())
                .context("the configuration is not UTF-8")?,
            config_digest: Digest::sha256(&self.config),
            layers: self.layers.iter().zip(read_ahead).map(layer).collect(),
        })
    }

    /// Writes the image to `target`.
    pub(crate) fn write(&self, target: &Path, epoch: u64) -> Result<()> {
        let context = || format!("write {}", target.display());
        let mut tar = tar::Builder::new(cache::Pending::create(target)?);
        let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
        let (config, manifest) = (Digest::sha256(&self.config), Digest::sha256(&self.manifest));
        let layers: BTreeMap<String, &Layer> = self
            .layers
            .iter()
            .map(|layer| (blob(&layer.blob_digest), layer))
            .collect();
        let archive = json!([{
            "Config": blob(&config),
            "RepoTags": [self.reference],
            "Layers": self.layers.iter().map(|layer| blob(&layer.blob_digest)).collect::<Vec<_>>(),
        }]);
        append(
            &mut tar,
            "oci-layout",
            br#"{"imageLayoutVersion":"1.0.0"}"#,
            epoch,
        )
        .with_context(context)?;
        append(
            &mut tar,
            "index.json",
            &self.index(manifest.clone())?,
            epoch,
        )
        .with_context(context)?;
        append(
            &mut tar,
            "manifest.json",
            archive.to_string().as_bytes(),
            epoch,
        )
        .with_context(context)?;
        append(&mut tar, &blob(&config), &self.config, epoch).with_context(context)?;
        append(&mut tar, &blob(&manifest), &self.manifest, epoch).with_context(context)?;
        for (name, layer) in layers {
            let mut file = fs::File::open(layer.blob()?).with_context(context)?;
            tar.append_data(&mut header(layer.blob_size, epoch), name, &mut file)
                .with_context(context)?;
        }
        tar.into_inner().with_context(context)?.commit()
    }

    fn index(&self, manifest: Digest) -> Result<Vec<u8>> {
        let mut descriptor =
            Descriptor::new(manifest::OCI_MANIFEST, manifest, self.manifest.len() as u64);
        let tag = self
            .reference
            .rsplit_once(':')
            .map_or("latest", |(_, tag)| tag);
        descriptor.annotations = BTreeMap::from([
            (
                "io.containerd.image.name".to_owned(),
                self.reference.clone(),
            ),
            (
                "org.opencontainers.image.ref.name".to_owned(),
                tag.to_owned(),
            ),
        ]);
        let index = Index {
            schema_version: 2,
            media_type: manifest::OCI_INDEX.to_owned(),
            manifests: vec![descriptor],
            annotations: BTreeMap::new(),
        };
        serde_json::to_vec(&index).context("write an index")
    }
}

/// The header of a file in an archive.
pub(crate) fn header(size: u64, epoch: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(epoch);
    header.set_size(size);
    header
}

/// Adds a file to an archive.
pub(crate) fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: &[u8],
    epoch: u64,
) -> Result<()> {
    tar.append_data(&mut header(bytes.len() as u64, epoch), name, bytes)
        .with_context(|| format!("add {name}"))
}

/// Seconds since 1970 as `2026-01-01T00:00:00Z`.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 0000-03-01, so that the leap day is the last of a year
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_709_208_000), "2024-02-29T12:00:00Z");
        assert_eq!(rfc3339(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
    }
}
