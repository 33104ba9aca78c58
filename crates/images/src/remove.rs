//! Removing images: untagging, deleting, pruning, in Docker's order of checks and with its words.

use std::collections::BTreeSet;

use engine_api::{Error, Filters, ImageDeleteItem, ImagesPruneReport, Result};
use oci_image::{Digest, Reference};

use super::list::Conditions;
use super::{ImageUser, Images, LayerSource};

/// Filters of `POST /images/prune`.
const PRUNE_FILTERS: [&str; 4] = ["dangling", "label", "label!", "until"];

fn short(id: &str) -> String {
    id.trim_start_matches("sha256:").chars().take(12).collect()
}

/// At most one tag, and all references in one repository.
fn is_single(references: &[Reference]) -> bool {
    let tags = references
        .iter()
        .filter(|reference| reference.digest().is_none())
        .count();
    let repositories: BTreeSet<String> = references.iter().map(Reference::name).collect();
    tags <= 1 && repositories.len() <= 1
}

fn conflict(id: &Digest, soft: bool, why: &str) -> Error {
    let how = if soft {
        "must be forced"
    } else {
        "cannot be forced"
    };
    Error::conflict(format!(
        "conflict: unable to delete {} ({how}) - {why}",
        short(id.hex())
    ))
}

impl Images {
    /// Removes a reference, and the image with its last one, and then those it was made from, if they have no name and
    /// nobody else needs them.
    ///
    /// # Errors
    /// 404 for no such image, 409 when containers or other references forbid it.
    pub async fn remove(&self, reference: &str, force: bool) -> Result<Vec<ImageDeleteItem>> {
        let id = self.find(reference)?;
        let parent = self.parent_of(&id);
        let mut items = self.remove_only(reference, force).await?;
        if !self.0.state.borrow().images.contains_key(&id) {
            self.delete_parents(parent, &mut items).await?;
        }
        Ok(items)
    }

    /// As [`Self::remove`], but what the image was made from stays.
    ///
    /// # Errors
    /// As [`Self::remove`].
    pub async fn remove_only(&self, reference: &str, force: bool) -> Result<Vec<ImageDeleteItem>> {
        let id = self.find(reference)?;
        let hex = reference.strip_prefix("sha256:").unwrap_or(reference);
        let by_id = id.hex().starts_with(hex);
        let references = self.references_of(&id);
        let mut items = Vec::new();
        if by_id {
            if is_single(&references) {
                self.check(&id, force, false)?;
                self.untag(&id, &references, &mut items)?;
            }
        } else {
            self.untag_one(&id, reference, force, &references, &mut items)?;
            if !self.references_of(&id).is_empty() {
                return Ok(items);
            }
        }
        match self.check(&id, force, true) {
            // The name is gone, which was asked for; what others need stays.
            Err(_) if !by_id && (self.has_children(&id) || !self.users_of(&id).is_empty()) => {}
            checked => {
                checked?;
                self.delete(&id, &mut items).await?;
            }
        }
        Ok(items)
    }

    fn parent_of(&self, id: &Digest) -> Option<Digest> {
        let state = self.0.state.borrow();
        state.images.get(id)?.saved.parent.parse().ok()
    }

    fn has_children(&self, id: &Digest) -> bool {
        self.0.state.borrow().has_children(id)
    }

    /// Deletes an image without a name that nobody needs, and likewise what it was made from.
    async fn delete_parents(
        &self,
        mut parent: Option<Digest>,
        items: &mut Vec<ImageDeleteItem>,
    ) -> Result<()> {
        while let Some(id) = parent {
            let kept = {
                let state = self.0.state.borrow();
                let known = state.images.get(&id);
                known.is_none_or(|known| known.from_media) || state.has_children(&id)
            };
            if kept || !self.references_of(&id).is_empty() || !self.users_of(&id).is_empty() {
                break;
            }
            parent = self.parent_of(&id);
            self.delete(&id, items).await?;
        }
        Ok(())
    }

    fn references_of(&self, id: &Digest) -> Vec<Reference> {
        self.0.state.borrow().table.of(id)
    }

    fn users_of(&self, id: &Digest) -> Vec<ImageUser> {
        let hooks = self.0.hooks.borrow().clone();
        hooks.map_or_else(Vec::new, |hooks| hooks.users(&id.to_string()))
    }

    fn untag_one(
        &self,
        id: &Digest,
        text: &str,
        force: bool,
        references: &[Reference],
        items: &mut Vec<ImageDeleteItem>,
    ) -> Result<()> {
        if !force
            && is_single(references)
            && let Some(user) = self.users_of(id).first()
        {
            return Err(Error::conflict(format!(
                "conflict: unable to remove repository reference {text:?} (must force) - container {} is using its referenced image {}",
                short(&user.container),
                short(id.hex())
            )));
        }
        let wanted = super::parse_reference(text)?.or_latest();
        self.untag(id, std::slice::from_ref(&wanted), items)?;
        // a repository without tags keeps no digests
        let rest = self.references_of(id);
        let in_repository = |reference: &&Reference| reference.name() == wanted.name();
        if wanted.tag().is_some()
            && rest
                .iter()
                .filter(in_repository)
                .all(|reference| reference.tag().is_none())
        {
            let digests: Vec<Reference> = rest.iter().filter(in_repository).cloned().collect();
            self.untag(id, &digests, items)?;
        }
        Ok(())
    }

    fn untag(
        &self,
        id: &Digest,
        references: &[Reference],
        items: &mut Vec<ImageDeleteItem>,
    ) -> Result<()> {
        self.0.state.borrow_mut().table.remove(references)?;
        self.untagged(id, references, items);
        Ok(())
    }

    fn untagged(&self, id: &Digest, references: &[Reference], items: &mut Vec<ImageDeleteItem>) {
        for reference in references {
            self.event("untag", &id.to_string(), &id.to_string());
            items.push(ImageDeleteItem {
                untagged: reference.familiar(),
                deleted: String::new(),
            });
        }
    }

    /// Whether anything forbids deleting. `references` counts too, unless they have been dealt with.
    fn check(&self, id: &Digest, force: bool, references: bool) -> Result<()> {
        let users = self.users_of(id);
        if let Some(user) = users.iter().find(|user| user.running) {
            let why = format!(
                "image is being used by running container {}",
                short(&user.container)
            );
            return Err(conflict(id, false, &why));
        }
        if self.has_children(id) {
            return Err(conflict(id, false, "image has dependent child images"));
        }
        if force {
            return Ok(());
        }
        if references && !self.references_of(id).is_empty() {
            return Err(conflict(
                id,
                true,
                "image is referenced in multiple repositories",
            ));
        }
        if let Some(user) = users.first() {
            let why = format!(
                "image is being used by stopped container {}",
                short(&user.container)
            );
            return Err(conflict(id, true, &why));
        }
        if self
            .0
            .state
            .borrow()
            .images
            .get(id)
            .is_some_and(|known| known.from_media)
        {
            return Err(conflict(
                id,
                true,
                "image belongs to the system and returns at the next boot",
            ));
        }
        Ok(())
    }

    /// Deletes an image and the layers that only it had.
    async fn delete(&self, id: &Digest, items: &mut Vec<ImageDeleteItem>) -> Result<()> {
        // Names go without a write that must succeed: on a full disk the files are to go first.
        let rest = self.references_of(id);
        self.0.state.borrow_mut().table.forget(&rest);
        self.untagged(id, &rest, items);
        self.event("delete", &id.to_string(), &id.to_string());
        let Some(known) = self.0.state.borrow_mut().images.remove(id) else {
            return Ok(());
        };
        items.push(ImageDeleteItem {
            untagged: String::new(),
            deleted: id.to_string(),
        });
        if known.from_media {
            return Ok(());
        }
        let record = self.record_path(id);
        objects::atomic_file::remove(&record).map_err(|error| {
            Error::server(format!(
                "remove {}: {}",
                record.display(),
                engine_api::cause(&error)
            ))
        })?;
        self.0
            .store
            .remove_blob(id)
            .map_err(|error| super::api_error(&error))?;
        let kept = self.layers_to_keep();
        for layer in known.layers().iter().rev() {
            if !kept.contains(layer) && self.0.store.has_layer(layer) {
                self.remove_layer(layer).await?;
                items.push(ImageDeleteItem {
                    untagged: String::new(),
                    deleted: layer.to_string(),
                });
            }
        }
        // Where the names could not be written off before, there is room now.
        self.0.state.borrow_mut().table.settle();
        Ok(())
    }

    fn layers_to_keep(&self) -> BTreeSet<Digest> {
        let hooks = self.0.hooks.borrow().clone();
        let used = hooks.map_or_else(BTreeSet::new, |hooks| hooks.layers_in_use());
        let state = self.0.state.borrow();
        let of_images = state
            .images
            .values()
            .flat_map(|known| known.layers().iter().cloned());
        of_images
            .chain(used.into_iter().map(|LayerSource { diff_id }| diff_id))
            .collect()
    }

    async fn remove_layer(&self, layer: &Digest) -> Result<()> {
        let store = self.0.store.clone();
        let layer = layer.clone();
        let removed = tokio::task::spawn_blocking(move || store.remove_layer(&layer)).await;
        match removed {
            Ok(result) => result.map_err(|error| super::api_error(&error)),
            Err(error) => Err(Error::server(format!("remove a layer: {error}"))),
        }
    }

    /// Removes layers that neither an image nor a container has: leftovers of a kill or of forced removals. Only a test calls
    /// it. It must not run next to a worker, whose new layers no image has yet. Returns the bytes freed.
    ///
    /// # Errors
    /// When a layer cannot be removed.
    pub async fn collect_layers(&self) -> Result<u64> {
        let kept = self.layers_to_keep();
        let mut freed = 0;
        for layer in self
            .0
            .store
            .layers()
            .map_err(|error| super::api_error(&error))?
        {
            if !kept.contains(&layer) {
                freed += self.0.store.layer_info(&layer).map_or(0, |info| info.size);
                self.remove_layer(&layer).await?;
            }
        }
        Ok(freed)
    }

    /// Removes images that no container uses: those without a tag, or with `dangling=false` all of them.
    ///
    /// # Errors
    /// 400 for filters that do not exist.
    pub async fn prune(&self, filters: &Filters) -> Result<ImagesPruneReport> {
        let dangling_only = filters.flag("dangling")?.unwrap_or(true);
        let mut others = filters.clone();
        others.0.remove("dangling");
        let conditions = Conditions::new(self, filters, &PRUNE_FILTERS)
            .and_then(|_| Conditions::new(self, &others, &PRUNE_FILTERS))?;
        let doomed: Vec<(Digest, u64)> = {
            let state = self.0.state.borrow();
            let fits = |id: &Digest, known: &super::Known| {
                let references = state.table.of(id);
                let is_dangling = references.iter().all(|reference| reference.tag().is_none());
                !known.from_media
                    && (is_dangling || !dangling_only)
                    && conditions.hold(known, &references)
            };
            let fitting = state.images.iter().filter(|(id, known)| fits(id, known));
            fitting
                .map(|(id, known)| (id.clone(), known.size))
                .collect()
        };
        let mut report = ImagesPruneReport::default();
        let mut items = Vec::new();
        for (id, _) in doomed {
            // One that was removed with its child is there no more.
            let present = self.0.state.borrow().images.contains_key(&id);
            if !present || !self.users_of(&id).is_empty() || self.has_children(&id) {
                continue;
            }
            let parent = self.parent_of(&id);
            let before = self.layers_size();
            self.delete(&id, &mut items).await?;
            self.delete_parents(parent, &mut items).await?;
            report.space_reclaimed += u64::try_from(before - self.layers_size()).unwrap_or(0);
        }
        report.images_deleted = (!items.is_empty()).then_some(items);
        Ok(report)
    }
}
