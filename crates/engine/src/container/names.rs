//! Finding containers by name, identifier or its beginning; renaming.

use std::rc::Rc;

use objects::ids;

use engine_api::{Error, Result};

use super::{Container, Status};
use crate::Engine;

impl Engine {
    /// The container that `reference` means: full identifier, name (with or without slash), or the unique beginning
    /// of an identifier.
    ///
    /// # Errors
    /// 404 when there is none, 400 when several identifiers begin so.
    pub(crate) fn find(&self, reference: &str) -> Result<Rc<Container>> {
        let containers = self.0.containers.borrow();
        if let Some(container) = containers.get(reference) {
            return Ok(Rc::clone(container));
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = self
            .0
            .names
            .borrow()
            .get(name)
            .and_then(|id| containers.get(id))
        {
            return Ok(Rc::clone(container));
        }
        let missing = || Error::not_found(format!("No such container: {reference}"));
        if reference.is_empty() {
            return Err(Error::bad_parameter("invalid name or ID supplied: \"\""));
        }
        let mut beginning = containers
            .range(reference.to_owned()..)
            .take_while(|(id, _)| id.starts_with(reference));
        match (beginning.next(), beginning.next()) {
            (Some((_, only)), None) => Ok(Rc::clone(only)),
            (Some(_), Some(_)) => Err(Error::bad_parameter(format!(
                "multiple IDs found with provided prefix: {reference}"
            ))),
            (None, _) => Err(missing()),
        }
    }

    /// Takes `wanted`, or a free random name, for the container `id`.
    pub(super) fn reserve_name(&self, wanted: Option<&str>, id: &str) -> Result<String> {
        let mut names = self.0.names.borrow_mut();
        let Some(wanted) = wanted.filter(|name| !name.is_empty()) else {
            let name = ids::random_name(|name| names.contains_key(name))?;
            names.insert(name.clone(), id.to_owned());
            return Ok(name);
        };
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        if !ids::is_valid_name(name) {
            return Err(Error::bad_parameter(format!(
                "Invalid container name ({wanted}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        if let Some(owner) = names.get(name).filter(|owner| *owner != id) {
            return Err(Error::conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove (or \
                 rename) that container to be able to reuse that name."
            )));
        }
        names.insert(name.to_owned(), id.to_owned());
        Ok(name.to_owned())
    }

    /// Gives a name back.
    pub(super) fn release_name(&self, name: &str) {
        self.0.names.borrow_mut().remove(name);
    }

    /// `POST /containers/{id}/rename`.
    ///
    /// # Errors
    /// 400 for an invalid name, 404, 409 when the name is taken.
    pub async fn container_rename(&self, reference: &str, new: &str) -> Result<()> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        if new.trim_start_matches('/').is_empty() {
            return Err(Error::bad_parameter(
                "Neither old nor new names may be empty",
            ));
        }
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::conflict(format!(
                "container {} is marked for removal",
                container.id
            )));
        }
        let old = container.name();
        if new.trim_start_matches('/') == old {
            return Err(Error::bad_parameter(
                "Renaming a container with the same name as its current name",
            ));
        }
        let slashed = format!("/{}", new.strip_prefix('/').unwrap_or(new));
        let name = self
            .reserve_name(Some(&slashed), &container.id)
            .map_err(|error| error.context("Error when allocating new name"))?;
        if let Err(error) = container.change(|record| record.name.clone_from(&name)) {
            self.release_name(&name);
            return Err(error);
        }
        self.release_name(&old);
        self.0.networks.rename(&container.id, &name)?;
        let mut attributes = container.event_attributes();
        attributes.insert("oldName".to_owned(), format!("/{old}"));
        self.0
            .events
            .publish("container", "rename", &container.id, attributes);
        Ok(())
    }
}
