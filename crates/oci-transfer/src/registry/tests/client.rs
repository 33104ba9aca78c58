//! The side under test: a client with its own store, and an image to pull.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::Duration;

use super::server::Registry;
use super::*;
use crate::layer::TarWriter;
use crate::layers::LayerSet;
use oci_image::config::ImageConfig;
use oci_image::manifest::{
    DOCKER_LAYER_GZIP, Descriptor, Manifest, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST,
};
use oci_image::progress::Progress;
use oci_image::store::Store;

pub(super) struct Client {
    _root: tempfile::TempDir,
    pub(super) layers: LayerSet,
    pub(super) options: RegistryOptions,
    pub(super) credentials: Credentials,
    pub(super) known: BTreeMap<Digest, Digest>,
    progress: Mutex<Vec<Progress>>,
}

impl Client {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let layers = LayerSet {
            store: Store::open(root.path()).unwrap(),
            external: BTreeMap::new(),
        };
        let options = RegistryOptions {
            idle_timeout: Duration::from_secs(1),
            retry_pause: Duration::from_millis(1),
            retries: 3,
            ..RegistryOptions::default()
        };
        Self {
            _root: root,
            layers,
            options,
            credentials: Credentials::default(),
            known: BTreeMap::new(),
            progress: Mutex::default(),
        }
    }

    pub(super) fn with<T>(&self, run: impl FnOnce(&Transfer<'_>) -> T) -> T {
        let report = |progress: Progress| self.progress.lock().unwrap().push(progress);
        run(&Transfer {
            options: &self.options,
            credentials: &self.credentials,
            platform: Some(&Platform::parse("linux/amd64").unwrap()),
            known: &self.known,
            report: &report,
        })
    }

    pub(super) fn pull(&self, reference: &str) -> oci_image::Result<Pulled> {
        let reference = Reference::parse(reference).unwrap().or_latest();
        self.with(|transfer| pull(&reference, &self.layers, transfer))
    }

    pub(super) fn statuses(&self, wanted: &str) -> usize {
        self.progress
            .lock()
            .unwrap()
            .iter()
            .filter(|progress| progress.status == wanted)
            .count()
    }

    pub(super) fn work_is_empty(&self) -> bool {
        fs::read_dir(self.layers.store.root().join("tmp"))
            .unwrap()
            .count()
            == 0
    }
}

fn tar(name: &str, size: usize) -> Vec<u8> {
    let content: Vec<u8> = (0..size)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect();
    let mut writer = TarWriter::new(Vec::new());
    writer.append_bytes(name, &content).unwrap();
    writer.finish().unwrap()
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An image of two layers behind an index, tagged `latest` and known to the registry.
pub(super) struct Sample {
    pub(super) id: Digest,
    pub(super) index: Digest,
    pub(super) large: Digest,
    pub(super) diff_ids: Vec<Digest>,
}

pub(super) fn publish(registry: &Registry) -> Sample {
    let tars = [tar("small", 10), tar("large", 600_000)];
    let blobs: Vec<Vec<u8>> = tars.iter().map(|tar| gzip(tar)).collect();
    let mut config = ImageConfig {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        ..ImageConfig::default()
    };
    config.rootfs.diff_ids = tars.iter().map(|tar| Digest::sha256(tar)).collect();
    let config_bytes = config.to_bytes();
    let describe = |media_type: &str, bytes: &[u8]| {
        Descriptor::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.to_owned(),
        config: describe(OCI_CONFIG, &config_bytes),
        layers: blobs
            .iter()
            .map(|blob| describe(DOCKER_LAYER_GZIP, blob))
            .collect(),
        annotations: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[
        {{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":1,"platform":{{"os":"linux","architecture":"arm64"}}}},
        {{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"amd64"}}}}]}}"#,
        Digest::sha256(b"arm"),
        Digest::sha256(&manifest),
        manifest.len()
    );
    let sample = Sample {
        id: Digest::sha256(&config_bytes),
        index: Digest::sha256(index.as_bytes()),
        large: Digest::sha256(&blobs[1]),
        diff_ids: config.rootfs.diff_ids,
    };
    let mut content = registry.content();
    content.manifests.insert(
        "latest".to_owned(),
        (OCI_INDEX.to_owned(), index.clone().into_bytes()),
    );
    content.manifests.insert(
        sample.index.to_string(),
        (OCI_INDEX.to_owned(), index.into_bytes()),
    );
    content.manifests.insert(
        Digest::sha256(&manifest).to_string(),
        (OCI_MANIFEST.to_owned(), manifest),
    );
    for bytes in blobs.into_iter().chain([config_bytes]) {
        content
            .blobs
            .insert(Digest::sha256(&bytes).to_string(), bytes);
    }
    drop(content);
    sample
}

pub(super) fn size_of_large(layers: &LayerSet, sample: &Sample) -> u64 {
    fs::metadata(layers.store.layer_diff(&sample.diff_ids[1]).join("large"))
        .unwrap()
        .len()
}
