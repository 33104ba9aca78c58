//! What machines rely on: equal files give equal layers, and the archive is what `docker load` takes.

use std::collections::BTreeSet;
use std::fs;

use oci_image::reference::Reference;

use super::*;
use crate::os_image::archive;

const EPOCH: u64 = 1_767_225_600;

fn image(folder: &Path, files: &[(&str, &str)]) -> Image {
    let layers = files.iter().map(|(path, text)| {
        let source = folder.join(path.replace('/', "_"));
        fs::write(&source, text).unwrap();
        Layer::file(path, &source, 0o644, EPOCH).unwrap()
    });
    Image::new("amd64", "1.0", EPOCH, layers.collect()).unwrap()
}

fn digests(image: &Image) -> BTreeSet<String> {
    image
        .layers()
        .iter()
        .map(|layer| layer.digest.to_string())
        .collect()
}

#[test]
fn two_builds_that_differ_in_one_service_share_all_other_layers() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = [
        ("usr/bin/ros", "program"),
        ("dist/rancheros/layers/a.squashfs", "console"),
        ("dist/rancheros/layers/b.squashfs", "ntp"),
        ("dist/boot/vmlinuz", "kernel"),
        ("dist/rancheros/manifest.json", "digests"),
    ];
    let mut changed = files;
    changed[2] = ("dist/rancheros/layers/c.squashfs", "another ntp");
    changed[4].1 = "other digests";
    let (before, after) = (image(one.path(), &files), image(other.path(), &changed));
    let (before, after) = (digests(&before), digests(&after));
    assert_eq!(before.intersection(&after).count(), 3);
    assert_eq!(after.difference(&before).count(), 2);
}

#[test]
fn the_same_files_give_the_same_bytes_in_any_folder() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = [("usr/bin/ros", "x"), ("dist/boot/initrd", "y")];
    let reference = Reference::parse("rancher/os:v1.0").unwrap();
    let archives = [one.path(), other.path()].map(|folder| {
        let target = folder.join("image.tar");
        archive::write(&image(folder, &files), &reference, &target, EPOCH).unwrap();
        fs::read(target).unwrap()
    });
    assert_eq!(archives[0], archives[1]);
}

#[test]
fn a_layer_is_a_tar_of_one_file() {
    let layer = Layer::bytes("dist/rancheros/manifest.json", vec![7; 513], EPOCH).unwrap();
    let mut bytes = Vec::new();
    layer.open().unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, layer.size());
    assert_eq!(&Digest::sha256(&bytes), layer.digest());
    let mut archive = tar::Archive::new(bytes.as_slice());
    let mut entries = archive.entries().unwrap();
    let mut entry = entries.next().unwrap().unwrap();
    assert_eq!(
        entry.path().unwrap().to_str(),
        Some("dist/rancheros/manifest.json")
    );
    let mut content = Vec::new();
    entry.read_to_end(&mut content).unwrap();
    assert_eq!(content, vec![7; 513]);
    assert!(entries.next().is_none());
    let layers =
        (0..=MOST_LAYERS).map(|n| Layer::bytes(&format!("dist/{n}"), vec![], EPOCH).unwrap());
    assert!(Image::new("amd64", "1.0", EPOCH, layers.collect()).is_err());
}

/// The engine's own reader of archives, which takes what `docker load` takes, and refuses what is not as its digest says.
#[test]
fn the_archive_is_loaded_with_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("usr/bin/ros", "x"),
        ("dist/boot/initrd", "y"),
        ("dist/boot/vmlinuz", "x"),
    ];
    let image = image(folder.path(), &files);
    let target = folder.path().join("image.tar");
    let reference = Reference::parse("rancher/os:v1.0").unwrap();
    archive::write(&image, &reference, &target, EPOCH).unwrap();
    let layers = oci_transfer::layers::LayerSet {
        store: oci_image::store::Store::open(&folder.path().join("store")).unwrap(),
        external: Default::default(),
    };
    let loaded =
        oci_transfer::archive::load(File::open(&target).unwrap(), &layers, &|_| ()).unwrap();
    assert_eq!(loaded[0].references, [reference]);
    assert_eq!(loaded[0].id, Digest::sha256(image.config_bytes()));
    for (layer, (path, text)) in loaded[0].layers.iter().zip(&files) {
        let content = fs::read_to_string(layers.store.layer_diff(layer).join(path)).unwrap();
        assert_eq!(content, *text);
    }
    let config = ImageConfig::parse(image.config_bytes()).unwrap();
    let paths = config
        .history
        .iter()
        .map(|step| install::image::path_of(&step.created_by).unwrap());
    assert!(paths.eq(files.iter().map(|(path, _)| *path)));
}
