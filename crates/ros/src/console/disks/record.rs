//! What was done to disks in this instance: an entry holds once, and one that a power cut ended is begun again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sys::blockdev::{self, BlockDevice};

use crate::machine_config::CONF;

/// Next to the directory of the machine's configuration.
const FILE: &str = "../disk-setup.json";
/// An entry has some hundred bytes.
const MAX_BYTES: u64 = 4 << 20;

/// How far an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// The disk is being written: what is on it is ours.
    Begun,
    /// It was written.
    Made,
    /// It was as asked already.
    Seen,
}

/// The entries of an instance.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    instance: String,
    /// By what is asked of which disk.
    steps: BTreeMap<String, Step>,
    #[serde(skip)]
    path: PathBuf,
}

impl Record {
    /// That of another instance does not count: the disk was copied, or has come from another machine.
    pub(super) fn load(instance: &str) -> Record {
        Record::load_from(&Path::new(CONF).join(FILE), instance)
    }

    fn load_from(path: &Path, instance: &str) -> Record {
        // What is not a file is as good as none, and a pipe is not waited for: services have this directory, too.
        let text = sys::regular::read(path, MAX_BYTES).unwrap_or_default();
        let known: Option<Record> = serde_json::from_slice(&text).ok();
        let known = known.filter(|known| known.instance == instance);
        Record {
            instance: instance.to_owned(),
            path: path.to_owned(),
            ..known.unwrap_or_default()
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Step> {
        self.steps.get(key).copied()
    }

    /// # Errors
    /// When it cannot be kept: without it an entry would hold twice.
    pub(super) fn set(&mut self, key: &str, step: Step) -> anyhow::Result<()> {
        self.steps.insert(key.to_owned(), step);
        self.keep()
    }

    /// Takes an entry out that has failed, and was not cut off.
    ///
    /// # Errors
    /// When it cannot be kept.
    pub(super) fn forget(&mut self, key: &str) -> anyhow::Result<()> {
        self.steps.remove(key);
        self.keep()
    }

    fn keep(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        Ok(cloud_init::store::write_atomic(&self.path, &text, 0o600)?)
    }
}

/// What tells a disk from others that have its name at another boot.
pub(super) fn key(what: &str, device: &BlockDevice, asked: &str) -> String {
    let disk = device.parent.as_deref().unwrap_or(&device.path);
    let serial = blockdev::identity(disk).serial;
    format!(
        "{what} {} {} {serial}: {asked}",
        device.path.display(),
        device.size
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn an_entry_holds_once_in_an_instance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk-setup.json");
        let mut record = Record::load_from(&path, "one");
        assert_eq!(record.get("a"), None);
        record.set("a", Step::Begun).unwrap();
        record.set("b", Step::Made).unwrap();
        record.set("c", Step::Begun).unwrap();
        record.forget("c").unwrap();
        let again = Record::load_from(&path, "one");
        assert_eq!((again.get("a"), again.get("c")), (Some(Step::Begun), None));
        assert_eq!(again.get("b"), Some(Step::Made));
        assert_eq!(Record::load_from(&path, "two").get("b"), None);
        fs::write(&path, "{").unwrap();
        assert_eq!(Record::load_from(&path, "one").get("b"), None);
        fs::remove_file(&path).unwrap();
        // Opened as a file it would wait for its other end.
        let (here, kind) = (
            fs::File::open(folder.path()).unwrap(),
            sys::fs::NodeKind::Fifo,
        );
        let (name, owner) = (
            Path::new("disk-setup.json"),
            fs::metadata(folder.path()).unwrap(),
        );
        let owner = (owner.uid(), owner.gid());
        sys::fs::make_node(here.as_fd(), name, kind, 0o600, owner).unwrap();
        let mut record = Record::load_from(&path, "one");
        assert_eq!(record.get("b"), None);
        record.set("b", Step::Made).unwrap();
        assert_eq!(Record::load_from(&path, "one").get("b"), Some(Step::Made));
    }
}
