//! Images of boot media: layers are squashfs files, mounted read-only at their first use and shared by all containers.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use engine_api::{Error, Result};
use oci_image::media::{FILE_NAME, INDEX_MAX, MediaImage, MediaIndex};
use oci_image::{Digest, Reference};
use sys::mount::{MountFlags, UnmountFlags};

use super::{Images, Saved, read_ahead};

/// First bytes of a squashfs, little endian (fs/squashfs/squashfs_fs.h).
const SQUASHFS_MAGIC: [u8; 4] = *b"hsqs";

/// Layers of media: where their files are and whether they are mounted.
pub(super) struct MediaLayers {
    mounts: PathBuf,
    layers: BTreeMap<Digest, Layer>,
}

struct Layer {
    file: PathBuf,
    size: u64,
    read_ahead: Vec<String>,
    mounted: bool,
}

impl MediaLayers {
    pub(super) fn new(mounts: PathBuf) -> Self {
        Self {
            mounts,
            layers: BTreeMap::new(),
        }
    }

    pub(super) fn has(&self, diff_id: &Digest) -> bool {
        self.layers.contains_key(diff_id)
    }

    pub(super) fn size(&self, diff_id: &Digest) -> Option<u64> {
        self.layers.get(diff_id).map(|layer| layer.size)
    }

    /// Where each layer is or will be mounted.
    pub(super) fn directories(&self) -> BTreeMap<Digest, PathBuf> {
        let directory = |diff_id: &Digest| self.mounts.join(diff_id.hex());
        self.layers
            .keys()
            .map(|diff_id| (diff_id.clone(), directory(diff_id)))
            .collect()
    }

    /// The layer's directory; mounts it if it is not.
    pub(super) fn mount(&mut self, diff_id: &Digest) -> Result<PathBuf> {
        let target = self.mounts.join(diff_id.hex());
        let Some(layer) = self.layers.get_mut(diff_id) else {
            return Err(Error::server(format!("layer {diff_id} is missing")));
        };
        if !layer.mounted {
            // an engine before this one may have mounted it
            if !sys::mount::is_mount_point(&target).unwrap_or(false) {
                mount_layer(&layer.file, layer.size, &target)?;
                read_ahead::begin(&target, &layer.read_ahead);
            }
            layer.mounted = true;
        }
        Ok(target)
    }

    /// Unmounts all; those still in use are reported.
    pub(super) fn unmount_all(&mut self) -> Vec<Error> {
        let mut errors = Vec::new();
        for (diff_id, layer) in self.layers.iter_mut().filter(|(_, layer)| layer.mounted) {
            match sys::mount::unmount(self.mounts.join(diff_id.hex()), UnmountFlags::empty()) {
                Ok(()) => layer.mounted = false,
                Err(error) => errors.push(Error::server(error.to_string())),
            }
        }
        errors
    }
}

fn mount_layer(file: &Path, size: u64, target: &Path) -> Result<()> {
    check_file(file, size)?;
    fs::create_dir_all(target).map_err(Error::at("mkdir", target))?;
    let failed = |error: sys::Error| {
        Error::server(format!(
            "layer {} cannot be mounted: {error}",
            file.display()
        ))
    };
    let device = sys::blockdev::loop_attach(file, true).map_err(failed)?;
    sys::mount::squashfs(&device, target, MountFlags::empty()).map_err(failed)
}

/// Finds a missing, cut off or foreign file before the kernel is asked.
fn check_file(path: &Path, size: u64) -> Result<()> {
    let damaged =
        |why: String| Error::server(format!("layer {} is damaged: {why}", path.display()));
    let mut file = fs::File::open(path).map_err(|error| damaged(error.to_string()))?;
    let actual = file
        .metadata()
        .map_err(|error| damaged(error.to_string()))?
        .len();
    if actual != size {
        return Err(damaged(format!("{actual} bytes instead of {size}")));
    }
    let mut magic = [0; 4];
    file.read_exact(&mut magic)
        .map_err(|error| damaged(error.to_string()))?;
    if magic != SQUASHFS_MAGIC {
        return Err(damaged("it is not a squashfs".to_owned()));
    }
    Ok(())
}

fn read_index(directory: &Path) -> Result<MediaIndex> {
    let path = directory.join(FILE_NAME);
    let failed = |error: String| Error::server(format!("{}: {error}", path.display()));
    let file = fs::File::open(&path).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(INDEX_MAX)
        .read_to_end(&mut bytes)
        .map_err(|error| failed(error.to_string()))?;
    MediaIndex::parse(&bytes).map_err(|error| failed(error.to_string()))
}

/// Registers the images of a medium; see [`Images::add_media`].
pub(super) fn add(images: &Images, directory: &Path) -> Vec<Error> {
    let index = match read_index(directory) {
        Ok(index) => index,
        Err(error) => return vec![error],
    };
    let added = index
        .images
        .iter()
        .map(|image| add_image(images, directory, image));
    added.filter_map(Result::err).collect()
}

fn add_image(images: &Images, directory: &Path, image: &MediaImage) -> Result<()> {
    let name = image
        .references
        .first()
        .cloned()
        .unwrap_or_else(|| image.config_digest.to_string());
    let failed = |error: String| Error::server(format!("image {name} of the medium: {error}"));
    image.check().map_err(|error| failed(error.to_string()))?;
    for layer in &image.layers {
        check_file(&directory.join(&layer.file), layer.size)
            .map_err(|error| failed(error.message))?;
    }
    {
        let mut state = images.0.state.borrow_mut();
        for layer in &image.layers {
            state
                .media
                .layers
                .entry(layer.diff_id.clone())
                .or_insert_with(|| Layer {
                    file: directory.join(&layer.file),
                    size: layer.size,
                    read_ahead: layer.read_ahead.clone(),
                    mounted: false,
                });
        }
    }
    let known = images.known(image.config.as_bytes(), Saved::default(), true);
    let mut state = images.0.state.borrow_mut();
    state.images.insert(image.config_digest.clone(), known);
    for text in &image.references {
        let reference = Reference::parse(text)
            .map_err(|error| failed(error.to_string()))?
            .or_latest();
        let pinned = reference.with_digest(image.manifest_digest.clone());
        state.table.set_media(reference, &image.config_digest);
        state.table.set_media(pinned, &image.config_digest);
    }
    Ok(())
}

/// Mounts an image of a medium read-only on `target`, without an engine: for tools that are needed before it runs.
///
/// # Errors
/// When the medium has no such image, or a layer is damaged.
pub fn mount_from_media(directory: &Path, reference: &str, target: &Path) -> Result<()> {
    let image = find(read_index(directory)?, reference)?;
    image
        .check()
        .map_err(|error| Error::server(format!("image {reference} of the medium: {error}")))?;
    let work = target.with_extension("layers");
    let mut mounted = Vec::new();
    let result = mount_stack(directory, &image, &work, target, &mut mounted);
    // the overlay keeps its layers; their own mount points have served
    for path in &mounted {
        let detached = sys::mount::unmount(path, UnmountFlags::DETACH);
        if detached.is_ok() {
            // an empty directory that stays does no harm
            let _ = fs::remove_dir(path);
        }
    }
    let _ = fs::remove_dir(&work);
    result
}

/// The files of an image below the directory of a medium: who copies them with the index can mount it from there.
///
/// # Errors
/// When the medium has no such image, or its index cannot be read.
pub fn files_on_media(directory: &Path, reference: &str) -> Result<Vec<PathBuf>> {
    let image = find(read_index(directory)?, reference)?;
    let mut files = vec![PathBuf::from(FILE_NAME)];
    files.extend(image.layers.into_iter().map(|layer| layer.file.into()));
    Ok(files)
}

fn find(index: MediaIndex, reference: &str) -> Result<MediaImage> {
    let wanted = super::parse_reference(reference)?;
    let fits = |text: &String| {
        Reference::parse(text).is_ok_and(|known| {
            known.name() == wanted.name() && wanted.tag().is_none_or(|tag| known.tag() == Some(tag))
        })
    };
    let mut images = index.images.into_iter();
    images
        .find(|image| image.references.iter().any(fits))
        .ok_or_else(|| Error::not_found(format!("no image {reference} on the medium")))
}

fn mount_stack(
    directory: &Path,
    image: &MediaImage,
    work: &Path,
    target: &Path,
    mounted: &mut Vec<PathBuf>,
) -> Result<()> {
    for layer in image.layers.iter().rev() {
        let path = work.join(layer.diff_id.hex());
        mount_layer(&directory.join(&layer.file), layer.size, &path)?;
        mounted.push(path);
    }
    fs::create_dir_all(target).map_err(Error::at("mkdir", target))?;
    let result = match &mounted[..] {
        // an overlay without an upper directory needs two layers
        [only] => sys::mount::bind(only, target, false),
        layers => sys::mount::overlay(layers, None, None, target),
    };
    result.map_err(|error| Error::server(error.to_string()))
}
