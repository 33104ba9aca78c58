//! Signatures in cosign's form next to ours, for registries and clusters that take nothing without one.
//!
//! What is signed has a digest, and its signatures lie in the same repository: an artifact under the tag `sha256-HEX.sig`. Each of
//! its layers is a payload that names the digest, with a signature over the payload as an annotation. Signatures of others stay.
//! Source: SIGNATURE_SPEC.md of sigstore/cosign; containers-signature(5).

mod key;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_image::digest::Digest;
use oci_image::manifest::{Descriptor, Document, Index, Manifest, OCI_CONFIG, OCI_MANIFEST};
use oci_image::reference::{DEFAULT_DOMAIN, Reference};
use oci_transfer::registry::{Blob, Repository};
use serde_json::json;

pub(super) use key::Key;

/// Media type of a payload.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// The annotation that has the signature over a layer, in base64.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// What Docker Hub is called in a payload.
const DOCKER_HUB: &str = "index.docker.io";
/// cosign puts no date into an artifact: the same image gives the same.
const NO_DATE: &str = "0001-01-01T00:00:00Z";

/// Signs in one repository.
pub(super) struct Signer<'a> {
    /// Where signatures are put.
    pub(super) repository: &'a Repository<'a>,
    /// Its name, and the tag that is pushed.
    pub(super) reference: &'a Reference,
    /// With none of them, nothing is done.
    pub(super) keys: &'a [Key],
}

impl Signer<'_> {
    /// Signs a manifest with each key that has not signed it yet.
    ///
    /// # Errors
    /// When the registry cannot be reached or does not take the signatures.
    pub(super) fn sign(&self, digest: &Digest) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let payload = payload(self.reference, digest);
        let mut layers = self.layers(digest)?;
        let before = layers.len();
        for key in self.keys {
            if !is_signed(&layers, &payload, key) {
                layers.push(layer(&payload, &key.sign(&payload)?));
            }
        }
        if layers.len() == before {
            return Ok(());
        }
        let config = configuration(&layers);
        let blobs = [blob(&payload), blob(&config)];
        let manifest = Manifest {
            schema_version: 2,
            media_type: OCI_MANIFEST.to_owned(),
            config: Descriptor::new(OCI_CONFIG, blobs[1].digest.clone(), blobs[1].size),
            layers,
            annotations: Default::default(),
        };
        let manifest = serde_json::to_vec(&manifest).context("write a manifest")?;
        self.repository.send(&blobs)?;
        self.repository
            .put(&tag(digest), OCI_MANIFEST, &manifest)
            .with_context(|| format!("put the signature of {digest}"))?;
        Ok(())
    }

    /// Signs an index, whose entry `own` is signed. The others came from the registry, perhaps from a stranger: each must have
    /// signatures of the same keys.
    ///
    /// # Errors
    /// When an entry is not signed with a key; those of [`Signer::sign`].
    pub(super) fn sign_index(&self, index: &[u8], own: &Digest) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let known: Index = serde_json::from_slice(index).context("parse the index")?;
        for entry in known.manifests.iter().filter(|entry| entry.digest != *own) {
            let payload = payload(self.reference, &entry.digest);
            let layers = self.layers(&entry.digest)?;
            for key in self.keys {
                ensure!(
                    is_signed(&layers, &payload, key),
                    "{} of {} under the tag is not signed with {}: push that one with the same --cosign-key, too, or choose another tag",
                    entry.digest,
                    entry
                        .platform
                        .as_ref()
                        .map_or_else(|| "no platform".to_owned(), |it| it.name()),
                    key.path().display()
                );
            }
        }
        self.sign(&Digest::sha256(index))
    }

    /// The signatures that are there.
    fn layers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let tag = tag(digest);
        let Some(bytes) = self.repository.get(&tag, OCI_MANIFEST)? else {
            return Ok(Vec::new());
        };
        match Document::parse(&bytes, None).with_context(|| format!("parse {tag}"))? {
            Document::Image(manifest) => Ok(manifest.layers),
            Document::Index(_) => anyhow::bail!("{tag} is an index, and not cosign's signatures"),
        }
    }
}

/// The tag of a digest's signatures.
pub(super) fn tag(digest: &Digest) -> String {
    format!("{}-{}.sig", digest.algorithm_name(), digest.hex())
}

/// What is signed. The same digest gives the same bytes; they are those of `cosign sign` without annotations.
fn payload(reference: &Reference, digest: &Digest) -> Vec<u8> {
    let name = match reference.domain() {
        DEFAULT_DOMAIN => format!("{DOCKER_HUB}/{}", reference.path()),
        _ => reference.name(),
    };
    json!({
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest.to_string()},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes()
}

fn layer(payload: &[u8], signature: &[u8]) -> Descriptor {
    let mut layer = Descriptor::new(PAYLOAD, Digest::sha256(payload), payload.len() as u64);
    let signature = STANDARD.encode(signature);
    layer.annotations = [(SIGNATURE.to_owned(), signature)].into();
    layer
}

/// Whether one of the layers has a signature of `key` over `payload`.
fn is_signed(layers: &[Descriptor], payload: &[u8], key: &Key) -> bool {
    let digest = Digest::sha256(payload);
    layers.iter().any(|layer| {
        let signature = layer.annotations.get(SIGNATURE);
        let signature = signature.and_then(|text| STANDARD.decode(text).ok());
        layer.digest == digest && signature.is_some_and(|it| key.has_signed(payload, &it))
    })
}

/// The configuration of the artifact: registries want one, and each payload is a layer of it.
fn configuration(layers: &[Descriptor]) -> Vec<u8> {
    let digests: Vec<String> = layers.iter().map(|it| it.digest.to_string()).collect();
    let step = json!({"created": NO_DATE});
    json!({
        "architecture": "",
        "created": NO_DATE,
        "history": vec![step; layers.len()],
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": digests},
        "config": {},
    })
    .to_string()
    .into_bytes()
}

fn blob(bytes: &[u8]) -> Blob<'_> {
    Blob {
        digest: Digest::sha256(bytes),
        size: bytes.len() as u64,
        open: Box::new(move || Ok(Box::new(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_what_cosign_writes() {
        let digest = Digest::sha256(b"");
        let payload = |name: &str| {
            let reference = Reference::parse(name).unwrap();
            String::from_utf8(payload(&reference, &digest)).unwrap()
        };
        let expected = r#"{"critical":{"identity":{"docker-reference":"NAME"},"image":{"docker-manifest-digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"type":"cosign container image signature"},"optional":null}"#;
        for (pushed, name) in [
            ("localhost:5000/team/os:v1", "localhost:5000/team/os"),
            ("team/os:v1", "index.docker.io/team/os"),
        ] {
            assert_eq!(payload(pushed), expected.replace("NAME", name));
        }
    }
}
