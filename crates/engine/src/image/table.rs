//! References to images, kept in `repositories.json`, and those of media, which live as long as this boot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine_api::Result;
use oci_image::{Digest, Reference};
use serde::{Deserialize, Serialize};

/// Name of the file's only key, as in Docker's file of the same name.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    #[serde(default)]
    repositories: BTreeMap<String, BTreeMap<String, Digest>>,
}

/// Which image each reference names.
pub(super) struct Table {
    path: PathBuf,
    own: BTreeMap<Reference, Digest>,
    media: BTreeMap<Reference, Digest>,
}

impl Table {
    /// Reads the table; a missing file is an empty one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let saved: Saved = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                engine_api::Error::server(format!("{} is damaged: {error}", path.display()))
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Saved::default(),
            Err(error) => {
                return Err(engine_api::Error::server(format!(
                    "read {}: {error}",
                    path.display()
                )));
            }
        };
        let entries = saved.repositories.into_values().flatten();
        let own = entries
            .filter_map(|(text, id)| Some((Reference::parse(&text).ok()?, id)))
            .collect();
        Ok(Self {
            path: path.to_owned(),
            own,
            media: BTreeMap::new(),
        })
    }

    /// The image of a reference; what the user set goes before media.
    pub(super) fn get(&self, reference: &Reference) -> Option<&Digest> {
        self.own
            .get(reference)
            .or_else(|| self.media.get(reference))
    }

    /// The images of a repository whose digests there are known, by these.
    pub(super) fn digests_of(&self, repository: &Reference) -> BTreeMap<Digest, Digest> {
        let all = self.media.iter().chain(&self.own);
        all.filter(|(reference, _)| reference.name() == repository.name())
            .filter_map(|(reference, id)| Some((reference.digest()?.clone(), id.clone())))
            .collect()
    }

    /// References of an image, sorted.
    pub(super) fn of(&self, id: &Digest) -> Vec<Reference> {
        let mut found: Vec<Reference> = self
            .own
            .iter()
            .chain(
                self.media
                    .iter()
                    .filter(|(reference, _)| !self.own.contains_key(reference)),
            )
            .filter(|(_, known)| *known == id)
            .map(|(reference, _)| reference.clone())
            .collect();
        found.sort();
        found
    }

    /// Points a reference at an image; returns the image it named before.
    pub(super) fn set(&mut self, reference: Reference, id: &Digest) -> Result<Option<Digest>> {
        if self.get(&reference) == Some(id) {
            return Ok(Some(id.clone()));
        }
        let before = self.get(&reference).cloned();
        let replaced = self.own.insert(reference.clone(), id.clone());
        if let Err(error) = self.save() {
            match replaced {
                Some(old) => self.own.insert(reference, old),
                None => self.own.remove(&reference),
            };
            return Err(error);
        }
        Ok(before)
    }

    /// Points a reference of a medium at its image, for this boot.
    pub(super) fn set_media(&mut self, reference: Reference, id: &Digest) {
        self.media.insert(reference, id.clone());
    }

    /// Forgets references.
    pub(super) fn remove(&mut self, references: &[Reference]) -> Result<()> {
        let mut changed = false;
        for reference in references {
            changed |= self.own.remove(reference).is_some();
            self.media.remove(reference);
        }
        if changed { self.save() } else { Ok(()) }
    }

    fn save(&self) -> Result<()> {
        let mut saved = Saved::default();
        for (reference, id) in &self.own {
            let repository = saved.repositories.entry(reference.name()).or_default();
            repository.insert(reference.to_string(), id.clone());
        }
        let bytes = serde_json::to_vec(&saved)?;
        crate::atomic_file::write(&self.path, &bytes, 0o600)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        Reference::parse(text).unwrap().or_latest()
    }

    #[test]
    fn references_survive_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repositories.json");
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        let mut table = Table::open(&path).unwrap();
        table.set(reference("a"), &one).unwrap();
        assert_eq!(table.set(reference("a"), &two).unwrap(), Some(one.clone()));
        table.set_media(reference("m"), &one);
        table.set(reference("m"), &two).unwrap();
        let table = Table::open(&path).unwrap();
        assert_eq!(table.get(&reference("a")), Some(&two));
        assert_eq!(
            table.get(&reference("m")),
            Some(&two),
            "what the user set goes before media"
        );
        assert_eq!(table.of(&one), []);
    }

    #[test]
    fn a_damaged_table_is_reported() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repositories.json");
        std::fs::write(&path, "{").unwrap();
        assert!(Table::open(&path).is_err());
    }
}
