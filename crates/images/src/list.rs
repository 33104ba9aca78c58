//! What the API shows of images: lists with filters, inspection, history.

use std::collections::{BTreeMap, BTreeSet};

use engine_api::Timestamp;
use engine_api::{
    Error, Filters, GraphDriverData, HistoryItem, ImageInspect, ImageMetadata, ImageSummary,
    Result, RootFs,
};
use oci_image::{Digest, Reference};

use super::{Images, Known, State, api_error, container_config, glob};

/// Filters of `GET /images/json`.
const LIST_FILTERS: [&str; 6] = ["dangling", "label", "before", "since", "reference", "until"];

/// `GET /images/json`.
#[derive(Debug, Clone, Default)]
pub struct ImageListOptions {
    /// Also those without a name that other images were made from.
    pub all: bool,
    /// Compute `SharedSize`.
    pub shared_size: bool,
    /// Docker's filters of `images`.
    pub filters: Filters,
}

/// Conditions of filters on one image, read once.
pub(super) struct Conditions<'a> {
    filters: &'a Filters,
    before: Option<Timestamp>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    dangling: Option<bool>,
}

impl<'a> Conditions<'a> {
    pub(super) fn new(images: &Images, filters: &'a Filters, accepted: &[&str]) -> Result<Self> {
        filters.validate(accepted)?;
        let created = |key: &str| -> Result<Option<Timestamp>> {
            let Some(name) = filters.get(key).first() else {
                return Ok(None);
            };
            let id = images.find(name)?;
            let state = images.0.state.borrow();
            Ok(state.images.get(&id).map(Known::created))
        };
        let now = Timestamp::now();
        let mut until = None;
        for text in filters.get("until") {
            let time = Timestamp::parse_any(text, now).ok_or_else(|| {
                let what = "failed to parse value as time or duration";
                Error::bad_parameter(format!("{what}: {text:?}"))
            })?;
            until = Some(until.map_or(time, |known: Timestamp| known.min(time)));
        }
        for pattern in filters.get("reference") {
            glob::matches(pattern, "").ok_or_else(|| filters.invalid("reference"))?;
        }
        Ok(Self {
            filters,
            before: created("before")?,
            since: created("since")?,
            until,
            dangling: filters.flag("dangling")?,
        })
    }

    pub(super) fn hold(&self, known: &Known, references: &[Reference]) -> bool {
        let created = known.created();
        let is_dangling = references.iter().all(|reference| reference.tag().is_none());
        self.before.is_none_or(|before| created < before)
            && self.since.is_none_or(|since| created > since)
            && self.until.is_none_or(|until| created < until)
            && self.dangling.is_none_or(|wanted| wanted == is_dangling)
            && self.filters.matches_labels(&known.image.config.labels)
            && self.matches_reference(references)
    }

    fn matches_reference(&self, references: &[Reference]) -> bool {
        !self.filters.contains("reference")
            || references
                .iter()
                .any(|reference| self.reference_fits(reference))
    }

    fn reference_fits(&self, reference: &Reference) -> bool {
        let patterns = self.filters.get("reference");
        patterns.is_empty()
            || patterns.iter().any(|pattern| {
                let fits = |text: &str| glob::matches(pattern, text) == Some(true);
                fits(&reference.familiar()) || fits(&reference.familiar_name())
            })
    }
}

fn split(references: &[Reference]) -> (Vec<String>, Vec<String>) {
    let (tags, digests): (Vec<&Reference>, Vec<&Reference>) = references
        .iter()
        .partition(|reference| reference.digest().is_none());
    let familiar =
        |references: Vec<&Reference>| references.into_iter().map(Reference::familiar).collect();
    (familiar(tags), familiar(digests))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl Images {
    /// Images, the youngest first.
    ///
    /// # Errors
    /// 400 for filters that do not exist or make no sense, 404 when `before` or `since` name no image.
    pub fn list(&self, options: &ImageListOptions) -> Result<Vec<ImageSummary>> {
        let conditions = Conditions::new(self, &options.filters, &LIST_FILTERS)?;
        let hooks = self.0.hooks.borrow().clone();
        let state = self.0.state.borrow();
        let mut found: Vec<(Timestamp, ImageSummary)> = Vec::new();
        for (id, known) in &state.images {
            let mut references = state.table.of(id);
            let hidden = !options.all && references.is_empty() && state.has_children(id);
            if hidden || !conditions.hold(known, &references) {
                continue;
            }
            references.retain(|reference| {
                conditions.reference_fits(reference) || reference.digest().is_some()
            });
            let (repo_tags, repo_digests) = split(&references);
            let users = hooks
                .as_ref()
                .map(|hooks| signed(hooks.users(&id.to_string()).len() as u64));
            let summary = ImageSummary {
                id: id.to_string(),
                parent_id: known.saved.parent.clone(),
                repo_tags,
                repo_digests,
                created: known.created().unix(),
                size: signed(known.size),
                shared_size: if options.shared_size {
                    self.shared_size(&state, id, known)
                } else {
                    -1
                },
                labels: Some(known.image.config.labels.clone()),
                containers: users.unwrap_or(-1),
                ..ImageSummary::default()
            };
            found.push((known.created(), summary));
        }
        found.sort_by(|(a_time, a), (b_time, b)| {
            b_time
                .cmp(a_time)
                .then_with(|| a.repo_tags.cmp(&b.repo_tags))
        });
        Ok(found.into_iter().map(|(_, summary)| summary).collect())
    }

    /// Bytes of layers that another image has too.
    fn shared_size(&self, state: &State, id: &Digest, known: &Known) -> i64 {
        let others = state.images.iter().filter(|(other, _)| *other != id);
        let others: BTreeSet<&Digest> = others.flat_map(|(_, other)| other.layers()).collect();
        let shared = known.layers().iter().filter(|layer| others.contains(layer));
        signed(shared.map(|layer| self.size_of(state, layer)).sum())
    }

    fn size_of(&self, state: &State, layer: &Digest) -> u64 {
        let unpacked = || self.0.store.layer_info(layer).map_or(0, |info| info.size);
        state.media.size(layer).unwrap_or_else(unpacked)
    }

    /// Bytes of all layers, each counted once.
    pub fn layers_size(&self) -> i64 {
        let state = self.0.state.borrow();
        let layers: BTreeSet<&Digest> = state.images.values().flat_map(Known::layers).collect();
        signed(
            layers
                .into_iter()
                .map(|layer| self.size_of(&state, layer))
                .sum(),
        )
    }

    /// Everything about one image.
    ///
    /// # Errors
    /// 404 when there is none.
    pub fn inspect(&self, reference: &str) -> Result<ImageInspect> {
        let id = self.find(reference)?;
        let state = self.0.state.borrow();
        let known = state.known(&id, reference)?;
        let (repo_tags, repo_digests) = split(&state.table.of(&id));
        let image = &known.image;
        let never = || "0001-01-01T00:00:00Z".to_owned();
        Ok(ImageInspect {
            id: id.to_string(),
            repo_tags,
            repo_digests,
            parent: known.saved.parent.clone(),
            comment: image.comment.clone(),
            created: image.created.clone().unwrap_or_default(),
            container: known.saved.container.clone(),
            author: image.author.clone(),
            config: Some(container_config(image)?),
            architecture: image.architecture.clone(),
            variant: image.variant.clone(),
            os: image.os.clone(),
            os_version: image.os_version.clone(),
            size: signed(known.size),
            graph_driver: self.graph_driver(&state, known),
            root_fs: RootFs {
                typ: "layers".to_owned(),
                layers: known.layers().iter().map(Digest::to_string).collect(),
            },
            metadata: ImageMetadata {
                last_tag_time: known.saved.last_tag.clone().unwrap_or_else(never),
            },
            ..ImageInspect::default()
        })
    }

    fn graph_driver(&self, state: &State, known: &Known) -> GraphDriverData {
        let media = state.media.directories();
        let directory = |layer: &Digest| {
            let path = media
                .get(layer)
                .cloned()
                .unwrap_or_else(|| self.0.store.layer_diff(layer));
            path.display().to_string()
        };
        let mut directories = known.layers().iter().rev().map(directory);
        let mut data = BTreeMap::new();
        if let Some(upper) = directories.next() {
            data.insert("UpperDir".to_owned(), upper);
        }
        let lower: Vec<String> = directories.collect();
        if !lower.is_empty() {
            data.insert("LowerDir".to_owned(), lower.join(":"));
        }
        GraphDriverData {
            data,
            name: "overlay2".to_owned(),
        }
    }

    /// How an image came to be, the last step first.
    ///
    /// # Errors
    /// 404 when there is none, 500 when its configuration has more steps with layers than layers.
    pub fn history(&self, reference: &str) -> Result<Vec<HistoryItem>> {
        let id = self.find(reference)?;
        let state = self.0.state.borrow();
        let known = state.known(&id, reference)?;
        let mut layers = known.layers().iter();
        let mut items = Vec::new();
        for step in &known.image.history {
            let layer = if step.empty_layer {
                None
            } else {
                layers.next()
            };
            if layer.is_none() && !step.empty_layer {
                return Err(Error::server(
                    "too many non-empty layers in History section",
                ));
            }
            let created = step.created.as_deref().and_then(Timestamp::parse_rfc3339);
            items.push(HistoryItem {
                id: "<missing>".to_owned(),
                created: created.unwrap_or(Timestamp::ZERO).unix(),
                created_by: step.created_by.clone(),
                tags: None,
                size: signed(layer.map_or(0, |layer| self.size_of(&state, layer))),
                comment: step.comment.clone(),
            });
        }
        items.reverse();
        let (tags, _) = split(&state.table.of(&id));
        if let Some(first) = items.first_mut() {
            first.id = id.to_string();
            first.tags = (!tags.is_empty()).then_some(tags);
        }
        Ok(items)
    }

    /// Gives an image another name.
    ///
    /// # Errors
    /// 404 for no such image, 400 for a name that breaks the grammar or carries a digest.
    pub fn tag(&self, source: &str, repository: &str, tag: &str) -> Result<()> {
        let id = self.find(source)?;
        let mut target = super::parse_reference(repository)?;
        if target.digest().is_some() {
            return Err(Error::bad_parameter(
                "refusing to create a tag with a digest reference",
            ));
        }
        if target.familiar_name() == "sha256" {
            return Err(Error::bad_parameter(
                "refusing to create an ambiguous tag using digest algorithm as name",
            ));
        }
        if !tag.is_empty() {
            target = target.with_tag(tag).map_err(|error| api_error(&error))?;
        }
        self.set_tag(target.or_latest(), &id)
    }

    /// Points a reference at an image and says so.
    pub(super) fn set_tag(&self, target: Reference, id: &Digest) -> Result<()> {
        {
            let mut state = self.0.state.borrow_mut();
            state.table.set(target.clone(), id)?;
            if let Some(known) = state.images.get_mut(id) {
                known.saved.last_tag = Some(Timestamp::now().to_string());
                // The reference counts and is on disk; the time of it alone must not fail the call.
                if !known.from_media
                    && let Err(error) = self.save_record(id, &known.saved)
                {
                    sys::kmsg::warn("engine", &error.message);
                }
            }
        }
        self.event("tag", &id.to_string(), &target.familiar());
        Ok(())
    }
}
