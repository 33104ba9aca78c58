//! How a tar is unpacked, and what is known of it afterwards.

use crate::layer::reader::Limits;
use crate::layer::split::SplitWriter;
use oci_image::digest::Digest;

/// What whiteouts in the tar become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Devices and attributes for overlayfs: the directory will be a lower layer.
    Overlay,
    /// Ordinary files: the tar is not a layer.
    Plain,
}

/// How a tar is unpacked.
pub struct UnpackOptions {
    /// What whiteouts become.
    pub form: Form,
    /// Limits of the archive.
    pub limits: Limits,
    /// Where to record the tar's frame.
    pub split: Option<SplitWriter>,
    /// A path inside the target below which everything is put; symlinks in it are resolved inside the target.
    pub below: Vec<u8>,
    /// Refuse to replace a directory by something else and the reverse (`noOverwriteDirNonDir`).
    pub keep_kinds: bool,
    /// Owner and group of everything, instead of those in the tar.
    pub owner: Option<(u32, u32)>,
    /// Whether /proc is the kernel's. Only there links, devices and pipes, which must not be opened, get extended
    /// attributes; a worker whose root is a container's does without.
    pub procfs: bool,
}

impl UnpackOptions {
    /// A layer for overlayfs.
    pub fn layer() -> Self {
        Self {
            form: Form::Overlay,
            limits: Limits::default(),
            split: None,
            below: Vec::new(),
            keep_kinds: false,
            owner: None,
            procfs: true,
        }
    }

    /// A plain archive.
    pub fn plain() -> Self {
        Self {
            form: Form::Plain,
            ..Self::layer()
        }
    }
}

/// What was unpacked.
pub struct Unpacked {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub tar_size: u64,
    /// Sum of the sizes of files and symbolic links in bytes, as Docker's overlay2 counts.
    pub size: u64,
    /// Directories that the tar needed but did not describe; see [`adopt_implied`](super::adopt_implied).
    pub implied: Vec<Vec<u8>>,
    /// The recorded frame.
    pub split: Option<SplitWriter>,
}
