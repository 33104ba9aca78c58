//! Other versions than the one under test: its ISO with images that differ.

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
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let (tree, path) = (folder.path().join("tree"), folder.path().join("iso"));
        duct::cmd!(
            "xorriso", "-osirrox", "on", "-indev", iso, "-extract", "/", &tree
        )
        .stderr_null()
        .run()
        .context("xorriso cannot read the ISO")?;
        // What is on a disc may be written by nobody
        duct::cmd!("chmod", "-R", "u+w", &tree)
            .run()
            .context("chmod")?;
        let mut images = read(&tree.join(IMAGES))?;
        for image in images["images"].as_array_mut().context("no images")? {
            let name = image["references"][0].as_str().unwrap_or_default();
            let is = |service: &&&str| name.starts_with(&format!("rancher/os-{service}:"));
            if let Some(service) = services.iter().find(is) {
                alter(image, |config| change(service, config))?;
            }
        }
        let text = serde_json::to_vec(&images)?;
        fs::write(tree.join(IMAGES), &text)?;
        let mut manifest = read(&tree.join(MANIFEST))?;
        for file in manifest["files"].as_array_mut().context("no files")? {
            if file["path"] == IMAGES {
                file["size"] = json!(text.len());
                file["sha256"] = json!(hex(&text));
            }
        }
        fs::write(tree.join(MANIFEST), serde_json::to_vec(&manifest)?)?;
        // A signature over another manifest; a version need not have one
        let _ = fs::remove_file(tree.join("rancheros/manifest.json.minisig"));
        duct::cmd!(
            "xorriso",
            "-as",
            "mkisofs",
            "-R",
            "-V",
            "RANCHEROS",
            "-o",
            &path,
            &tree
        )
        .stderr_null()
        .run()
        .context("xorriso cannot write an ISO")?;
        fs::remove_dir_all(&tree)?;
        Ok(SecondVersion {
            path,
            _folder: folder,
        })
    }
}

fn alter(image: &mut Value, change: impl Fn(&mut Value)) -> anyhow::Result<()> {
    let text = image["config"].as_str().context("an image without text")?;
    let mut config: Value = serde_json::from_str(text)?;
    change(&mut config["config"]);
    let text = serde_json::to_string(&config)?;
    image["config_digest"] = json!(format!("sha256:{}", hex(text.as_bytes())));
    image["config"] = json!(text);
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
