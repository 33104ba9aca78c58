//! The lock file: exactly which Debian packages a build takes, per architecture (`rootfs/debian-<arch>.lock`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::index::{Origin, Package};
use crate::cache;
use crate::workspace::Build;

/// First lines of the file.
const HEADER: &str =
    "# Which Debian packages this build takes. Written by `cargo xtask fetch`; commit it.\n\n";

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    /// Packages fetched by name alone.
    #[serde(default)]
    pub(crate) singles: BTreeSet<String>,
    /// Resolved closures by image name.
    #[serde(default)]
    pub(crate) closures: BTreeMap<String, Closure>,
    /// Pinned packages, by name.
    #[serde(default, rename = "package")]
    pub(crate) packages: Vec<Pin>,
}

/// What an image's request was resolved to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Closure {
    /// Key of the request: another request is resolved again.
    pub(crate) request: String,
    /// Names in the order of unpacking.
    pub(crate) packages: Vec<String>,
}

/// One pinned package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    /// Name.
    pub(crate) name: String,
    /// Version.
    pub(crate) version: String,
    /// Archive that has it.
    pub(crate) origin: Origin,
    /// Path below the archive's base address.
    pub(crate) path: String,
    /// SHA-256 in hexadecimal.
    pub(crate) sha256: String,
    /// Size in bytes.
    pub(crate) size: u64,
}

impl From<&Package> for Pin {
    fn from(package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            origin: package.origin,
            path: package.path.clone(),
            sha256: package.sha256.clone(),
            size: package.size,
        }
    }
}

impl Lock {
    /// Where the lock file of the build's architecture is.
    pub(crate) fn path(build: &Build) -> PathBuf {
        build
            .root
            .join(format!("rootfs/debian-{}.lock", build.arch.name()))
    }

    /// Reads the lock file; an absent one is empty.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("parse {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes the lock file if it changed; `locked` forbids a change.
    pub(crate) fn write(&mut self, path: &Path, locked: bool) -> Result<()> {
        self.drop_unused();
        if *self == Self::read(path)? {
            return Ok(());
        }
        if locked {
            bail!(
                "{} would have to change, but --locked forbids it: run without --locked and commit it",
                path.display()
            );
        }
        let text = toml::to_string(self).context("write the lock file")?;
        cache::write(path, format!("{HEADER}{text}").as_bytes())
    }

    /// The pin of a package.
    pub(crate) fn pin(&self, name: &str) -> Option<&Pin> {
        self.packages
            .binary_search_by(|pin| pin.name.as_str().cmp(name))
            .ok()
            .map(|position| &self.packages[position])
    }

    /// Pins a package in place of what was pinned under its name.
    pub(crate) fn set(&mut self, pin: Pin) {
        match self
            .packages
            .binary_search_by(|old| old.name.cmp(&pin.name))
        {
            Ok(position) => self.packages[position] = pin,
            Err(position) => self.packages.insert(position, pin),
        }
    }

    /// Name and version of everything that is pinned.
    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        self.packages
            .iter()
            .map(|pin| (pin.name.clone(), pin.version.clone()))
            .collect()
    }

    fn drop_unused(&mut self) {
        let used: BTreeSet<&String> = self
            .singles
            .iter()
            .chain(self.closures.values().flat_map(|closure| &closure.packages))
            .collect();
        let unused: BTreeSet<String> = self
            .packages
            .iter()
            .map(|pin| pin.name.clone())
            .filter(|name| !used.contains(name))
            .collect();
        self.packages.retain(|pin| !unused.contains(&pin.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(name: &str, version: &str) -> Pin {
        Pin {
            name: name.into(),
            version: version.into(),
            origin: Origin::Security,
            path: "pool/x.deb".into(),
            sha256: "00".into(),
            size: 1,
        }
    }

    #[test]
    fn lock_survives_writing_and_drops_what_is_unused() {
        let folder = tempfile();
        let path = folder.join("lock");
        let mut lock = Lock::default();
        lock.set(pin("b", "1"));
        lock.set(pin("a", "1"));
        lock.set(pin("b", "2"));
        lock.set(pin("unused", "1"));
        lock.singles.insert("a".into());
        lock.closures.insert(
            "base".into(),
            Closure {
                request: "k".into(),
                packages: vec!["b".into()],
            },
        );
        lock.write(&path, false).unwrap();
        let read = Lock::read(&path).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.pin("b").unwrap().version, "2");
        assert!(read.pin("unused").is_none());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn locked_forbids_a_change_but_not_the_same_content() {
        let folder = tempfile();
        let path = folder.join("lock");
        let mut lock = Lock::default();
        lock.singles.insert("a".into());
        lock.set(pin("a", "1"));
        assert!(lock.write(&path, true).is_err());
        lock.write(&path, false).unwrap();
        lock.write(&path, true).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn tempfile() -> PathBuf {
        let name = std::thread::current()
            .name()
            .unwrap_or("lock")
            .replace("::", "-");
        let folder = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}
