//! What images and volumes ask of the engine: who uses them. And what they tell it: events.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use images::{ImageHooks, ImageUser, LayerSource};

use crate::container::{Container, MountKind, Status};
use crate::engine::Inner;
use crate::volume::VolumeHooks;

/// What images and volumes ask about containers.
#[derive(Debug)]
pub(crate) struct Hooks(Weak<Inner>);

impl Hooks {
    pub(crate) fn new(engine: &Rc<Inner>) -> Self {
        Self(Rc::downgrade(engine))
    }

    fn containers(&self) -> Vec<Rc<Container>> {
        self.0
            .upgrade()
            .map(|engine| engine.containers.borrow().values().cloned().collect())
            .unwrap_or_default()
    }

    fn publish(&self, kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        if let Some(engine) = self.0.upgrade() {
            engine.events.publish(kind, action, id, attributes);
        }
    }
}

impl ImageHooks for Hooks {
    fn users(&self, image_id: &str) -> Vec<ImageUser> {
        let containers = self.containers();
        let users = containers
            .iter()
            .filter(|container| container.record().image_id == image_id);
        users
            .map(|container| ImageUser {
                container: container.id.clone(),
                running: container.status().is_alive() || container.status() == Status::Restarting,
            })
            .collect()
    }

    fn layers_in_use(&self) -> BTreeSet<LayerSource> {
        self.containers()
            .iter()
            .flat_map(|container| container.record().layers.clone())
            .collect()
    }

    fn event(&self, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        self.publish("image", action, id, attributes);
    }
}

impl VolumeHooks for Hooks {
    fn users(&self, name: &str) -> Vec<String> {
        let uses = |container: &Rc<Container>| {
            let record = container.record();
            record
                .mounts
                .iter()
                .any(|mount| mount.kind == MountKind::Volume && mount.name == name)
        };
        self.containers()
            .iter()
            .filter(|container| uses(container))
            .map(|container| container.id.clone())
            .collect()
    }

    fn event(&self, action: &str, name: &str, attributes: BTreeMap<String, String>) {
        self.publish("volume", action, name, attributes);
    }
}
