//! Copies of small files that hold what only the user knows: names, settings of containers and networks. Made at a start of Docker, of
//! files that were whole; they are not flushed, because a spare that a power cut has damaged is seen as such.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use engine_api::Timestamp;

use super::fits::Fits;
use super::{Healer, entries};

/// A larger file has no spare, in bytes.
const LARGEST_BYTES: u64 = 16 << 20;
/// Files with a spare: a machine has some hundred containers.
const MOST: usize = 4000;
/// Says whose spares they are.
const OWNER: &str = "root";

/// The spares of one directory of Docker's data.
#[derive(Debug)]
pub(super) struct Spares {
    directory: PathBuf,
    root: PathBuf,
    noted: Vec<PathBuf>,
}

/// One spare.
pub(super) struct Spare {
    pub(super) bytes: Vec<u8>,
    /// The day of its start.
    pub(super) date: String,
}

impl Spares {
    /// Those of `root` below `directory`; another root's are none.
    pub(super) fn of(directory: &Path, root: &Path) -> Spares {
        Spares {
            directory: self::directory(directory, root),
            root: root.to_owned(),
            noted: Vec::new(),
        }
    }

    fn place(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.root).ok()?;
        Some(self.directory.join(below))
    }

    /// A file that is whole now.
    pub(super) fn note(&mut self, path: &Path) {
        // The builder's is a cache.
        let cache = path.starts_with(self.root.join("buildkit"));
        if self.noted.len() < MOST && !cache {
            self.noted.push(path.to_owned());
        }
    }

    /// The spare of a file, when it fits.
    pub(super) fn read(&self, path: &Path, fits: Fits<'_>) -> Option<Spare> {
        let place = self.place(path)?;
        let metadata = fs::symlink_metadata(&place)
            .ok()
            .filter(fs::Metadata::is_file)?;
        let bytes = fs::read(&place).ok()?;
        // An empty database is fine where it is, and no replacement for one.
        if bytes.is_empty() || fits(&bytes).is_err() {
            return None;
        }
        let seconds = std::os::unix::fs::MetadataExt::mtime(&metadata);
        let date = Timestamp::from_unix(seconds, 0).fixed();
        Some(Spare {
            bytes,
            date: date.chars().take(10).collect(),
        })
    }

    /// Copies what was noted and has changed, and drops spares of what is gone. A spare that cannot be made is only missed later.
    pub(super) fn keep(&self) {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        if builder.create(&self.directory).is_err() {
            return;
        }
        let _ = fs::write(
            self.directory.join(OWNER),
            self.root.as_os_str().as_encoded_bytes(),
        );
        for path in &self.noted {
            if let Some(place) = self.place(path)
                && let Err(error) = copy(path, &place)
            {
                eprintln!("user-docker: no spare of {}: {error}", path.display());
            }
        }
        self.forget(&self.directory, 0);
    }

    /// Removes spares of containers and volumes that are gone: their settings hold secrets.
    fn forget(&self, directory: &Path, depth: usize) {
        if depth > 6 {
            return;
        }
        for place in entries(directory) {
            let Ok(below) = place.strip_prefix(&self.directory) else {
                continue;
            };
            if place.is_dir() {
                if self.root.join(below).is_dir() {
                    self.forget(&place, depth + 1);
                } else {
                    let _ = fs::remove_dir_all(&place);
                }
            }
        }
    }
}

/// What is kept about `root`, in `directory`.
pub(super) fn directory(directory: &Path, root: &Path) -> PathBuf {
    let own = oci_image::Digest::sha256(root.as_os_str().as_encoded_bytes());
    directory.join(&own.hex()[..16])
}

/// Copies a file that differs; its time is that of the copy.
fn copy(path: &Path, place: &Path) -> std::io::Result<()> {
    let metadata = fs::metadata(path)?;
    if metadata.len() > LARGEST_BYTES || metadata.len() == 0 {
        return Ok(());
    }
    let bytes = fs::read(path)?;
    if fs::read(place).is_ok_and(|known| known == bytes) {
        return Ok(());
    }
    if let Some(parent) = place.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    let temporary = sys::atomic_file::hidden(place);
    let _ = fs::remove_file(&temporary); // left by a power cut
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    std::io::Write::write_all(&mut file, &bytes)?;
    fs::rename(&temporary, place)
}

impl Healer {
    /// Puts the spare of a file that is missing in its place.
    pub(super) fn put_spare_back(&mut self, path: &Path, fits: Fits<'_>) -> bool {
        let Some(spare) = self.spares.read(path, fits) else {
            return false;
        };
        self.say(format!(
            "{} was missing: it is again as it was on {}",
            path.display(),
            spare.date
        ));
        self.write(path, &spare.bytes)
    }
}
