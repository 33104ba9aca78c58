//! Image manifests and indexes: OCI image-spec 1.1 and Docker's schema 2, read with limits and written exactly.
//!
//! Schema 1 is refused. A document that is both a manifest and an index is refused too (CVE-2021-41190).

mod platform;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, Result};
pub use platform::Platform;

/// Largest manifest or index that is read, in bytes (what registries accept).
pub const MANIFEST_MAX: u64 = 4 * 1024 * 1024;
/// Most layers of one image; overlayfs and Docker stop at the same order.
pub const LAYERS_MAX: usize = 500;
/// Most entries of one index.
pub const INDEX_MAX: usize = 4096;

/// OCI image manifest.
pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// OCI image index.
pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// OCI image configuration.
pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// OCI layer: plain tar.
pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// OCI layer: tar with gzip.
pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Docker schema 2 manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer: tar with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// Manifest types asked for, in an `Accept` header.
pub const ACCEPTED: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];

/// Pointer to content by digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    #[serde(default)]
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Other places of the content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Platform, in an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
}

impl Descriptor {
    /// A descriptor of content that is at hand.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}

/// Manifest of one image for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// Media type of this document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// Image configuration.
    pub config: Descriptor,
    /// Layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Index of manifests, one per platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// Media type of this document.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub media_type: String,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Free annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The manifest for `platform`, the best fitting first listed.
    pub fn select(&self, platform: &Platform) -> Option<&Descriptor> {
        let mut best: Option<(u8, &Descriptor)> = None;
        for descriptor in &self.manifests {
            let score = descriptor
                .platform
                .as_ref()
                .map_or(0, |p| platform.score(p));
            if score > best.map_or(0, |(score, _)| score) {
                best = Some((score, descriptor));
            }
        }
        best.map(|(_, descriptor)| descriptor)
    }
}

/// What a manifest request can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Image(Box<Manifest>),
    /// Images of several platforms.
    Index(Index),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    config: Option<serde_json::Value>,
    layers: Option<serde_json::Value>,
    manifests: Option<serde_json::Value>,
    #[serde(rename = "fsLayers")]
    fs_layers: Option<serde_json::Value>,
}

impl Document {
    /// Parses a manifest or an index. `content_type` is the registry's word for it, which must not contradict the content.
    ///
    /// # Errors
    /// When it is not JSON, is larger than allowed, or its media type is unknown or not the one that was said.
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self> {
        if bytes.len() as u64 > MANIFEST_MAX {
            return Err(Error::Limit {
                what: "manifest".to_owned(),
                limit: MANIFEST_MAX,
            });
        }
        let malformed = |error| Error::invalid(format!("malformed manifest: {error}"));
        let probe: Probe = serde_json::from_slice(bytes).map_err(malformed)?;
        if probe.schema_version == 1 || probe.fs_layers.is_some() {
            return Err(Error::invalid(
                "manifest schema 1 is not supported: push the image again with a current client",
            ));
        }
        if probe.schema_version != 2 {
            return Err(Error::invalid(format!(
                "unsupported manifest schema version {}",
                probe.schema_version
            )));
        }
        let is_index = probe.manifests.is_some();
        if is_index && (probe.config.is_some() || probe.layers.is_some()) {
            return Err(Error::invalid("manifest is both an image and an index"));
        }
        for declared in [Some(probe.media_type.as_str()), content_type]
            .into_iter()
            .flatten()
        {
            check_media_type(declared, is_index)?;
        }
        if is_index {
            let index: Index = serde_json::from_slice(bytes).map_err(malformed)?;
            limit_count("index entries", index.manifests.len(), INDEX_MAX)?;
            return Ok(Self::Index(index));
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(malformed)?;
        limit_count("image layers", manifest.layers.len(), LAYERS_MAX)?;
        Ok(Self::Image(Box::new(manifest)))
    }
}

fn check_media_type(declared: &str, is_index: bool) -> Result<()> {
    let declared = declared.split(';').next().unwrap_or_default().trim();
    let contradicts = match declared {
        OCI_INDEX | DOCKER_LIST => !is_index,
        OCI_MANIFEST | DOCKER_MANIFEST => is_index,
        "" | "application/json" | "application/octet-stream" | "text/plain" => false,
        other => {
            return Err(Error::invalid(format!(
                "unsupported manifest type {other:.100?}"
            )));
        }
    };
    if contradicts {
        return Err(Error::invalid(format!(
            "manifest content contradicts its type {declared}"
        )));
    }
    Ok(())
}

/// Refuses more of something than this program accepts.
///
/// # Errors
/// [`Error::Limit`], which names it.
pub fn limit_count(what: &str, count: usize, limit: usize) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::Limit {
        what: format!("the number of {what} ({count})"),
        limit: limit as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(architecture: &str, variant: &str) -> String {
        let digest = Digest::sha256(format!("{architecture}{variant}").as_bytes());
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{digest}","size":1,"platform":{{"os":"linux","architecture":"{architecture}","variant":"{variant}"}}}}"#
        )
    }

    fn index(entries: &[String]) -> String {
        format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entries.join(",")
        )
    }

    #[test]
    fn platform_is_chosen_from_an_index() {
        let text = index(&[
            descriptor("arm", "v7"),
            descriptor("amd64", ""),
            descriptor("arm64", "v8"),
        ]);
        let Document::Index(index) = Document::parse(text.as_bytes(), Some(OCI_INDEX)).unwrap()
        else {
            panic!("not an index");
        };
        let pick = |name: &str| {
            index
                .select(&Platform::parse(name).unwrap())
                .map(|d| d.digest.clone())
        };
        assert_eq!(pick("linux/amd64"), Some(Digest::sha256(b"amd64")));
        assert_eq!(pick("linux/x86_64"), Some(Digest::sha256(b"amd64")));
        assert_eq!(pick("linux/arm64"), Some(Digest::sha256(b"arm64v8")));
        assert_eq!(pick("linux/arm/v7"), Some(Digest::sha256(b"armv7")));
        assert_eq!(pick("linux/arm/v6"), None);
        assert_eq!(pick("windows/amd64"), None);
    }

    #[test]
    fn ambiguous_and_old_documents_are_refused() {
        let digest = Digest::sha256(b"");
        let config = format!(r#""config":{{"digest":"{digest}","size":1}},"layers":[]"#);
        for bad in [
            format!(r#"{{"schemaVersion":2,{config},"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":1,{config}}}"#),
            r#"{"schemaVersion":2,"fsLayers":[]}"#.to_owned(),
            format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}",{config}}}"#),
            r#"{"schemaVersion":2,"config":{"digest":"sha256:../../x","size":1},"layers":[]}"#
                .to_owned(),
            "[]".to_owned(),
            String::new(),
        ] {
            assert!(
                Document::parse(bad.as_bytes(), None).is_err(),
                "{bad} was accepted"
            );
        }
        let good = format!(r#"{{"schemaVersion":2,{config}}}"#);
        assert!(Document::parse(good.as_bytes(), Some(OCI_INDEX)).is_err());
        assert!(
            Document::parse(
                good.as_bytes(),
                Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")
            )
            .is_ok()
        );
    }

    #[test]
    fn too_many_layers_are_refused() {
        let digest = Digest::sha256(b"");
        let layer = format!(r#"{{"digest":"{digest}","size":1}}"#);
        let layers = vec![layer.clone(); LAYERS_MAX + 1].join(",");
        let text = format!(r#"{{"schemaVersion":2,"config":{layer},"layers":[{layers}]}}"#);
        assert!(matches!(
            Document::parse(text.as_bytes(), None),
            Err(Error::Limit { .. })
        ));
    }
}
