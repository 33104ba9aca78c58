//! Other versions than the one under test: its ISO with files that differ.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// An ISO file, which goes when this is dropped.
pub(crate) struct SecondVersion {
    pub(crate) path: PathBuf,
    _folder: TempDir,
}

/// The index of images, and the manifest, on the medium.
const IMAGES: &str = "rancheros/images.json";
const MANIFEST: &str = "rancheros/manifest.json";

impl SecondVersion {
    /// The version of `iso`, whose images of these services have other configurations: `change` gets a service's name and what
    /// `docker inspect` shows as Config of its image.
    pub(crate) fn of(
        iso: &Path,
        services: &[&str],
        change: fn(&str, &mut Value),
    ) -> anyhow::Result<SecondVersion> {
        SecondVersion::changed(iso, |tree| {
            services
                .iter()
                .try_for_each(|service| tree.configure(service, |config| change(service, config)))
        })
    }

    /// The version of `iso` after a change of its files. Its manifest says what the changed files are; nobody has signed it.
    pub(crate) fn changed(
        iso: &Path,
        change: impl FnOnce(&mut Tree) -> anyhow::Result<()>,
    ) -> anyhow::Result<SecondVersion> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let path = folder.path().join("iso");
        let mut tree = Tree::of(iso, folder.path().join("tree"))?;
        change(&mut tree)?;
        tree.write(&path)?;
        Ok(SecondVersion {
            path,
            _folder: folder,
        })
    }
}

/// The files of an ISO.
pub(crate) struct Tree {
    root: PathBuf,
    manifest: Value,
}

impl Tree {
    fn of(iso: &Path, root: PathBuf) -> anyhow::Result<Tree> {
        duct::cmd!(
            "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", &root
        )
        .stderr_null()
        .run()
        .context("xorriso cannot read the ISO")?;
        // What is on a disc may be written by nobody
        duct::cmd!("chmod", "-R", "u+w", &root)
            .run()
            .context("chmod")?;
        let manifest = read(&root.join(MANIFEST))?;
        Ok(Tree { root, manifest })
    }

    /// Gives a file other content.
    pub(crate) fn alter(
        &mut self,
        path: &str,
        change: impl FnOnce(&mut Vec<u8>),
    ) -> anyhow::Result<()> {
        let place = self.root.join(path);
        let mut content = fs::read(&place).with_context(|| format!("the ISO has no {path}"))?;
        change(&mut content);
        fs::write(&place, &content).with_context(|| format!("cannot write {path}"))?;
        let mut items: Vec<&mut Value> = Vec::new();
        if let Some(manifest) = self.manifest.as_object_mut() {
            for (name, value) in manifest {
                match name.as_str() {
                    "kernel" | "initrd" => items.push(value),
                    "files" => items.extend(value.as_array_mut().into_iter().flatten()),
                    _ => {}
                }
            }
        }
        let item = items.into_iter().find(|item| item["path"] == path);
        let item = item.with_context(|| format!("the manifest has no {path}"))?;
        item["size"] = json!(content.len());
        item["sha256"] = json!(hex(&content));
        Ok(())
    }

    /// Changes what `docker inspect` shows as Config of a service's image.
    pub(crate) fn configure(
        &mut self,
        service: &str,
        change: impl FnOnce(&mut Value),
    ) -> anyhow::Result<()> {
        let mut images = read(&self.root.join(IMAGES))?;
        let image = image_of(&mut images, service)?;
        let text = image["config"].as_str().context("an image without text")?;
        let mut config: Value = serde_json::from_str(text)?;
        change(&mut config["config"]);
        let text = serde_json::to_string(&config)?;
        image["config_digest"] = json!(format!("sha256:{}", hex(text.as_bytes())));
        image["config"] = json!(text);
        let text = serde_json::to_vec(&images)?;
        self.alter(IMAGES, |content| *content = text)
    }

    /// The file of the uppermost layer of a service's image.
    pub(crate) fn layer_of(&self, service: &str) -> anyhow::Result<String> {
        let mut images = read(&self.root.join(IMAGES))?;
        let image = image_of(&mut images, service)?;
        let layers = image["layers"].as_array().context("no layers")?;
        let last = layers.last().context("no layers")?;
        let file = last["file"].as_str().context("a layer without a file")?;
        Ok(format!("rancheros/{file}"))
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let manifest = serde_json::to_vec(&self.manifest)?;
        fs::write(self.root.join(MANIFEST), manifest)?;
        // A signature over another manifest; a version need not have one
        let _ = fs::remove_file(self.root.join("rancheros/manifest.json.minisig"));
        duct::cmd!(
            "xorriso",
            "-as",
            "mkisofs",
            "-R",
            "-V",
            "RANCHEROS",
            "-o",
            path,
            &self.root
        )
        .stderr_null()
        .run()
        .context("xorriso cannot write an ISO")?;
        fs::remove_dir_all(&self.root).context("cannot remove the files of an ISO")
    }
}

fn image_of<'a>(images: &'a mut Value, service: &str) -> anyhow::Result<&'a mut Value> {
    let start = format!("rancher/os-{service}:");
    let all = images["images"].as_array_mut().context("no images")?;
    let mut all = all.iter_mut();
    all.find(|image| {
        let name = image["references"][0].as_str();
        name.is_some_and(|name| name.starts_with(&start))
    })
    .with_context(|| format!("no image of {service}"))
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
