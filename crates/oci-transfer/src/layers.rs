//! Layers that come into the content store and go out of it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use oci_image::digest::{Digest, DigestWriter};
use oci_image::error::{Context, Result};
use oci_image::store::{LayerInfo, Store, sync_directory};

use crate::layer::{
    PackOptions, SplitWriter, TarWriter, UnpackOptions, Unpacked, adopt_implied, assemble, pack,
    unpack,
};

/// A layer that is unpacked in the work directory and not yet in its place.
pub struct StagedLayer {
    directory: PathBuf,
    info: LayerInfo,
    implied: Vec<Vec<u8>>,
    committed: bool,
}

impl StagedLayer {
    /// What was unpacked.
    pub fn info(&self) -> &LayerInfo {
        &self.info
    }
}

impl Drop for StagedLayer {
    fn drop(&mut self) {
        if !self.committed {
            // what stays behind is removed at the next start
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Layers at hand: those of the store and those mounted from media.
#[derive(Debug, Clone)]
pub struct LayerSet {
    /// The store.
    pub store: Store,
    /// Layers that are elsewhere, with the directory where they are or will be mounted.
    pub external: BTreeMap<Digest, PathBuf>,
}

impl LayerSet {
    /// Whether the layer need not be fetched.
    pub fn has(&self, diff_id: &Digest) -> bool {
        self.external.contains_key(diff_id) || self.store.has_layer(diff_id)
    }

    /// The layer's directory; an external one is preferred, it costs no disk.
    pub fn directory(&self, diff_id: &Digest) -> PathBuf {
        self.external
            .get(diff_id)
            .cloned()
            .unwrap_or_else(|| self.store.layer_diff(diff_id))
    }

    /// Puts a staged layer in its place above `below` (lowest first).
    ///
    /// # Errors
    /// When it cannot be renamed or described.
    pub fn commit(&self, staged: StagedLayer, below: &[Digest]) -> Result<LayerInfo> {
        let lowers: Vec<PathBuf> = below
            .iter()
            .rev()
            .map(|diff_id| self.directory(diff_id))
            .filter(|path| path.is_dir())
            .collect();
        self.commit_layer(staged, &lowers)
    }

    /// Unpacks a layer stream into the work directory.
    ///
    /// # Errors
    /// As for [`unpack`](crate::layer::unpack), or when the store cannot be written.
    pub fn stage_layer(&self, reader: impl Read) -> Result<StagedLayer> {
        let directory = self.store.work_path("layer");
        let diff = directory.join("diff");
        fs::create_dir_all(&diff).context(|| format!("make {}", diff.display()))?;
        // from here on the directory is removed when something fails
        let mut staged = StagedLayer {
            directory,
            info: LayerInfo {
                diff_id: Digest::sha256(b""),
                tar_size: 0,
                size: 0,
                compressed: Vec::new(),
            },
            implied: Vec::new(),
            committed: false,
        };
        let split = staged.directory.join("split.gz");
        let split = File::create(&split).context(|| format!("create {}", split.display()))?;
        let options = UnpackOptions {
            split: Some(SplitWriter::new(split)),
            ..UnpackOptions::layer()
        };
        let Unpacked {
            diff_id,
            tar_size,
            size,
            implied,
            split,
        } = unpack(reader, &diff, options)?;
        if let Some(split) = split {
            split.finish()?;
        }
        staged.info.diff_id = diff_id;
        staged.info.tar_size = tar_size;
        staged.info.size = size;
        staged.implied = implied;
        Ok(staged)
    }

    /// Puts a staged layer in its place; `lowers` are the layers below, the nearest first.
    fn commit_layer(&self, mut staged: StagedLayer, lowers: &[PathBuf]) -> Result<LayerInfo> {
        let target = self.store.layer_path(&staged.info.diff_id);
        if target.is_dir() {
            return self.store.layer_info(&staged.info.diff_id);
        }
        adopt_implied(&staged.directory.join("diff"), &staged.implied, lowers)?;
        let json = serde_json::to_vec(&staged.info).unwrap_or_default();
        let path = staged.directory.join("layer.json");
        fs::write(&path, json).context(|| format!("write {}", path.display()))?;
        let directory = File::open(&staged.directory)
            .context(|| format!("open {}", staged.directory.display()))?;
        rustix::fs::syncfs(&directory)
            .context(|| format!("sync {}", staged.directory.display()))?;
        match fs::rename(&staged.directory, &target) {
            // another worker was faster: the content is the same
            Err(_) if target.is_dir() => {}
            result => {
                result.context(|| format!("rename to {}", target.display()))?;
                staged.committed = true;
            }
        }
        sync_directory(&self.store.root().join("layers"))?;
        Ok(staged.info.clone())
    }

    /// Writes a layer's tar to a work file and returns the file's path, digest and size.
    ///
    /// An unpacked layer gives the very bytes it came from. One without a split (mounted from a medium, at `directory`) is
    /// packed afresh, and its digest can differ from its diff id.
    ///
    /// # Errors
    /// When there is no such layer, it is damaged, or `directory` cannot be written.
    pub fn export_layer(
        &self,
        diff_id: &Digest,
        directory: &Path,
    ) -> Result<(PathBuf, Digest, u64)> {
        let path = self.store.work_path("export");
        let result = self.export_to(diff_id, directory, &path);
        if result.is_err() {
            let _ = fs::remove_file(&path);
        }
        result.map(|(digest, size)| (path, digest, size))
    }

    fn export_to(&self, diff_id: &Digest, directory: &Path, path: &Path) -> Result<(Digest, u64)> {
        let file = File::create(path).context(|| format!("create {}", path.display()))?;
        let mut out = DigestWriter::new(io::BufWriter::with_capacity(256 * 1024, file));
        match File::open(self.store.layer_path(diff_id).join("split.gz")) {
            Ok(split) => {
                assemble(directory, split, &mut out)?;
                out.flush()
                    .context(|| format!("write {}", path.display()))?;
                let (digest, size, _) = out.finish();
                diff_id.check(&digest)?;
                Ok((digest, size))
            }
            Err(_) => {
                let mut tar = TarWriter::new(out);
                pack(directory, &mut tar, &PackOptions::layer())?;
                let (digest, size, _) = tar.finish()?.finish();
                Ok((digest, size))
            }
        }
    }
}
