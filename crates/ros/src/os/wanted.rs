//! A version that somebody wants this machine to take: on a medium, or in a slot already.

use std::path::Path;

use anyhow::Context as _;
use install::{Item, Manifest, Slot, store};

use super::installed::{STORE, Version};
use crate::install::medium::Medium;

/// The version, with what the rules and the question need to know.
pub(super) struct Wanted<'a> {
    /// What it consists of.
    pub(super) manifest: &'a Manifest,
    /// SHA-256 of the manifest.
    pub(super) digest: String,
    place: Place<'a>,
}

enum Place<'a> {
    /// The second is what was asked for.
    Medium(&'a Medium, &'a str),
    Slot(Slot),
}

impl<'a> Wanted<'a> {
    /// The version of a medium; `image` is what was asked for.
    pub(super) fn on_medium(medium: &'a Medium, image: &'a str) -> Self {
        Self {
            manifest: &medium.manifest,
            digest: medium.digest(),
            place: Place::Medium(medium, image),
        }
    }

    /// The version that lies in a slot.
    pub(super) fn in_slot(version: &'a Version, slot: Slot) -> Self {
        Self {
            manifest: &version.manifest,
            digest: version.digest.clone(),
            place: Place::Slot(slot),
        }
    }

    /// The name that it was asked for by; what is on the disk has passed that check.
    pub(super) fn image(&self) -> Option<&str> {
        match self.place {
            Place::Medium(_, image) => Some(image),
            Place::Slot(_) => None,
        }
    }

    /// Where it comes from and who has signed it, for people.
    pub(super) fn origin(&self) -> (String, &'static str, Option<&str>) {
        match self.place {
            Place::Medium(medium, _) => {
                let key = medium.signed_by.as_deref();
                let words = if key.is_some() {
                    "signed, checked with"
                } else {
                    "not signed"
                };
                (medium.name.clone(), words, key)
            }
            Place::Slot(slot) => (format!("slot {slot}"), "it lies on the disk", None),
        }
    }

    /// Reads one of its files.
    ///
    /// # Errors
    /// When it cannot be read, or not be fetched.
    pub(super) fn read(&self, item: &Item) -> anyhow::Result<Vec<u8>> {
        match self.place {
            Place::Medium(medium, _) => medium.read(item, Path::new(STORE)),
            Place::Slot(slot) => {
                let path = Path::new(STORE)
                    .join(store::slot_folder(slot))
                    .join(&item.path);
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
            }
        }
    }
}
