//! Single files of an image: what is fetched, what is resumed, and what is refused.

use std::path::PathBuf;

use super::client::Client;
use super::server::{Fault, Registry, Settings};
use super::*;
use crate::layer::TarWriter;
use oci_image::config::{History, ImageConfig};
use oci_image::manifest::{
    Descriptor, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, Platform,
};
use oci_image::task::WantedFile;

/// Larger than what is copied at once.
const LARGE: usize = 700_000;

fn content(seed: usize, size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| u8::try_from((n * 31 + seed * 7) % 251).unwrap())
        .collect()
}

/// Publishes an image with a layer for each file, every second one compressed as Docker does; the layers' digests.
fn publish_files(registry: &Registry, files: &[(&str, Vec<u8>)]) -> Vec<Digest> {
    let mut config = ImageConfig {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        ..ImageConfig::default()
    };
    let mut layers = Vec::new();
    for (number, (path, bytes)) in files.iter().enumerate() {
        let mut writer = TarWriter::new(Vec::new());
        writer.append_bytes(path, bytes).unwrap();
        let tar = writer.finish().unwrap();
        config.rootfs.diff_ids.push(Digest::sha256(&tar));
        config.history.push(History {
            created_by: "RUN nothing".to_owned(),
            empty_layer: true,
            ..History::default()
        });
        config.history.push(History {
            created_by: format!("file {path}"),
            ..History::default()
        });
        let blob = if number % 2 == 1 {
            client::gzip(&tar)
        } else {
            tar
        };
        layers.push(Descriptor::new(
            OCI_LAYER,
            Digest::sha256(&blob),
            blob.len() as u64,
        ));
        registry
            .content()
            .blobs
            .insert(Digest::sha256(&blob).to_string(), blob);
    }
    let bytes = config.to_bytes();
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: Descriptor::new(OCI_CONFIG, Digest::sha256(&bytes), bytes.len() as u64),
        layers: layers.clone(),
        annotations: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut content = registry.content();
    content
        .blobs
        .insert(Digest::sha256(&bytes).to_string(), bytes);
    for name in ["v1".to_owned(), Digest::sha256(&manifest).to_string()] {
        let manifest = (OCI_MANIFEST.to_owned(), manifest.clone());
        content.manifests.insert(name, manifest);
    }
    layers.into_iter().map(|layer| layer.digest).collect()
}

fn wanted(path: &str, bytes: &[u8]) -> WantedFile {
    let digest = Digest::sha256(bytes);
    WantedFile {
        path: path.to_owned(),
        history: format!("file {path}"),
        name: digest.hex().to_owned(),
        limit: bytes.len() as u64,
        digest: Some(digest),
        optional: false,
    }
}

struct Bench {
    registry: Registry,
    client: Client,
    folder: tempfile::TempDir,
    files: Vec<(&'static str, Vec<u8>)>,
    layers: Vec<Digest>,
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::start(Settings::default());
        let files = vec![
            ("dist/a", content(1, LARGE)),
            ("dist/b", content(2, LARGE)),
            ("dist/c", content(3, 10)),
        ];
        let layers = publish_files(&registry, &files);
        Self {
            registry,
            client: Client::new(),
            folder: tempfile::tempdir().unwrap(),
            files,
            layers,
        }
    }

    fn wanted(&self, number: usize) -> WantedFile {
        let (path, bytes) = &self.files[number];
        wanted(path, bytes)
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.path().join(self.wanted(number).name)
    }

    fn fetch(&self, files: &[WantedFile]) -> oci_image::Result<Digest> {
        let reference = format!("{}/os:v1", self.registry.address);
        let reference = Reference::parse(&reference).unwrap();
        self.client
            .with(|transfer| fetch_files(&reference, files, self.folder.path(), transfer))
    }

    /// How often the blob of a layer was asked for.
    fn asked(&self, number: usize) -> Vec<String> {
        let path = format!("GET /v2/os/blobs/{}", self.layers[number]);
        let mut requests = self.registry.requests();
        requests.retain(|line| line.starts_with(&path));
        requests
    }

    /// Names in the folder.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[test]
fn only_what_is_missing_is_fetched() {
    let bench = Bench::new();
    fs::write(bench.path(0), "is here").unwrap();
    bench.fetch(&[bench.wanted(0), bench.wanted(1)]).unwrap();
    assert_eq!(fs::read(bench.path(1)).unwrap(), bench.files[1].1);
    assert_eq!(fs::read(bench.path(0)).unwrap(), b"is here");
    assert!(bench.asked(0).is_empty() && bench.asked(2).is_empty());
    assert_eq!(bench.names().len(), 2);
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let bench = Bench::new();
    let blob = &bench.registry.content().blobs[&bench.layers[0].to_string()].clone();
    // What a process left that was killed
    let left = format!("{}.{}.blob", bench.path(0).display(), bench.layers[0].hex());
    fs::write(&left, &blob[..300_000]).unwrap();
    let fault = (Fault::CutOff, 1);
    bench
        .registry
        .content()
        .faults
        .insert(bench.layers[0].to_string(), fault);
    bench.fetch(&[bench.wanted(0)]).unwrap();
    assert_eq!(fs::read(bench.path(0)).unwrap(), bench.files[0].1);
    let asked = bench.asked(0);
    assert!(asked[0].contains("range: bytes=300000-"), "{asked:?}");
    assert_eq!(bench.names().len(), 1);
    // What it left was damaged by a power cut: fetched again, once
    fs::remove_file(bench.path(0)).unwrap();
    fs::write(&left, vec![0; 300_000]).unwrap();
    bench.fetch(&[bench.wanted(0)]).unwrap();
    assert_eq!(fs::read(bench.path(0)).unwrap(), bench.files[0].1);
    assert_eq!(bench.names().len(), 1);
}

#[test]
fn a_folder_that_another_source_has_left_is_in_nobodys_way() {
    let bench = Bench::new();
    let left = bench.path(0).with_extension("part");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("half"), "a").unwrap();
    bench.fetch(&[bench.wanted(0)]).unwrap();
    assert_eq!(fs::read(bench.path(0)).unwrap(), bench.files[0].1);
    assert_eq!(bench.names().len(), 1);
}

#[test]
fn a_registry_that_lies_is_told_and_nothing_stays() {
    let bench = Bench::new();
    let fault = (Fault::WrongBytes, 9);
    bench
        .registry
        .content()
        .faults
        .insert(bench.layers[0].to_string(), fault);
    let error = bench.fetch(&[bench.wanted(0)]).unwrap_err();
    assert!(
        matches!(error, Error::DigestMismatch { .. } | Error::Invalid(_)),
        "{error}"
    );
    // A whole layer with another file than the one that was promised
    let mut other = bench.wanted(1);
    other.digest = Some(Digest::sha256(b"other"));
    assert!(matches!(
        bench.fetch(&[other]),
        Err(Error::DigestMismatch { .. })
    ));
    let mut renamed = bench.wanted(1);
    renamed.path = "dist/z".to_owned();
    assert!(matches!(bench.fetch(&[renamed]), Err(Error::Invalid(_))));
    // Longer than it may be: the layer by far, and the file by one byte
    let mut long = bench.wanted(1);
    long.limit -= 1;
    assert!(matches!(bench.fetch(&[long]), Err(Error::Limit { .. })));
    let big = content(4, 3 << 20);
    publish_files(&bench.registry, &[("dist/big", big.clone())]);
    let mut big = wanted("dist/big", &big);
    big.limit = 10;
    let before = bench.registry.requests().len();
    let error = bench.fetch(&[big]).unwrap_err();
    assert!(
        error.to_string().starts_with("the layer of dist/big"),
        "{error}"
    );
    let after = bench.registry.requests();
    assert!(!after[before..].iter().any(|line| line.contains("dist/big")));
    assert!(bench.names().is_empty(), "{:?}", bench.names());
}

#[test]
fn a_file_that_the_image_does_not_have_is_named() {
    let bench = Bench::new();
    let error = bench.fetch(&[wanted("dist/none", b"x")]).unwrap_err();
    assert_eq!(error.to_string(), "the image does not have dist/none");
    let mut optional = wanted("dist/none", b"x");
    optional.optional = true;
    bench.fetch(&[optional, bench.wanted(0)]).unwrap();
    assert_eq!(bench.names().len(), 1);
    let fault = (Fault::Missing, 9);
    bench
        .registry
        .content()
        .faults
        .insert(bench.layers[2].to_string(), fault);
    assert!(matches!(
        bench.fetch(&[bench.wanted(2)]),
        Err(Error::NotFound(_))
    ));
    assert!(bench.fetch(&[bench.wanted(1)]).is_ok());
}

fn blob(bytes: &'static [u8]) -> Blob<'static> {
    Blob {
        digest: Digest::sha256(bytes),
        size: bytes.len() as u64,
        open: Box::new(move || Ok(Box::new(bytes))),
    }
}

/// Pushes blobs, a manifest, and an index under the tag `v2`.
fn push(
    reference: &Reference,
    blobs: &[Blob<'_>],
    (manifest, index): (&[u8], &[u8]),
    transfer: &Transfer<'_>,
) -> Result<Digest> {
    let repository = Repository::open(reference, transfer)?;
    repository.send(blobs)?;
    repository.put(
        &Digest::sha256(manifest).to_string(),
        OCI_MANIFEST,
        manifest,
    )?;
    let index = repository.with_others("v2", index)?;
    repository.put("v2", OCI_INDEX, &index)
}

#[test]
fn blobs_of_a_build_are_pushed_once_and_fetched_again() {
    let registry = Registry::start(Settings::default());
    let client = Client::new();
    let file = content(5, LARGE);
    let mut writer = TarWriter::new(Vec::new());
    writer.append_bytes("dist/a", &file).unwrap();
    let tar = writer.finish().unwrap();
    let mut config = ImageConfig {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids.push(Digest::sha256(&tar));
    config.history.push(History {
        created_by: "file dist/a".to_owned(),
        ..History::default()
    });
    let config = config.to_bytes();
    let describe =
        |kind: &str, bytes: &[u8]| Descriptor::new(kind, Digest::sha256(bytes), bytes.len() as u64);
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: describe(OCI_CONFIG, &config),
        layers: vec![describe(OCI_LAYER, &tar)],
        annotations: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut entry = describe(OCI_MANIFEST, &manifest);
    entry.platform = Some(Platform::parse("linux/amd64").unwrap());
    let index =
        serde_json::json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]});
    let index = index.to_string().into_bytes();
    let for_arm = String::from_utf8_lossy(&index).replace("amd64", "arm64");
    let reference = Reference::parse(&format!("{}/os:v2", registry.address)).unwrap();
    let (tar, config): (&'static [u8], &'static [u8]) = (tar.leak(), config.leak());
    let push_index = |index: &[u8]| {
        let blobs = [blob(tar), blob(config)];
        client
            .with(|transfer| push(&reference, &blobs, (&manifest, index), transfer))
            .unwrap()
    };
    let again = || push_index(&index);
    assert_eq!(again(), Digest::sha256(&index));
    let uploads = || {
        registry
            .requests()
            .iter()
            .filter(|line| line.starts_with("POST"))
            .count()
    };
    assert_eq!(uploads(), 2);
    again();
    assert_eq!(uploads(), 2);
    let folder = tempfile::tempdir().unwrap();
    let wanted = [wanted("dist/a", &file)];
    let found = client.with(|transfer| fetch_files(&reference, &wanted, folder.path(), transfer));
    assert_eq!(found.unwrap(), Digest::sha256(&index));
    assert_eq!(fs::read(folder.path().join(&wanted[0].name)).unwrap(), file);
    // Another architecture joins it under the tag, and a second push of either changes nothing
    let both = push_index(for_arm.as_bytes());
    assert!(both != Digest::sha256(&index) && both != Digest::sha256(for_arm.as_bytes()));
    assert_eq!(again(), both);
    let described = client.with(|transfer| crate::registry::describe(&reference, transfer));
    let platforms = described.unwrap().platforms;
    let names: Vec<&str> = platforms
        .iter()
        .map(|known| known.architecture.as_str())
        .collect();
    assert_eq!(names, ["amd64", "arm64"]);
}
