//! Content on disk: blobs by digest, written atomically, and unpacked layers by diff id.
//!
//! Layout below the root: `blobs/<algorithm>/<hex>`; `layers/<hex>/{diff/,split.gz,layer.json}`; `tmp/` for work in
//! progress, which is emptied at start. A layer directory appears by one rename, so it is whole or absent.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Context, Error, Result};

/// Largest blob that is read into memory, in bytes (manifests and configurations).
const BLOB_READ_MAX: u64 = 16 * 1024 * 1024;
/// Bits of the files. Nobody but root comes that far: the engine's directory has the mode 0710.
const FILE_MODE: u32 = 0o644;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A content store rooted in a directory.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// What is known about an unpacked layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerInfo {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub tar_size: u64,
    /// Sum of the sizes of files and symbolic links in bytes, as Docker's overlay2 counts.
    pub size: u64,
    /// Compressed forms seen in registries: digest, size, media type.
    #[serde(default)]
    pub compressed: Vec<CompressedForm>,
}

/// A compressed form of a layer, as a registry holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompressedForm {
    /// Digest of the compressed blob.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
    /// Repository (`registry/path`) it was seen in.
    pub repository: String,
}

impl Store {
    /// Opens the store, making its directories.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        for directory in ["blobs/sha256", "layers", "tmp"] {
            let path = root.join(directory);
            fs::create_dir_all(&path).context(|| format!("make {}", path.display()))?;
        }
        Ok(Self {
            root: root.to_owned(),
        })
    }

    /// The store in a directory that has its folders: nothing is made or looked at.
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The store's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Removes work that a killed process left behind. Only while no worker runs.
    ///
    /// # Errors
    /// When the work directory cannot be listed, or something in it stays.
    pub fn clear_work(&self) -> Result<()> {
        let work = self.root.join("tmp");
        for entry in fs::read_dir(&work).context(|| format!("list {}", work.display()))? {
            let path = entry.context(|| format!("list {}", work.display()))?.path();
            let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            let removed = if is_directory {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// A fresh path in the work directory.
    pub fn work_path(&self, what: &str) -> PathBuf {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        self.root
            .join("tmp")
            .join(format!("{what}-{}-{number}", std::process::id()))
    }

    /// Path of a blob.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root
            .join("blobs")
            .join(digest.algorithm_name())
            .join(digest.hex())
    }

    /// Whether a blob is there.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).is_file()
    }

    /// Stores bytes; their digest is the name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        let path = self.blob_path(&digest);
        if path.is_file() {
            return Ok(digest);
        }
        write_atomic(&path, &self.work_path("blob"), bytes)?;
        Ok(digest)
    }

    /// Reads and verifies a small blob.
    ///
    /// # Errors
    /// When it is missing, too large, or has another digest.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let what = || format!("read {}", path.display());
        let file = File::open(&path).context(what)?;
        let mut bytes = Vec::new();
        file.take(BLOB_READ_MAX)
            .read_to_end(&mut bytes)
            .context(what)?;
        digest.check_bytes(&bytes)?;
        Ok(bytes)
    }

    /// Removes a blob; absent is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove_blob(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", path.display()), error))
            }
            _ => Ok(()),
        }
    }

    /// Directory of a layer.
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.root.join("layers").join(diff_id.hex())
    }

    /// The layer's files, an overlay lower directory.
    pub fn layer_diff(&self, diff_id: &Digest) -> PathBuf {
        self.layer_path(diff_id).join("diff")
    }

    /// Whether a layer is unpacked.
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_diff(diff_id).is_dir()
    }

    /// What is known about an unpacked layer.
    ///
    /// # Errors
    /// When there is no such layer, or what is known about it is damaged.
    pub fn layer_info(&self, diff_id: &Digest) -> Result<LayerInfo> {
        let path = self.layer_path(diff_id).join("layer.json");
        let bytes = fs::read(&path).context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Error::invalid(format!("{}: {error}", path.display())))
    }

    /// Adds a compressed form to what is known about a layer.
    ///
    /// # Errors
    /// When there is no such layer, or it cannot be written.
    pub fn note_compressed(&self, diff_id: &Digest, form: CompressedForm) -> Result<()> {
        let mut info = self.layer_info(diff_id)?;
        if info.compressed.contains(&form) {
            return Ok(());
        }
        info.compressed.push(form);
        self.describe(&info)
    }

    /// Writes what is known about an unpacked layer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn describe(&self, info: &LayerInfo) -> Result<()> {
        let bytes = serde_json::to_vec(info).unwrap_or_default();
        write_atomic(
            &self.layer_path(&info.diff_id).join("layer.json"),
            &self.work_path("info"),
            &bytes,
        )
    }

    /// Removes a layer: out of sight by one rename, then its files.
    ///
    /// # Errors
    /// When it cannot be moved out of sight or its files cannot be removed.
    pub fn remove_layer(&self, diff_id: &Digest) -> Result<()> {
        let path = self.layer_path(diff_id);
        let doomed = self.work_path("removed");
        match fs::rename(&path, &doomed) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // A full disk can lack the room for the new name: what is removed first are the files then.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                return fs::remove_dir_all(&path).context(|| format!("remove {}", path.display()));
            }
            result => result.context(|| format!("remove {}", path.display()))?,
        }
        fs::remove_dir_all(&doomed).context(|| format!("remove {}", doomed.display()))
    }

    /// Diff ids of all unpacked layers.
    ///
    /// # Errors
    /// When the directory of layers cannot be listed.
    pub fn layers(&self) -> Result<Vec<Digest>> {
        let path = self.root.join("layers");
        let mut found = Vec::new();
        for entry in fs::read_dir(&path).context(|| format!("list {}", path.display()))? {
            let entry = entry.context(|| format!("list {}", path.display()))?;
            if let Some(digest) = entry
                .file_name()
                .to_str()
                .and_then(|hex| Digest::from_sha256_hex(hex).ok())
            {
                found.push(digest);
            }
        }
        Ok(found)
    }
}

/// Writes `bytes` to `path` by way of `work`, a path on the same file system: write, fsync, rename, fsync the directory.
///
/// # Errors
/// The first system call that failed; `path` then has its old content.
pub fn write_atomic(path: &Path, work: &Path, bytes: &[u8]) -> Result<()> {
    sys::atomic_file::write(path, work, bytes, FILE_MODE)
        .map_err(|error| Error::io(format!("write {}", path.display()), error.source))
}

/// Makes sure that the names in a directory are on disk.
///
/// # Errors
/// When it cannot be opened or synced.
pub fn sync_directory(path: &Path) -> Result<()> {
    sys::atomic_file::sync_directory(path)
        .map_err(|error| Error::io(format!("sync {}", path.display()), error.source))
}
