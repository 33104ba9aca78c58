//! Contents of the store that do not have the bytes of their names any more: found when a version that needs them is staged, taken
//! again, and put into every slot that has them.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::Context as _;
use install::{Item, Manifest, Slot, store};

use crate::install::medium::{hex, sha256_file};

/// Whether a file cannot be read, or has other bytes than it should. The disk is asked, not what the kernel keeps of it.
pub(super) fn is_damaged(path: &Path, item: &Item) -> bool {
    // Without it a page in RAM may hide what the disk gives after the next boot
    let asked = File::open(path).map(|file| sys::fs::forget_cached(&file));
    asked.is_err() || sha256_file(path).map_or(true, |digest| hex(&digest) != item.sha256)
}

/// Takes their names from damaged contents that a version needs, so that they count as missing; returns what they are. Slots keep
/// them, until there is a whole one ([`relink`]).
///
/// They keep a name until the next boot: the system that runs may have them mounted, and a file system with a file that is open and
/// has no name cannot be made read-only.
pub(super) fn set_aside(root: &Path, next: &Manifest) -> anyhow::Result<Vec<String>> {
    let mut damaged = Vec::new();
    for item in next.payload() {
        let path = root.join(store::stored(item));
        if path.exists() && is_damaged(&path, item) {
            let aside = path.with_extension(format!("{ASIDE}{}", boot()));
            fs::rename(&path, &aside)
                .with_context(|| format!("cannot rename {}", path.display()))?;
            damaged.push(item.path.clone());
        }
    }
    Ok(damaged)
}

/// Whether this is the name of a content that was set aside: in this boot, or, when it can go, in an earlier one.
pub(super) fn is_aside(name: &str) -> Option<Aside> {
    let (_, boot_then) = name.split_once('.')?.1.split_once(ASIDE)?;
    Some(if boot_then == boot() {
        Aside::Now
    } else {
        Aside::Earlier
    })
}

/// When a content was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// It may be in use.
    Now,
    /// Nobody has it any more.
    Earlier,
}

/// How such names end, before the boot.
const ASIDE: &str = "damaged-";
/// Characters of the boot's id that tell it from others.
const BOOT_LENGTH: usize = 8;

/// A name of this boot.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.chars().take(BOOT_LENGTH).collect()
}

/// Has all slots use the contents that the store has of a version: what was taken again is whole in all of them, and what a slot has
/// lost is back.
pub(super) fn relink(root: &Path, next: &Manifest) -> anyhow::Result<()> {
    for slot in Slot::ALL {
        let text = fs::read(root.join(store::manifest(slot))).unwrap_or_default();
        let Ok(there) = Manifest::parse(&text) else {
            continue;
        };
        let is_known = |item: &&Item| next.files.iter().any(|other| other.sha256 == item.sha256);
        for item in there.files.iter().filter(is_known) {
            let link = root.join(store::linked(slot, item));
            replace(&root.join(store::stored(item)), &link)
                .with_context(|| format!("cannot link {}", link.display()))?;
        }
    }
    Ok(())
}

/// Makes `link` another name of `content`: at every instant it is the old file or the new one.
fn replace(content: &Path, link: &Path) -> anyhow::Result<()> {
    let inode = fs::metadata(content)
        .context("cannot stat the content")?
        .ino();
    if fs::metadata(link).is_ok_and(|metadata| metadata.ino() == inode) {
        return Ok(());
    }
    let folder = link.parent().context("a path without a folder")?;
    let named = |verb: &str| format!("cannot {verb} {}", link.display());
    fs::create_dir_all(folder).with_context(|| named("create the folder of"))?;
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary = folder.join(name);
    sys::fs::remove_all(&temporary)?;
    fs::hard_link(content, &temporary).with_context(|| named("make"))?;
    fs::rename(&temporary, link).with_context(|| named("replace"))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn item(path: &str, content: &[u8]) -> Item {
        Item {
            path: path.to_owned(),
            size: content.len() as u64,
            sha256: hex(&Sha256::digest(content)),
        }
    }

    /// A store whose slots 4 and 5 have the same version of two layers.
    fn store_of_two() -> (tempfile::TempDir, Manifest) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let files: [(&str, &[u8]); 2] = [("rancheros/a", b"first"), ("rancheros/b", b"second")];
        let items: Vec<Item> = files.map(|(path, content)| item(path, content)).to_vec();
        let kernel = || item("boot/vmlinuz", b"kernel");
        let mut manifest = Manifest::new("1", "x86_64", vec![], kernel(), kernel());
        manifest.files = items;
        fs::create_dir_all(root.join(store::STORE)).unwrap();
        for (item, (_, content)) in manifest.files.iter().zip(files) {
            fs::write(root.join(store::stored(item)), content).unwrap();
            for slot in [Slot::A, Slot::B] {
                let link = root.join(store::linked(slot, item));
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                fs::hard_link(root.join(store::stored(item)), link).unwrap();
            }
        }
        for slot in [Slot::A, Slot::B] {
            let text = serde_json::to_vec(&manifest).unwrap();
            fs::write(root.join(store::manifest(slot)), text).unwrap();
        }
        (folder, manifest)
    }

    #[test]
    fn a_damaged_layer_is_missing_and_then_whole_in_every_slot() {
        let (folder, manifest) = store_of_two();
        let root = folder.path();
        let (whole, rotten) = (&manifest.files[0], &manifest.files[1]);
        assert!(set_aside(root, &manifest).unwrap().is_empty());
        // As a disk rots: the same file, under all of its names
        fs::write(root.join(store::stored(rotten)), b"sec0nd").unwrap();
        assert!(is_damaged(
            &root.join(store::linked(Slot::B, rotten)),
            rotten
        ));
        assert_eq!(set_aside(root, &manifest).unwrap(), ["rancheros/b"]);
        assert!(!root.join(store::stored(rotten)).exists());
        assert!(root.join(store::stored(whole)).exists());
        let names = fs::read_dir(root.join(store::STORE)).unwrap();
        let aside = names
            .filter_map(|entry| is_aside(&entry.unwrap().file_name().to_string_lossy()))
            .collect::<Vec<_>>();
        assert_eq!(aside, [Aside::Now], "the file has no name any more");
        assert_eq!(is_aside("abc.damaged-01234567"), Some(Aside::Earlier));
        assert_eq!(is_aside("abc.0123.blob"), None);
        // Taken again
        fs::write(root.join(store::stored(rotten)), b"second").unwrap();
        fs::remove_file(root.join(store::linked(Slot::B, whole))).unwrap();
        relink(root, &manifest).unwrap();
        for slot in [Slot::A, Slot::B] {
            for item in [whole, rotten] {
                let path = root.join(store::linked(slot, item));
                assert!(!is_damaged(&path, item), "{}", path.display());
            }
            let entries = fs::read_dir(root.join(format!("slots/{slot}/rancheros"))).unwrap();
            assert_eq!(entries.count(), 3, "two layers and the manifest");
        }
    }
}
