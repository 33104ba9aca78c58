//! Files from a medium to the partition of layers: each content once, checked on the way, and a folder of links that looks
//! like the medium.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::Context as _;
use install::{Item, Slot, store};
use sha2::{Digest as _, Sha256};

use super::medium::{Medium, hex};
use super::progress::Progress;
use crate::os::failure::fail;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Copies what the store at `root` does not have, and makes the folder of `slot`.
pub(crate) fn version(
    medium: &Medium,
    root: &Path,
    slot: Slot,
    progress: &mut Progress,
) -> anyhow::Result<()> {
    let folder = root.join(store::slot_folder(slot));
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    medium.fetch(root, progress)?;
    for item in &medium.manifest.files {
        let content = root.join(store::stored(item));
        // A content has its name only once it was whole
        if !content.exists() {
            copy(&medium.file(item, root), &content, item, progress)?;
        }
        let link = root.join(store::linked(slot, item));
        create_parent(&link)?;
        fs::hard_link(&content, &link)
            .with_context(|| format!("cannot link {}", link.display()))?;
    }
    let manifest = root.join(store::manifest(slot));
    create_parent(&manifest)?;
    fs::write(&manifest, &medium.manifest_text)
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    if let Some(signature) = &medium.signature {
        let path = root.join(store::signature(slot));
        fs::write(&path, signature).with_context(|| format!("cannot write {}", path.display()))?;
    }
    sys::fs::sync();
    Ok(())
}

/// Removes kernel and initrd of an image from the store, where nothing needs them once a slot has them.
pub(crate) fn forget_kernel(medium: &Medium, root: &Path) -> anyhow::Result<()> {
    if !medium.is_remote() {
        return Ok(());
    }
    for item in [&medium.manifest.kernel, &medium.manifest.initrd] {
        let path = root.join(store::stored(item));
        fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn create_parent(path: &Path) -> anyhow::Result<()> {
    let parent = path.parent().context("a path without a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))
}

/// Copies one file under a temporary name and compares its digest before it gets its own.
fn copy(source: &Path, target: &Path, item: &Item, progress: &mut Progress) -> anyhow::Result<()> {
    create_parent(target)?;
    let temporary = target.with_extension("part");
    // Another source, cut off, may have left a folder there
    sys::fs::remove_all(&temporary)?;
    let mut from =
        File::open(source).with_context(|| format!("cannot open {}", source.display()))?;
    let mut to = File::create(&temporary)
        .with_context(|| format!("cannot create {}", temporary.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let length = from
            .read(&mut buffer)
            .with_context(|| format!("cannot read {}", source.display()))?;
        if length == 0 {
            break;
        }
        digest.update(&buffer[..length]);
        to.write_all(&buffer[..length])
            .with_context(|| format!("cannot write {}", temporary.display()))?;
        progress.add(length as u64);
    }
    if hex(&digest.finalize()) != item.sha256 {
        fail!(Verification, "{} is damaged on the medium", item.path);
    }
    to.sync_all()
        .with_context(|| format!("cannot sync {}", temporary.display()))?;
    fs::rename(&temporary, target).with_context(|| format!("cannot rename {}", temporary.display()))
}
