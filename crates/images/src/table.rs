//! References to images, kept in `repositories.json`, and those of media, which live as long as this boot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine_api::{Error, Result};
use objects::Damage;
use oci_image::{Digest, Reference};
use serde::{Deserialize, Serialize};

/// Name of the file's only key, as in Docker's file of the same name.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    repositories: BTreeMap<String, BTreeMap<String, Digest>>,
}

/// Which image each reference names.
pub(super) struct Table {
    path: PathBuf,
    own: BTreeMap<Reference, Digest>,
    media: BTreeMap<Reference, Digest>,
    /// What is on disk names images that are gone.
    unsaved: bool,
}

impl Table {
    /// Reads the table; a missing file is an empty one, and so is one that is damaged together with its spare.
    pub(super) fn open(path: &Path, damage: &Damage) -> Self {
        let saved = damage.load(path, |_: &Saved| Ok(())).unwrap_or_default();
        let entries = saved.repositories.into_values().flatten();
        let own = entries
            .filter_map(|(text, id)| Some((Reference::parse(&text).ok()?, id)))
            .collect();
        Self {
            path: path.to_owned(),
            own,
            media: BTreeMap::new(),
            unsaved: false,
        }
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
        let before = self.own.clone();
        for reference in references {
            self.own.remove(reference);
        }
        if before.len() != self.own.len()
            && let Err(error) = self.save()
        {
            self.own = before;
            return Err(error);
        }
        self.forget_media(references);
        Ok(())
    }

    /// Forgets references of an image that is being deleted, also where nothing can be written: see [`Self::settle`].
    pub(super) fn forget(&mut self, references: &[Reference]) {
        let before = self.own.len();
        for reference in references {
            self.own.remove(reference);
        }
        self.forget_media(references);
        self.unsaved |= before != self.own.len();
        self.settle();
    }

    /// Writes what could not be written before: a full disk has room when the image's files are gone. Until then what is on
    /// disk names an image that is not there, which does no harm at a start.
    pub(super) fn settle(&mut self) {
        if self.unsaved {
            self.unsaved = self.save().is_err();
        }
    }

    fn forget_media(&mut self, references: &[Reference]) {
        for reference in references {
            self.media.remove(reference);
        }
    }

    fn save(&self) -> Result<()> {
        let mut saved = Saved::default();
        for (reference, id) in &self.own {
            let repository = saved.repositories.entry(reference.name()).or_default();
            repository.insert(reference.to_string(), id.clone());
        }
        let bytes = serde_json::to_vec(&saved)?;
        objects::atomic_file::write_twice(&self.path, &bytes, 0o600).map_err(|error| {
            Error::server(format!(
                "write {}: {}",
                self.path.display(),
                engine_api::cause(&error)
            ))
        })
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
        let damage = Damage::new(directory.path());
        let mut table = Table::open(&path, &damage);
        table.set(reference("a"), &one).unwrap();
        assert_eq!(table.set(reference("a"), &two).unwrap(), Some(one.clone()));
        table.set_media(reference("m"), &one);
        table.set(reference("m"), &two).unwrap();
        let table = Table::open(&path, &damage);
        assert_eq!(table.get(&reference("a")), Some(&two));
        assert_eq!(
            table.get(&reference("m")),
            Some(&two),
            "what the user set goes before media"
        );
        assert_eq!(table.of(&one), []);
    }

    #[test]
    fn a_damaged_table_is_read_from_its_spare() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repositories.json");
        let damage = Damage::new(directory.path());
        let id = Digest::sha256(b"1");
        Table::open(&path, &damage)
            .set(reference("a"), &id)
            .unwrap();
        std::fs::write(&path, "{").unwrap();
        let table = Table::open(&path, &damage);
        assert_eq!(table.get(&reference("a")), Some(&id));
        assert_eq!(damage.said().len(), 2, "{:?}", damage.said());
        assert!(directory.path().join("damaged/repositories.json").exists());
    }
}
