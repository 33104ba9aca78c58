//! A version in an image: in an archive; or in System Docker, in User Docker, or in a registry, looked for in this order, as
//! RancherOS did.

mod engine;
mod registry;
mod worker;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};
use install::{Item, image};
use oci_image::task::WantedFile;
use oci_image::{Digest, Reference};

use crate::install::medium::{hex, sha256_file};
use crate::install::progress::Progress;
use crate::os::failure::fail;
use crate::os::policy::Policy;
use engine::Engine;
use registry::Registry;

/// Names of what is read before anything else.
const MANIFEST: &str = "manifest";
const SIGNATURE: &str = "signature";

/// Where a version's files come from.
pub(crate) struct Source {
    /// For people.
    pub(crate) name: String,
    place: Place,
}

enum Place {
    Engine(Engine),
    Registry(Box<Registry>),
}

/// A file to fetch, and what it must be.
pub(crate) struct File<'a> {
    /// Path in the image.
    pub(crate) path: String,
    /// Size and digest.
    pub(crate) item: &'a Item,
}

impl Source {
    /// Finds an image by its reference; nothing of its content is read.
    ///
    /// # Errors
    /// When `name` is not a reference.
    pub(crate) fn find(name: &str, policy: &Policy) -> anyhow::Result<Self> {
        let reference = Reference::parse(name)
            .map(Reference::or_latest)
            .with_context(|| format!("{name} is neither a file nor the name of an image"))?;
        if let Some(engine) = Engine::find(&reference.familiar())? {
            return Ok(Self {
                name: format!("{} in {}", reference.familiar(), engine.name),
                place: Place::Engine(engine),
            });
        }
        Ok(Self {
            name: reference.familiar(),
            place: Place::Registry(Box::new(Registry::new(&reference, policy)?)),
        })
    }

    /// Opens an archive of an image, as `docker save`, `skopeo` and `cargo xtask os-image` write them. The image stays in System
    /// Docker as long as this value lives.
    ///
    /// # Errors
    /// When System Docker cannot load it, or it has several images.
    pub(crate) fn load(archive: &Path) -> anyhow::Result<Self> {
        println!("{} is loaded first", archive.display());
        let engine = Engine::load(archive);
        Ok(Self {
            name: archive.display().to_string(),
            place: Place::Engine(
                engine.with_context(|| format!("cannot load {}", archive.display()))?,
            ),
        })
    }

    /// The manifest, and the signatures over it when the image has any.
    pub(crate) fn manifest(&self) -> anyhow::Result<(Vec<u8>, Option<Vec<u8>>)> {
        let folder = Folder::new("manifest")?;
        let wanted = |path: &str, name: &str, limit, optional| WantedFile {
            path: path.to_owned(),
            history: image::history(path),
            name: name.to_owned(),
            limit,
            digest: None,
            optional,
        };
        let files = vec![
            wanted(image::MANIFEST, MANIFEST, image::MANIFEST_MAX, false),
            wanted(image::SIGNATURE, SIGNATURE, image::SIGNATURE_MAX, true),
        ];
        self.get(files, folder.path(), &mut None)?;
        let text = fs::read(folder.path().join(MANIFEST)).context("cannot read the manifest")?;
        Ok((text, fs::read(folder.path().join(SIGNATURE)).ok()))
    }

    /// Fetches files into `folder`, each under its SHA-256; those that are there are not fetched. What is not as the manifest
    /// says does not stay.
    pub(crate) fn fetch(
        &self,
        files: &[File<'_>],
        folder: &Path,
        progress: Option<&mut Progress>,
    ) -> anyhow::Result<()> {
        let missing: Vec<&File<'_>> = files
            .iter()
            .filter(|file| !folder.join(&file.item.sha256).exists())
            .collect();
        let mut wanted: Vec<WantedFile> = Vec::new();
        for file in &missing {
            if wanted.iter().any(|other| other.name == file.item.sha256) {
                continue;
            }
            wanted.push(WantedFile {
                path: file.path.clone(),
                history: image::history(&file.path),
                name: file.item.sha256.clone(),
                limit: file.item.size,
                digest: Some(Digest::from_sha256_hex(&file.item.sha256)?),
                optional: false,
            });
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut progress = progress;
        self.get(wanted, folder, &mut progress)?;
        // Whoever fetched it read what strangers wrote; the digest is taken again here
        for file in missing {
            let path = folder.join(&file.item.sha256);
            let digest = hex(&sha256_file(&path)?);
            if digest != file.item.sha256 {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
                fail!(
                    Verification,
                    "{} has the SHA-256 {digest}, the manifest says {}",
                    file.path,
                    file.item.sha256
                );
            }
        }
        Ok(())
    }

    /// The content of one small file.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not what its digest says.
    pub(crate) fn read(&self, path: String, item: &Item) -> anyhow::Result<Vec<u8>> {
        let folder = Folder::new("file")?;
        self.fetch(&[File { path, item }], folder.path(), None)?;
        fs::read(folder.path().join(&item.sha256)).context("cannot read what was fetched")
    }

    fn get(
        &self,
        files: Vec<WantedFile>,
        folder: &Path,
        progress: &mut Option<&mut Progress>,
    ) -> anyhow::Result<()> {
        match &self.place {
            Place::Engine(engine) => engine.fetch(&files, folder, progress),
            Place::Registry(registry) => registry.fetch(files, folder, progress),
        }
    }
}

/// Whether a file is an archive of an image: a tar, perhaps packed by gzip.
pub(crate) fn is_archive(path: &Path) -> anyhow::Result<bool> {
    let what = || format!("cannot read {}", path.display());
    let mut head = Vec::new();
    let file = fs::File::open(path).with_context(what)?;
    file.take(512).read_to_end(&mut head).with_context(what)?;
    // The magic of a header (tar(5)), and that of gzip (RFC 1952). An ISO begins with zeros, or with a boot sector.
    Ok(head.get(257..262) == Some(b"ustar") || head.starts_with(&[0x1f, 0x8b]))
}

/// Versions that the registry of `image` has, the newest first. Tags that are not versions are left out.
pub(crate) fn versions(image: &str, policy: &Policy) -> anyhow::Result<Vec<String>> {
    let reference = Reference::parse(image)
        .with_context(|| format!("rancher.upgrade.image: {image:?}"))?
        .repository();
    let mut tags = registry::tags(&reference, policy)?;
    tags.retain(|tag| is_version(tag));
    tags.sort_by(|one, other| install::compare(other, one));
    Ok(tags)
}

/// The newest of what [`versions`] has found; release candidates only follow release candidates.
pub(crate) fn newest(versions: &[String]) -> Option<&str> {
    let trial = config::VERSION.contains('-');
    let mut found = versions.iter().map(String::as_str);
    found.find(|tag| trial || !tag.contains('-'))
}

/// `v1.2.3`, with or without the letter.
pub(crate) fn is_version(tag: &str) -> bool {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    tag.starts_with(|letter: char| letter.is_ascii_digit()) && tag.contains('.')
}

/// A folder in RAM that ends with this.
pub(crate) struct Folder(std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = Path::new("/run").join(format!("ros-os-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        ensure!(path.is_dir(), "{} is not a folder", path.display());
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in RAM: the reboot takes what stays
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_that_are_versions_are_told_from_others() {
        for (tag, expected) in [
            ("v1.0", true),
            ("0.2.0-rc1", true),
            ("latest", false),
            ("v2", false),
            ("vmware", false),
            ("1", false),
        ] {
            assert_eq!(is_version(tag), expected, "{tag}");
        }
    }
    #[test]
    fn archives_of_images_are_told_from_discs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut header = [0; 512];
        header[257..263].copy_from_slice(b"ustar\0");
        for (content, expected) in [
            (&header[..], true),
            (&[0x1f, 0x8b, 8, 0], true),
            (&[0; 512], false),
            (b"", false),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(is_archive(&path).unwrap(), expected, "{content:?}");
        }
    }
}
