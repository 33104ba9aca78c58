//! Archives written here and elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::layer::{Entry, Kind, Limits, PackOptions, TarReader, TarWriter, pack};
use crate::layers::LayerSet;
use oci_image::config::ImageConfig;
use oci_image::digest::Digest;
use oci_image::reference::Reference;
use oci_image::store::Store;

fn layers(root: &Path) -> LayerSet {
    LayerSet {
        store: Store::open(root).unwrap(),
        external: BTreeMap::new(),
    }
}

fn layer(name: &str, content: &str) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    writer.append_bytes(name, content.as_bytes()).unwrap();
    writer.finish().unwrap()
}

fn config_of(layers: &[&[u8]]) -> Vec<u8> {
    let mut config = ImageConfig {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids = layers.iter().map(|layer| Digest::sha256(layer)).collect();
    config.to_bytes()
}

/// What Docker before version 25 wrote: layers in separate directories, the second a symlink to the first.
fn old_archive(config: &[u8], layer: &[u8], tags: &str) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    writer.append_bytes("config.json", config).unwrap();
    writer.append_bytes("1/layer.tar", layer).unwrap();
    let mut link = Entry::new("2/layer.tar", Kind::Symlink, 0o777);
    link.link = b"../1/layer.tar".to_vec();
    writer.append_empty(&link).unwrap();
    let manifest =
        format!(r#"[{{"Config":"config.json","RepoTags":{tags},"Layers":["2/layer.tar"]}}]"#);
    writer
        .append_bytes("manifest.json", manifest.as_bytes())
        .unwrap();
    writer.finish().unwrap()
}

/// Modification times of an archive's entries by path.
fn times(archive: &[u8]) -> BTreeMap<String, i64> {
    let mut reader = TarReader::new(archive, Limits::default());
    let mut times = BTreeMap::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let path = String::from_utf8(entry.path.clone()).unwrap();
        times.insert(path, entry.mtime.0);
    }
    times
}

#[test]
fn saved_images_load_again() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (from, to) = (layers(first.path()), layers(second.path()));
    let (one, two) = (layer("a", "one"), layer("b", "two"));
    let config = config_of(&[&one, &two]);
    for tar in [&one, &two] {
        let staged = from.stage_layer(tar.as_slice()).unwrap();
        from.commit(staged, &[]).unwrap();
    }
    let reference = Reference::parse("example.org:5000/a/b:1").unwrap();
    let image = SaveImage {
        config: config.clone(),
        references: vec![reference.clone()],
        created: 1_700_000_000,
    };
    let mut archive = Vec::new();
    save(&mut archive, std::slice::from_ref(&image), &from).unwrap();
    let mut again = Vec::new();
    save(&mut again, &[image], &from).unwrap();
    assert_eq!(archive, again, "the same images give the same bytes");
    let times = times(&archive);
    for blob in [&config, &one, &two].map(|bytes| Digest::sha256(bytes)) {
        let name = format!("blobs/sha256/{}", blob.hex());
        assert_eq!(times[name.as_str()], 1_700_000_000, "{name}");
    }
    assert_eq!(times["manifest.json"], 0);
    let loaded = load(archive.as_slice(), &to, &|_| {}).unwrap();
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].id, Digest::sha256(&config));
    assert_eq!(loaded[0].references, [reference]);
    assert_eq!(
        fs::read_to_string(to.store.layer_diff(&Digest::sha256(&two)).join("b")).unwrap(),
        "two"
    );
    assert_eq!(
        fs::read_dir(second.path().join("tmp")).unwrap().count(),
        0,
        "work is left behind"
    );
}

#[test]
fn the_oci_half_alone_loads_too() {
    let (first, second, work) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let (from, to) = (layers(first.path()), layers(second.path()));
    let one = layer("a", "one");
    from.commit(from.stage_layer(one.as_slice()).unwrap(), &[])
        .unwrap();
    let reference = Reference::parse("busybox:1").unwrap();
    let mut archive = Vec::new();
    save(
        &mut archive,
        &[SaveImage {
            config: config_of(&[&one]),
            references: vec![reference.clone()],
            created: 0,
        }],
        &from,
    )
    .unwrap();
    crate::layer::unpack(
        archive.as_slice(),
        work.path(),
        crate::layer::UnpackOptions::plain(),
    )
    .unwrap();
    fs::remove_file(work.path().join("manifest.json")).unwrap();
    let mut writer = TarWriter::new(Vec::new());
    pack(work.path(), &mut writer, &PackOptions::layer()).unwrap();
    let loaded = load(writer.finish().unwrap().as_slice(), &to, &|_| {}).unwrap();
    assert_eq!(loaded[0].references, [reference]);
}

#[test]
fn archives_of_old_dockers_load() {
    let root = tempfile::tempdir().unwrap();
    let set = layers(root.path());
    let one = layer("a", "one");
    let config = config_of(&[&one]);
    let loaded = load(
        old_archive(&config, &one, r#"["busybox:1"]"#).as_slice(),
        &set,
        &|_| {},
    )
    .unwrap();
    assert_eq!(loaded[0].references[0].familiar(), "busybox:1");
    let untagged = load(old_archive(&config, &one, "null").as_slice(), &set, &|_| {}).unwrap();
    assert_eq!(untagged[0].references, []);
}

#[test]
fn a_layer_that_is_not_the_promised_one_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let set = layers(root.path());
    let config = config_of(&[&layer("a", "promised")]);
    let error = load(
        old_archive(&config, &layer("a", "other"), "null").as_slice(),
        &set,
        &|_| {},
    )
    .unwrap_err();
    assert!(
        matches!(error, oci_image::Error::DigestMismatch { .. }),
        "{error}"
    );
    assert_eq!(set.store.layers().unwrap(), []);
    assert_eq!(
        fs::read_dir(root.path().join("tmp")).unwrap().count(),
        0,
        "work is left behind"
    );
}

#[test]
fn links_of_an_archive_lead_nowhere_else() {
    let root = tempfile::tempdir().unwrap();
    let set = layers(root.path());
    for target in ["/etc/passwd", "../../../../../../etc/passwd"] {
        let mut writer = TarWriter::new(Vec::new());
        let mut link = Entry::new("config.json", Kind::Symlink, 0o777);
        link.link = target.as_bytes().to_vec();
        writer.append_empty(&link).unwrap();
        writer
            .append_bytes(
                "manifest.json",
                br#"[{"Config":"config.json","Layers":[]}]"#,
            )
            .unwrap();
        assert!(load(writer.finish().unwrap().as_slice(), &set, &|_| {}).is_err());
    }
    for archive in [&b""[..], b"not a tar", &[0; 4096]] {
        assert!(load(archive, &set, &|_| {}).is_err());
    }
}

#[test]
fn layers_of_media_are_packed_and_named_anew_if_they_must() {
    let (root, medium, second) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    fs::write(medium.path().join("f"), "x").unwrap();
    let foreign = Digest::sha256(b"the tar of another packer");
    let mut set = layers(root.path());
    set.external
        .insert(foreign.clone(), medium.path().to_owned());
    let mut config = ImageConfig::default();
    config.rootfs.diff_ids.push(foreign);
    let mut archive = Vec::new();
    save(
        &mut archive,
        &[SaveImage {
            config: config.to_bytes(),
            references: Vec::new(),
            created: 0,
        }],
        &set,
    )
    .unwrap();
    let to = layers(second.path());
    let loaded = load(archive.as_slice(), &to, &|_| {}).unwrap();
    assert_eq!(
        fs::read_to_string(to.store.layer_diff(&loaded[0].layers[0]).join("f")).unwrap(),
        "x"
    );
}
