//! Pulls an image: index, manifest for the platform, configuration, then the missing layers, several at a time.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::blob::BlobReader;
use super::documents::Documents;
use super::head::digest_of_tag;
use super::http::Http;
use super::{Endpoint, Transfer, endpoints, reader};
use crate::ahead::read_ahead;
use crate::layers::{LayerSet, StagedLayer};
use crate::reporting::Reporting;
use oci_image::config::ImageConfig;
use oci_image::digest::{Digest, DigestReader};
use oci_image::error::{Error, Result};
use oci_image::manifest::{Descriptor, Document, Manifest, Platform};
use oci_image::progress::{Progress, short};
use oci_image::reference::Reference;
use oci_image::store::CompressedForm;

/// Layers fetched at a time, as Docker does.
const PARALLEL: usize = 3;

/// An image that is now in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Image id: digest of the configuration.
    pub id: Digest,
    /// Digest of what the reference names: a manifest or an index.
    pub digest: Digest,
    /// Diff ids, lowest first.
    pub layers: Vec<Digest>,
}

/// Pulls `reference`, which has a tag or a digest, into the store of `layers`.
///
/// # Errors
/// When the registry cannot be reached, refuses, or sends what does not fit the digests; a layer that cannot be stored.
pub fn pull(reference: &Reference, layers: &LayerSet, transfer: &Transfer<'_>) -> Result<Pulled> {
    let mut last = None;
    for endpoint in endpoints(reference, transfer.options, true) {
        match pull_from(&endpoint, reference, layers, transfer) {
            Ok(pulled) => return Ok(pulled),
            Err(error) if endpoint.mirror => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::NotFound("no registry to ask".to_owned())))
}

fn pull_from(
    endpoint: &Endpoint,
    reference: &Reference,
    layers: &LayerSet,
    transfer: &Transfer<'_>,
) -> Result<Pulled> {
    let http = reader(endpoint, reference, transfer)?;
    let puller = Puller {
        http: &http,
        documents: Documents::new(&http, reference, transfer.platform),
        reference,
        layers,
        transfer,
    };
    puller.run()
}

struct Puller<'a> {
    http: &'a Http<'a>,
    documents: Documents<'a>,
    reference: &'a Reference,
    layers: &'a LayerSet,
    transfer: &'a Transfer<'a>,
}

impl Puller<'_> {
    fn run(&self) -> Result<Pulled> {
        let name = self.documents.name()?;
        let named = self.digest(&name)?;
        if let Some(digest) = &named
            && let Some(id) = self.transfer.known.get(digest)
            && let Some((config, layers)) = self.present(id)
            && self.is_wanted(&config)
        {
            self.begin(&name);
            return Ok(self.end(id.clone(), digest.clone(), layers));
        }
        let target = named.as_ref().map_or(name.clone(), Digest::to_string);
        let (digest, document) = self
            .documents
            .manifest(&target, named.as_ref())
            .map_err(|error| self.documents.explain(error))?;
        self.begin(&name);
        let manifest = match document {
            Document::Image(manifest) => *manifest,
            Document::Index(index) => self.documents.platform_manifest(&index)?,
        };
        let (id, layers) = match self.present(&manifest.config.digest) {
            Some((_, layers)) => (manifest.config.digest, layers),
            None => self.fetch(&manifest)?,
        };
        Ok(self.end(id, digest, layers))
    }

    /// Digest of what the reference names, if it is known without fetching it.
    fn digest(&self, name: &str) -> Result<Option<Digest>> {
        match self.reference.digest() {
            Some(digest) => Ok(Some(digest.clone())),
            None => digest_of_tag(self.http, self.reference, name)
                .map_err(|error| self.documents.explain(error)),
        }
    }

    fn begin(&self, name: &str) {
        let whole = self.reference.to_string();
        let shown = self.reference.digest().map_or(name, |_| &whole);
        let from = format!("Pulling from {}", self.reference.path());
        (self.transfer.report)(Progress::step(shown, from));
    }

    fn end(&self, id: Digest, digest: Digest, layers: Vec<Digest>) -> Pulled {
        (self.transfer.report)(Progress::step("", format!("Digest: {digest}")));
        Pulled { id, digest, layers }
    }

    /// Whether an image is for the platform that is asked for. Another of the same index may have been pulled before.
    fn is_wanted(&self, config: &ImageConfig) -> bool {
        let host = Platform::host();
        let wanted = self.transfer.platform.unwrap_or(&host);
        wanted.accepts(&config.platform())
    }

    /// Configuration and layers of an image that is whole in the store; Docker says nothing of the layers then.
    fn present(&self, id: &Digest) -> Option<(ImageConfig, Vec<Digest>)> {
        let bytes = self.layers.store.read_blob(id).ok()?;
        let config = ImageConfig::parse(&bytes).ok()?;
        let layers = config.rootfs.diff_ids.clone();
        layers
            .iter()
            .all(|diff_id| self.layers.has(diff_id))
            .then_some((config, layers))
    }

    /// Fetches configuration and missing layers; what is stored last makes the image whole.
    fn fetch(&self, manifest: &Manifest) -> Result<(Digest, Vec<Digest>)> {
        let bytes = self.documents.config(&manifest.config)?;
        let diff_ids = ImageConfig::parse(&bytes)?.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            return Err(Error::invalid(format!(
                "manifest has {} layers, its configuration {}",
                manifest.layers.len(),
                diff_ids.len()
            )));
        }
        self.fetch_layers(&manifest.layers, &diff_ids)?;
        let id = self.layers.store.put_blob(&bytes)?;
        Ok((id, diff_ids))
    }

    fn fetch_layers(&self, descriptors: &[Descriptor], diff_ids: &[Digest]) -> Result<()> {
        let mut missing = VecDeque::new();
        for (position, (descriptor, diff_id)) in descriptors.iter().zip(diff_ids).enumerate() {
            let is_known = self.layers.has(diff_id) || diff_ids[..position].contains(diff_id);
            let status = if is_known {
                "Already exists"
            } else {
                "Pulling fs layer"
            };
            (self.transfer.report)(Progress::step(&short(&descriptor.digest), status));
            if !is_known {
                missing.push_back(position);
            }
        }
        let staged = self.stage_all(missing, descriptors, diff_ids)?;
        for (position, layer) in staged {
            let descriptor = &descriptors[position];
            self.layers.commit(layer, &diff_ids[..position])?;
            let form = CompressedForm {
                digest: descriptor.digest.clone(),
                size: descriptor.size,
                media_type: descriptor.media_type.clone(),
                repository: self.reference.name(),
            };
            self.layers
                .store
                .note_compressed(&diff_ids[position], form)?;
            (self.transfer.report)(Progress::step(&short(&descriptor.digest), "Pull complete"));
        }
        Ok(())
    }

    /// Fetches and unpacks layers in a few threads; the result is in ascending order.
    fn stage_all(
        &self,
        missing: VecDeque<usize>,
        descriptors: &[Descriptor],
        diff_ids: &[Digest],
    ) -> Result<Vec<(usize, StagedLayer)>> {
        let threads = PARALLEL.min(missing.len());
        let queue = Mutex::new(missing);
        let done = Mutex::new(Vec::new());
        let failed = Mutex::new(None);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let next = queue
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .pop_front();
                        let Some(position) = next else {
                            return;
                        };
                        match self.stage(&descriptors[position], &diff_ids[position]) {
                            Ok(layer) => done
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .push((position, layer)),
                            Err(error) => {
                                stop.store(true, Ordering::Relaxed);
                                failed
                                    .lock()
                                    .unwrap_or_else(PoisonError::into_inner)
                                    .get_or_insert(error);
                            }
                        }
                    }
                });
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        let mut staged = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        staged.sort_by_key(|(position, _)| *position);
        Ok(staged)
    }

    fn stage(&self, descriptor: &Descriptor, diff_id: &Digest) -> Result<StagedLayer> {
        let id = short(&descriptor.digest);
        let report = self.transfer.report;
        let blob = BlobReader::open(
            self.http,
            self.reference.path(),
            &descriptor.digest,
            descriptor.size,
        )?;
        let reporting = Reporting::new(blob, report, &id, "Downloading", descriptor.size);
        let digested = DigestReader::new(reporting, descriptor.digest.algorithm());
        let (digested, staged) = std::thread::scope(|scope| {
            let (ahead, thread) = read_ahead(scope, digested);
            let staged = self.layers.stage_layer(ahead);
            let digested = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (digested, staged)
        });
        // a wrong digest explains a stream that did not unpack
        let finished = digested.finish();
        let (actual, _) = match (finished, staged.as_ref().err()) {
            (Ok(finished), _) => finished,
            (Err(error), _) => return Err(Error::Transport(format!("download {id}: {error}"))),
        };
        report(Progress::step(&id, "Verifying Checksum"));
        descriptor.digest.check(&actual).map_err(|error| {
            Error::invalid(format!("filesystem layer verification failed: {error}"))
        })?;
        let staged = staged?;
        diff_id.check(&staged.info().diff_id)?;
        report(Progress::step(&id, "Download complete"));
        Ok(staged)
    }
}
