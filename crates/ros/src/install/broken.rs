//! Broken versions: each is found before anything could boot it, is told with what is wrong, and leaves no version behind.

use std::fs::{self, File};
use std::path::Path;

use install::{Item, Manifest, Partition, Role, Slot, store};
use sha2::{Digest as _, Sha256};

use super::device::DiskFile;
use super::medium::{Medium, hex};
use super::progress::Progress;
use super::{copy, write};
use crate::os::failure::Failure;
use crate::os::policy::Policy;

/// A key that has signed nothing here.
const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
/// A signature by another key over something else.
const SIGNATURE: &str = include_str!("../os/trust/manifest.minisig");

const KERNEL: &str = "boot/vmlinuz";
const INITRD: &str = "boot/initrd";
const LAYER: &str = "rancheros/layers/console.squashfs";
const INDEX: &str = "rancheros/images.json";

/// What is done to a good version.
enum Break {
    /// A file gets other content.
    Content(&'static str, &'static [u8]),
    /// A file keeps its length, and one byte changes.
    Flip(&'static str),
    /// A file ends early.
    Cut(&'static str),
    /// A file is not there.
    Remove(&'static str),
    /// The manifest says something else.
    Says(fn(&mut Manifest)),
    /// The slot's partition has so many MiB.
    SlotMib(u64),
    /// Nothing: the version is good.
    Nothing,
}

use Break::{Content, Cut, Flip, Nothing, Remove, Says, SlotMib};

#[rustfmt::skip] // a table
const KINDS: &[(Break, Option<Failure>, &str)] = &[
    (Nothing, None, ""),
    (Content(KERNEL, b""), None, "boot/vmlinuz of the medium has 0 bytes"),
    (Content(KERNEL, b"not a kernel of that length"), None, "boot/vmlinuz of the medium has 27 bytes"),
    (Flip(KERNEL), Some(Failure::Verification), "other bytes than were written (VMLINUZ)"),
    (Cut(KERNEL), None, "boot/vmlinuz of the medium has"),
    (Remove(KERNEL), None, "the medium has no boot/vmlinuz"),
    (Cut(INITRD), None, "boot/initrd of the medium has"),
    (Flip(INITRD), Some(Failure::Verification), "other bytes than were written (INITRD)"),
    (Remove(INITRD), None, "the medium has no boot/initrd"),
    (Cut(LAYER), None, "console.squashfs of the medium has"),
    (Flip(LAYER), Some(Failure::Verification), "console.squashfs is damaged on the medium"),
    (Remove(LAYER), None, "the medium has no rancheros/layers/console.squashfs"),
    (Flip(INDEX), Some(Failure::Verification), "images.json is damaged on the medium"),
    (Remove(store::MANIFEST), None, "cannot read"),
    (Content(store::MANIFEST, b"{}"), None, "the manifest cannot be read"),
    (Content(store::MANIFEST, b""), None, "the manifest cannot be read"),
    (Cut(store::MANIFEST), None, "the manifest cannot be read"),
    (Content(store::SIGNATURE, SIGNATURE.as_bytes()), Some(Failure::Verification), "signed with none of the 1 keys"),
    (Content(store::SIGNATURE, b"nonsense"), Some(Failure::Verification), "its signature cannot be read"),
    (Says(|manifest| manifest.arch = "riscv64".to_owned()), Some(Failure::Refused), "the medium is for riscv64"),
    (Says(|manifest| manifest.schema = 9), None, "schema 9"),
    (Says(|manifest| manifest.files[0].path = "../../etc/shadow".to_owned()), None, "names the path"),
    (Says(|manifest| manifest.kernel.sha256 = "0".repeat(64)), Some(Failure::Verification), "(VMLINUZ)"),
    (Says(|manifest| manifest.initrd.size = 1 << 40), None, "boot/initrd of the medium has"),
    (Says(|manifest| manifest.version = "1\nargs=init=/bin/sh".to_owned()), None, "characters that the boot loader does not keep"),
    (SlotMib(5), None, "fit"),
];

fn item(root: &Path, path: &str) -> Item {
    let bytes = fs::read(root.join(path)).unwrap();
    Item {
        path: path.to_owned(),
        size: bytes.len() as u64,
        sha256: hex(&Sha256::digest(&bytes)),
    }
}

/// A good version in a folder.
fn version(root: &Path) {
    for (path, size) in [
        (KERNEL, 3 << 20),
        (INITRD, 2 << 20),
        (LAYER, 70_000),
        (INDEX, 20),
    ] {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n % 253).unwrap()).collect();
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
    let arch = std::env::consts::ARCH;
    let mut manifest = Manifest::new("1.0", arch, vec![], item(root, KERNEL), item(root, INITRD));
    manifest.files = vec![item(root, INDEX), item(root, LAYER)];
    say(root, &manifest);
}

fn say(root: &Path, manifest: &Manifest) {
    let text = serde_json::to_vec(manifest).unwrap();
    fs::write(root.join(store::MANIFEST), text).unwrap();
}

fn apply(kind: &Break, root: &Path) {
    match kind {
        Content(path, bytes) => fs::write(root.join(path), bytes).unwrap(),
        Remove(path) => fs::remove_file(root.join(path)).unwrap(),
        Flip(path) | Cut(path) => {
            let mut bytes = fs::read(root.join(path)).unwrap();
            let middle = bytes.len() / 2;
            if matches!(kind, Cut(_)) {
                bytes.truncate(middle);
            } else {
                bytes[middle] ^= 1;
            }
            fs::write(root.join(path), bytes).unwrap();
        }
        Says(change) => {
            let mut manifest =
                Manifest::parse(&fs::read(root.join(store::MANIFEST)).unwrap()).unwrap();
            change(&mut manifest);
            say(root, &manifest);
        }
        SlotMib(_) | Nothing => {}
    }
}

/// Puts the version where `ros os upgrade` does.
fn stage(root: &Path, disk: &Path, slot_mib: u64) -> anyhow::Result<()> {
    let medium = Medium::of_folder(root, &Policy::with_keys(&[KEY.to_owned()]))?;
    let folder = disk.join("os");
    fs::create_dir_all(folder.join(store::STORE))?;
    copy::version(&medium, &folder, Slot::B, &mut Progress::new(1))?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true);
    let file = options.open(disk.join("slot"))?;
    file.set_len(slot_mib << 20)?;
    let mut file = DiskFile(file);
    let partition = Partition {
        role: Role::Kernel(Slot::B),
        start: 0,
        size: slot_mib << 20,
    };
    write::fill(&mut file, partition, 512, (&medium, &folder), "quiet")?;
    write::verify(&mut file, partition, &medium)
}

#[test]
fn every_kind_is_told_and_nothing_of_it_is_armed() {
    for (number, (kind, failure, words)) in KINDS.iter().enumerate() {
        let (root, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        version(root.path());
        apply(kind, root.path());
        let mib = if let SlotMib(mib) = kind { *mib } else { 64 };
        let staged = stage(root.path(), disk.path(), mib);
        if matches!(kind, Nothing) {
            staged.unwrap();
            continue;
        }
        let error = staged.expect_err(&format!("kind {number} was taken"));
        let said = format!("{error:#}");
        assert!(
            said.contains(words),
            "kind {number}: {said:?} in place of {words:?}"
        );
        assert_eq!(
            error.downcast_ref(),
            failure.as_ref(),
            "kind {number}: {said}"
        );
        // A content has its name only when it is whole
        for entry in fs::read_dir(disk.path().join("os/files"))
            .into_iter()
            .flatten()
        {
            let path = entry.unwrap().path();
            if path.extension().is_none() {
                let digest = hex(&Sha256::digest(fs::read(&path).unwrap()));
                assert!(path.ends_with(&digest), "kind {number}: {}", path.display());
            }
        }
    }
}
