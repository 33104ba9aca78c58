//! The image goes to a registry, as whom `docker login` has logged in.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci_image::digest::Digest;
use oci_image::manifest::{OCI_INDEX, OCI_MANIFEST};
use oci_image::reference::Reference;
use oci_image::registry::{Credentials, RegistryOptions};
use oci_transfer::registry::{Blob, Repository, Transfer};

use super::builder::{Image, Layer};
use super::cosign::{Key, Signer};
use crate::progress;

/// Pushes the image under the tag of `reference`, signed with the keys of cosign's form.
pub(super) fn push(image: &Image, reference: &Reference, keys: &[Key]) -> Result<()> {
    let options = RegistryOptions::default();
    let credentials = credentials(reference.domain())?;
    let report = |step: oci_image::progress::Progress| {
        println!("{} {}", step.id, step.status);
    };
    let transfer = Transfer {
        options: &options,
        credentials: &credentials,
        platform: None,
        known: &Default::default(),
        report: &report,
    };
    let digest =
        send(image, reference, keys, &transfer).with_context(|| format!("push {reference}"))?;
    progress::note("os-image", &format!("{reference}@{digest}"));
    Ok(())
}

/// Nobody sees the tag before everything that it names is there, and is signed.
fn send(
    image: &Image,
    reference: &Reference,
    keys: &[Key],
    transfer: &Transfer<'_>,
) -> Result<Digest> {
    let tag = reference.tag().context("a tag is needed")?;
    let repository = Repository::open(reference, transfer)?;
    let mut blobs: Vec<Blob<'_>> = image.layers().iter().map(Layer::blob).collect();
    blobs.push(image.config());
    repository.send(&blobs)?;
    let own = Digest::sha256(image.manifest());
    repository.put(&own.to_string(), OCI_MANIFEST, image.manifest())?;
    let signer = Signer {
        repository: &repository,
        reference,
        keys,
    };
    signer.sign(&own)?;
    let index = repository.with_others(tag, image.index())?;
    signer.sign_index(&index, &own)?;
    Ok(repository.put(tag, OCI_INDEX, &index)?)
}

/// What `docker login` has left for a registry; nobody when there is nothing.
fn credentials(domain: &str) -> Result<Credentials> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    let Some(path) = folder.or(home).map(|folder| folder.join("config.json")) else {
        return Ok(Credentials::default());
    };
    let Ok(text) = fs::read(&path) else {
        return Ok(Credentials::default());
    };
    let document: serde_json::Value =
        serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))?;
    let key = if domain == "docker.io" {
        "https://index.docker.io/v1/"
    } else {
        domain
    };
    let entry = &document["auths"][key];
    let Some(auth) = entry["auth"].as_str() else {
        return Ok(Credentials::default());
    };
    let Some((username, password)) = decode_basic(auth) else {
        bail!(
            "{}: the entry of {key} is not base64 of user:password",
            path.display()
        );
    };
    Ok(Credentials {
        username,
        password,
        identity_token: entry["identitytoken"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        ..Credentials::default()
    })
}

/// `user:password` in base64 (RFC 7617).
fn decode_basic(text: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_login_left_is_read() {
        let decoded = decode_basic("bWU6YTpi");
        assert_eq!(decoded, Some(("me".to_owned(), "a:b".to_owned())));
        assert_eq!(decode_basic("dTpw"), Some(("u".to_owned(), "p".to_owned())));
        assert_eq!(decode_basic("dQ=="), None);
        assert_eq!(decode_basic("?"), None);
    }
}
