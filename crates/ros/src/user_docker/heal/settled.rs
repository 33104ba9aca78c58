//! Layers whose content is known to be on the disk.
//!
//! dockerd unpacks a layer, notes it in its own files and flushes those, but not what it has unpacked. A power cut within some
//! thirty seconds leaves a layer that dockerd takes for whole, with files that are empty: a program of it then ends with "exec
//! format error", and pulling again does not help, because "the layer exists". So the file system is flushed as soon as a layer
//! was noted, and the layer is written down here. At a start, a layer that is not written down is compared with Docker's record
//! of it ([`super::content`]).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::{Places, entries, roots, spares};

/// Names of layers' directories, one a line. Each unpacking gets another name, so the list may outlive what it names.
const LIST: &str = "settled-layers";
/// Some ten thousand names.
const MAX_BYTES: u64 = 4 << 20;
/// dockerd's notes about layers, below its data.
const DATABASE: &str = "image/overlay2/layerdb";
/// Pause after a failure, such as a full disk.
const PAUSE: Duration = Duration::from_secs(60);

/// The layers of one directory of Docker's data.
#[derive(Debug)]
pub(super) struct Settled {
    root: PathBuf,
    list: PathBuf,
    /// None before the first start: what is there then was brought here, and reading all of it could take hours.
    known: Option<BTreeSet<String>>,
}

impl Settled {
    /// What is written down about `root`, in `directory`.
    pub(super) fn of(directory: &Path, root: &Path) -> Settled {
        let list = spares::directory(directory, root).join(LIST);
        // What is not a file is as good as none, and a pipe is not waited for.
        let bytes = sys::regular::read(&list, MAX_BYTES).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        Settled {
            root: root.to_owned(),
            known: text.map(|text| text.lines().map(str::to_owned).collect()),
            list,
        }
    }

    /// Whether the layer in this directory below `overlay2` is on the disk.
    pub(super) fn contains(&self, directory: &str) -> bool {
        let known = self.known.as_ref();
        known.is_none_or(|known| known.contains(directory))
    }

    /// Flushes, and writes down what is noted now.
    ///
    /// # Errors
    /// When either fails: the layers are compared at the next start.
    pub(super) fn keep(&mut self) -> anyhow::Result<()> {
        let noted: BTreeSet<String> = entries(&self.root.join(DATABASE).join("sha256"))
            .iter()
            .filter_map(|entry| fs::read_to_string(entry.join("cache-id")).ok())
            .map(|name| name.trim().to_owned())
            .collect();
        if self.known.as_ref() == Some(&noted) {
            return Ok(());
        }
        let known = self.known.as_ref();
        if !noted.is_subset(known.unwrap_or(&BTreeSet::new())) {
            sys::fs::sync_file_system(&self.root)?;
        }
        let text: String = noted.iter().map(|name| format!("{name}\n")).collect();
        if let Some(directory) = self.list.parent() {
            fs::create_dir_all(directory)
                .with_context(|| format!("make {}", directory.display()))?;
        }
        cloud_init::store::write_atomic(&self.list, text.as_bytes(), 0o600)?;
        self.known = Some(noted);
        Ok(())
    }
}

/// Writes down each layer as soon as dockerd has noted it, for as long as dockerd runs; it answers already.
pub(in crate::user_docker) fn watch(places: &Places) {
    let mut all: Vec<Settled> = roots(&places.data_root)
        .iter()
        // Not where containerd keeps the images.
        .filter(|root| root.join(DATABASE).is_dir())
        .map(|root| Settled::of(&places.spares, root))
        .collect();
    while let Err(error) = wait(&mut all) {
        eprintln!("user-docker: layers are not written down: {error:#}");
        std::thread::sleep(PAUSE);
    }
}

/// Writes down what is noted, and again at each change.
///
/// # Errors
/// When the directories cannot be watched, or something cannot be flushed or written.
fn wait(all: &mut [Settled]) -> anyhow::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    let names = sys::fs::NewNames::new()?;
    loop {
        for settled in &mut *all {
            let database = settled.root.join(DATABASE);
            names.watch(&database)?;
            // dockerd makes it for the first layer.
            if database.join("sha256").is_dir() {
                names.watch(&database.join("sha256"))?;
            }
            settled.keep()?;
        }
        names.wait()?;
    }
}
