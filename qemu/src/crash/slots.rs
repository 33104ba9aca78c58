//! What the boot loader would find on an installed disk.

use std::fs::{self, File};
use std::io::{Cursor, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use install::{Item, Layout, MIB, Manifest, Partition, Records, Role, Slot};
use sha2::{Digest as _, Sha256};

use super::e2fsck;
use super::installed::Order;

/// Checks a disk; the records say one of `allowed`.
///
/// # Errors
/// What is not whole.
pub(super) fn check(image: &Path, layout: &Layout, allowed: &[Order]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    // e2fsck finds a journal behind an offset, and not the file system again
    let part = |role: Role| folder.path().join(role.name());
    for role in [Role::Os, Role::State] {
        extract(image, layout.get(role)?, &part(role))?;
        // Mends by itself only what a mount does too
        let (code, said) = e2fsck(&["-f", "-p"], &part(role))?;
        ensure!(code <= 1, "e2fsck of {role}: {said}");
    }
    let mut disk = File::open(image).context("cannot open the disk")?;
    let records = Records::read(&mut disk, layout.get(Role::BootState)?.start)?;
    let choice = records.choice().context("the records are lost")?;
    let order = (choice.good, choice.next);
    ensure!(
        allowed.contains(&order),
        "the records say {order:?}, not one of {allowed:?}"
    );
    let mut slots = vec![choice.good];
    let started = install::choose(&records, true).slot();
    if started != choice.good {
        slots.push(started);
    }
    for slot in slots {
        is_whole(image, layout, &part(Role::Os), slot).with_context(|| format!("slot {slot}"))?;
    }
    Ok(())
}

/// Makes a file of a partition, with holes.
fn extract(image: &Path, partition: Partition, to: &Path) -> anyhow::Result<()> {
    let (start, size) = (partition.start / MIB, partition.size / MIB);
    let (from, to) = (
        format!("if={}", image.display()),
        format!("of={}", to.display()),
    );
    let (skip, count) = (format!("skip={start}"), format!("count={size}"));
    duct::cmd!(
        "dd",
        from,
        to,
        "bs=1M",
        skip,
        count,
        "conv=sparse",
        "status=none"
    )
    .run()
    .map(drop)
    .context("dd")
}

/// Kernel and initrd in the slot, and the layers in the `store`, are those of the slot's manifest.
fn is_whole(image: &Path, layout: &Layout, store: &Path, slot: Slot) -> anyhow::Result<()> {
    let part = layout.get(Role::Kernel(slot))?;
    let mut bytes = vec![0; usize::try_from(part.size)?];
    File::open(image)?.read_exact_at(&mut bytes, part.start)?;
    let volume = fatfs::FileSystem::new(Cursor::new(bytes), fatfs::FsOptions::new())
        .context("no file system")?;
    let read = |name: &str| -> anyhow::Result<Vec<u8>> {
        let mut content = Vec::new();
        let file = volume.root_dir().open_file(name);
        file.with_context(|| format!("no {name}"))?
            .read_to_end(&mut content)?;
        Ok(content)
    };
    let text = read("MANIFEST")?;
    let manifest = Manifest::parse(&text)?;
    for (name, item) in [("VMLINUZ", &manifest.kernel), ("INITRD", &manifest.initrd)] {
        is_item(item, &read(name)?).with_context(|| name.to_owned())?;
    }
    let folder = tempfile::tempdir().context("cannot make a folder")?;
    let source = install::store::slot_folder(slot);
    let dump = format!("rdump /{source} {}", folder.path().display());
    duct::cmd!("debugfs", "-R", dump, store)
        .stdout_null()
        .stderr_null()
        .run()
        .context("debugfs")?;
    let root = folder.path().join(slot.to_string());
    let there =
        fs::read(root.join(install::store::MANIFEST)).context("the store has no manifest")?;
    ensure!(
        there == text,
        "the store has another manifest than the slot"
    );
    for item in &manifest.files {
        let content = fs::read(root.join(&item.path));
        let content = content.with_context(|| format!("the store has no {}", item.path))?;
        is_item(item, &content).with_context(|| item.path.clone())?;
    }
    Ok(())
}

fn is_item(item: &Item, content: &[u8]) -> anyhow::Result<()> {
    let digest = Sha256::digest(content);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != item.sha256 {
        bail!("{} bytes with another digest", content.len());
    }
    Ok(())
}
