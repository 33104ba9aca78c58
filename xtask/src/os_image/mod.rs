//! `cargo xtask os-image`: the system as one ordinary OCI image, in which every file is a separate layer.
//!
//! Any registry, `docker load`, `skopeo` and a USB stick carry it; two versions share the layers of all files that they have in
//! common. docs/upgrade.md has the layout.

mod archive;
mod builder;
mod cosign;
mod push;
#[cfg(test)]
mod pushed;
mod sign;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use install::{Manifest, image};
use oci_image::reference::Reference;

use crate::cache;
use crate::workspace::{Build, VERSION};
use crate::{iso, progress, rust};
use builder::{Image, Layer};
use push::push;

/// Options of `cargo xtask os-image`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Push it, too: `registry/name:tag`. Credentials are docker's, from ~/.docker/config.json
    #[arg(long)]
    push: Option<Reference>,
    /// Sign the manifest with this minisign secret key; repeated, with several
    #[arg(long)]
    sign: Vec<PathBuf>,
    /// Sign what is pushed with this key, too, as `cosign sign --recursive --key` does: ECDSA P-256 in PEM, openssl's or, with
    /// its password in COSIGN_PASSWORD, cosign's; repeated, with several
    #[arg(long, value_name = "KEY", requires = "push")]
    cosign_key: Vec<PathBuf>,
    /// Make a key pair FILE and FILE.pub, and nothing else
    #[arg(long, conflicts_with_all = ["push", "sign", "cosign_key"])]
    new_key: Option<PathBuf>,
}

/// Name of the image when it is not pushed.
const NAME: &str = "rancher/os";

/// Entry point of the command.
pub(crate) fn run(build: &Build, options: &Options) -> Result<()> {
    if let Some(path) = &options.new_key {
        return sign::new_key(path);
    }
    let reference = match &options.push {
        Some(reference) => reference.clone().or_latest(),
        None => own_name()?,
    };
    // Before the build, which takes minutes
    let cosign_keys = options
        .cosign_key
        .iter()
        .map(|path| cosign::Key::read(path));
    let cosign_keys = cosign_keys.collect::<Result<Vec<_>>>()?;
    let image = make(build, &reference, &options.sign)?;
    if options.sign.is_empty() {
        progress::warn(
            "the image is not signed: machines take it with --insecure only (--sign KEY)",
        );
    }
    match &options.push {
        Some(_) => push(&image, &reference, &cosign_keys),
        None => Ok(()),
    }
}

/// Builds the ISO and of it the image, without a signature.
pub(crate) fn unsigned(build: &Build) -> Result<()> {
    make(build, &own_name()?, &[]).map(|_| ())
}

fn own_name() -> Result<Reference> {
    Ok(Reference::parse(&format!("{NAME}:v{VERSION}"))?)
}

/// Makes the archive in `dist`.
fn make(build: &Build, reference: &Reference, keys: &[PathBuf]) -> Result<Image> {
    let _lock = build.lock()?;
    iso::build(build)?;
    let program = rust::build(build, "ros")?;
    let folder = build.scratch().join("iso");
    let manifest = fs::read(folder.join(install::store::MANIFEST)).context("read the manifest")?;
    let signatures = sign::sign(&manifest, VERSION, keys)?;
    let name = format!("os-{VERSION}-{}.oci.tar", build.arch.name());
    let target = build.dist().join(name);
    let image = progress::step("os-image", || {
        let layers = layers(build, &folder, &program, &manifest, signatures)?;
        let image = Image::new(build.arch.oci(), VERSION, build.epoch()?, layers)?;
        archive::write(&image, reference, &target, build.epoch()?)?;
        Ok(image)
    })?;
    progress::note("os-image", &target.display().to_string());
    Ok(image)
}

/// What the image has, what rarely changes first: the order is that of `docker history`, and of downloads.
fn layers(
    build: &Build,
    folder: &Path,
    program: &Path,
    manifest: &[u8],
    signatures: String,
) -> Result<Vec<Layer>> {
    let epoch = build.epoch()?;
    let known = Manifest::parse(manifest)?;
    let mut layers = vec![Layer::file(image::PROGRAM, program, 0o755, epoch)?];
    let file = |path: &str| Layer::file(&image::file(path), &folder.join(path), 0o644, epoch);
    for item in &known.files {
        layers.push(file(&item.path)?);
    }
    let grub = build.scratch().join("grub");
    for item in &known.loader {
        let source = match item.path.as_str() {
            install::BOOT_IMAGE => folder.join("boot/grub/boot.img"),
            install::CORE_IMAGE => grub.join("plain-core.img"),
            name => grub.join(name),
        };
        cache::verify(&source, &item.sha256)?;
        layers.push(Layer::file(
            &image::loader(&item.path),
            &source,
            0o644,
            epoch,
        )?);
    }
    layers.push(file(&known.kernel.path)?);
    layers.push(file(&known.initrd.path)?);
    layers.push(Layer::bytes(image::MANIFEST, manifest.to_vec(), epoch)?);
    if !signatures.is_empty() {
        layers.push(Layer::bytes(
            image::SIGNATURE,
            signatures.into_bytes(),
            epoch,
        )?);
    }
    Ok(layers)
}
