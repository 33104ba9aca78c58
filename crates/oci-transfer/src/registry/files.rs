//! Fetches single files of an image in which every file is a separate layer: what a machine does not have yet, and no more.
//!
//! Layers are found by the image's history, which survives `docker load` and a push by another Docker. A blob lies on disk
//! until it is whole, so that a later process goes on where a break left it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::blob::BlobReader;
use super::documents::Documents;
use super::head::digest_of_tag;
use super::http::Http;
use super::{Endpoint, Transfer, endpoints, reader};
use crate::compression::decompress;
use crate::layer::{Kind, Limits, TarReader};
use oci_image::config::ImageConfig;
use oci_image::digest::{Digest, DigestReader, DigestWriter};
use oci_image::error::{Context, Error, Result};
use oci_image::manifest::{Descriptor, Document, Manifest};
use oci_image::progress::Progress;
use oci_image::reference::Reference;
use oci_image::store::sync_directory;
use oci_image::task::WantedFile;

/// Bytes copied at once.
const CHUNK: usize = 128 * 1024;
/// What a layer may have in addition to its file: headers, padding, what a compressor adds to bytes that it cannot make fewer.
const OVERHEAD: u64 = 1024 * 1024;

/// Fetches `wanted` into `folder`, each under its name there; files that are there are not fetched. Returns the digest of
/// what `reference` names.
///
/// # Errors
/// When no registry answers or has such an image, when the image does not have a file, and when a file is not what its digest,
/// or its length, promises.
pub fn fetch_files(
    reference: &Reference,
    wanted: &[WantedFile],
    folder: &Path,
    transfer: &Transfer<'_>,
) -> Result<Digest> {
    let mut last = None;
    for endpoint in endpoints(reference, transfer.options, true) {
        match fetch_from(&endpoint, reference, wanted, folder, transfer) {
            Err(error) if endpoint.mirror => last = Some(error),
            result => return result,
        }
    }
    Err(last.unwrap_or_else(|| Error::NotFound("no registry to ask".to_owned())))
}

fn fetch_from(
    endpoint: &Endpoint,
    reference: &Reference,
    wanted: &[WantedFile],
    folder: &Path,
    transfer: &Transfer<'_>,
) -> Result<Digest> {
    let http = reader(endpoint, reference, transfer)?;
    let documents = Documents::new(&http, reference, transfer.platform);
    let name = documents.name()?;
    let named = match reference.digest() {
        Some(digest) => Some(digest.clone()),
        None => digest_of_tag(&http, reference, &name).map_err(|error| documents.explain(error))?,
    };
    let target = named.as_ref().map_or(name, Digest::to_string);
    let (digest, document) = documents
        .manifest(&target, named.as_ref())
        .map_err(|error| documents.explain(error))?;
    let manifest = match document {
        Document::Image(manifest) => *manifest,
        Document::Index(index) => documents.platform_manifest(&index)?,
    };
    let config = ImageConfig::parse(&documents.config(&manifest.config)?)?;
    let fetcher = Fetcher {
        http: &http,
        reference,
        folder,
        transfer,
    };
    for file in wanted {
        match layer_of(&manifest, &config, file) {
            Some(layer) => fetcher.fetch(file, layer)?,
            None if file.optional => {}
            None => {
                let message = format!("the image does not have {}", file.path);
                return Err(Error::NotFound(message));
            }
        }
    }
    sync_directory(folder)?;
    Ok(digest)
}

/// The layer that has a file, by the history.
fn layer_of<'a>(
    manifest: &'a Manifest,
    config: &ImageConfig,
    file: &WantedFile,
) -> Option<&'a Descriptor> {
    let mut steps = config.history.iter().filter(|step| !step.empty_layer);
    let position = steps.position(|step| step.created_by == file.history)?;
    manifest.layers.get(position)
}

struct Fetcher<'a> {
    http: &'a Http<'a>,
    reference: &'a Reference,
    folder: &'a Path,
    transfer: &'a Transfer<'a>,
}

impl Fetcher<'_> {
    fn fetch(&self, file: &WantedFile, layer: &Descriptor) -> Result<()> {
        let target = self.folder.join(&file.name);
        if target.exists() {
            return Ok(());
        }
        if layer.size > file.limit + OVERHEAD {
            return Err(Error::Limit {
                what: format!("the layer of {} ({} bytes)", file.path, layer.size),
                limit: file.limit + OVERHEAD,
            });
        }
        // A source of another kind, cut off, may have left a folder there
        remove_all(&target.with_extension("part"))?;
        let blob = PathBuf::from(format!("{}.{}.blob", target.display(), layer.digest.hex()));
        let resumed = self.download(file, layer, &blob)?;
        let taken = take_out(file, layer, &blob, &target);
        // What an earlier process left can be damaged by a power cut: its bytes were not synced
        let taken = match taken {
            Err(_) if resumed => {
                remove(&blob)?;
                self.download(file, layer, &blob)?;
                take_out(file, layer, &blob, &target)
            }
            taken => taken,
        };
        remove(&blob)?;
        taken
    }

    /// Brings the blob to its whole length; returns whether a part of it was there before.
    fn download(&self, file: &WantedFile, layer: &Descriptor, blob: &Path) -> Result<bool> {
        let what = || format!("write {}", blob.display());
        let mut out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(blob)
            .context(what)?;
        let mut position = out.metadata().context(what)?.len();
        if position > layer.size {
            out.set_len(0).context(what)?;
            position = 0;
        }
        let resumed = position > 0;
        if position == layer.size {
            return Ok(resumed);
        }
        let path = self.reference.path();
        let mut reader = BlobReader::open_at(self.http, path, &layer.digest, layer.size, position)?;
        let mut buffer = vec![0; CHUNK];
        while position < layer.size {
            let length = reader
                .read(&mut buffer)
                .map_err(|error| Error::Transport(format!("download {}: {error}", file.path)))?;
            if length == 0 {
                break;
            }
            out.write_all(&buffer[..length]).context(what)?;
            position += length as u64;
            let progress = Progress::bytes(&file.name, "Downloading", position, layer.size);
            (self.transfer.report)(progress);
        }
        Ok(resumed)
    }
}

fn remove_all(path: &Path) -> Result<()> {
    if path.is_dir() {
        let what = || format!("remove {}", path.display());
        return fs::remove_dir_all(path).context(what);
    }
    remove(path)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

/// Takes the one file out of a layer that is whole, and gives it its name once it is what was wanted.
fn take_out(file: &WantedFile, layer: &Descriptor, blob: &Path, target: &Path) -> Result<()> {
    let what = || format!("read {}", blob.display());
    let input = File::open(blob).context(what)?;
    let mut digested = DigestReader::new(input, layer.digest.algorithm());
    let temporary = target.with_extension("part");
    let written = write_out(file, &mut digested, &temporary);
    // A wrong digest explains an archive that cannot be read
    let (actual, _) = digested.finish().context(what)?;
    let whole = layer.digest.check(&actual).and(written).and_then(|()| {
        fs::rename(&temporary, target).context(|| format!("rename {}", temporary.display()))
    });
    if whole.is_err() {
        remove(&temporary)?;
    }
    whole
}

fn write_out(file: &WantedFile, blob: impl Read, temporary: &Path) -> Result<()> {
    let mut archive = TarReader::new(decompress(blob)?, Limits::default());
    while let Some(entry) = archive.next_entry()? {
        if entry.kind == Kind::Directory {
            continue;
        }
        if entry.path != file.path.as_bytes() || entry.kind != Kind::File {
            let found = String::from_utf8_lossy(&entry.path).into_owned();
            return Err(Error::invalid(format!(
                "the layer of {} has {found:?}",
                file.path
            )));
        }
        let what = || format!("write {}", temporary.display());
        let out = File::create(temporary).context(what)?;
        let mut out = DigestWriter::new(out);
        let length = io::copy(&mut (&mut archive).take(file.limit + 1), &mut out).context(what)?;
        let (digest, _, out) = out.finish();
        if length > file.limit {
            return Err(Error::Limit {
                what: file.path.clone(),
                limit: file.limit,
            });
        }
        if let Some(expected) = &file.digest {
            expected.check(&digest)?;
        }
        return out.sync_all().context(what);
    }
    Err(Error::invalid(format!(
        "the layer of {} does not have it",
        file.path
    )))
}
