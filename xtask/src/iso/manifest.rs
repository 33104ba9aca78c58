//! `rancheros/manifest.json`: what the version on a medium consists of, so that `ros install` can check what it copies.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use install::{Item, Manifest, Release};

use super::grub::Loader;
use super::menu::Declaration;
use crate::cache;
use crate::debian::Lock;
use crate::kernel::Kernel;
use crate::workspace::{Build, VERSION};

/// Writes it into the medium's `folder`.
pub(super) fn write(
    build: &Build,
    kernel: &Kernel,
    declaration: &Declaration,
    loader: &Loader,
    folder: &Path,
) -> Result<()> {
    let item = |path: &str| describe(&folder.join(path), path);
    let mut manifest = Manifest::new(
        VERSION,
        build.arch.name(),
        declaration.installed(),
        item("boot/vmlinuz")?,
        item("boot/initrd")?,
    );
    for path in cache::walk(&folder.join("rancheros"))? {
        let path = format!("rancheros/{}", path.display());
        if folder.join(&path).is_file() {
            manifest.files.push(item(&path)?);
        }
    }
    manifest
        .files
        .sort_by(|one, other| one.path.cmp(&other.path));
    if let Some(bios) = &loader.bios {
        manifest
            .loader
            .push(describe(&bios.boot, install::BOOT_IMAGE)?);
        let core = fs::read(&bios.core).with_context(|| format!("read {}", bios.core.display()))?;
        let plain = bios.core.with_file_name("plain-core.img");
        cache::write(&plain, &install::plain_core(&core))?;
        manifest.loader.push(describe(&plain, install::CORE_IMAGE)?);
    }
    let name = loader.program.file_name().context("the program's name")?;
    manifest
        .loader
        .push(describe(&loader.program, &name.to_string_lossy())?);
    manifest.release = release(build, kernel)?;
    let text = serde_json::to_vec_pretty(&manifest).context("write the manifest")?;
    cache::write(&folder.join("rancheros/manifest.json"), &text)
}

/// What `iso/release.toml` says, and the versions of what people ask for before they upgrade.
fn release(build: &Build, kernel: &Kernel) -> Result<Release> {
    let path = build.root.join("iso/release.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut release: Release =
        toml::from_str(&text).with_context(|| format!("parse {}", path.display()))?;
    release.linux = kernel.release()?;
    let lock = Lock::read(&Lock::path(build))?;
    let docker = lock
        .pin("docker.io")
        .context("docker.io is not in the lock file")?;
    // 26.1.5+dfsg1-9+b11: the version is in front of what Debian adds
    let version = docker.version.split(['+', '~', '-']).next();
    release.docker = version.unwrap_or_default().to_owned();
    Ok(release)
}

fn describe(file: &Path, path: &str) -> Result<Item> {
    let size = fs::metadata(file)
        .with_context(|| format!("stat {}", file.display()))?
        .len();
    Ok(Item {
        path: path.to_owned(),
        size,
        sha256: cache::sha256_file(file)?,
    })
}
