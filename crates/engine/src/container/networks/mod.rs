//! `docker network connect` and `disconnect`: the container's side.

pub(super) mod ports;
pub(super) mod resolver;

use engine_api::{EndpointSettings, Error, Result};
use network::{ConnectTarget, is_predefined};

use crate::Engine;
use crate::container::{Container, Status};

impl Engine {
    /// `POST /networks/{id}/connect`.
    ///
    /// # Errors
    /// Docker's: 404 for network and container, 403 when it runs and is connected already, 400 for impossible wishes.
    pub async fn network_connect(
        &self,
        network: &str,
        reference: &str,
        settings: &EndpointSettings,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::conflict(format!(
                "container {} is marked for removal and cannot be connected or disconnected to the network",
                container.id
            )));
        }
        let target = connect_target(&container);
        let connected = self.0.networks.connect(network, &target, settings)?;
        let Some((name, endpoint)) = connected else {
            return Ok(());
        };
        self.refresh_ports(&container);
        let written = container.change(|record| {
            record.endpoints.insert(name.clone(), endpoint);
        });
        if written.is_err() {
            // What is not written down would be gone at the next start: it is gone now.
            let mut target = connect_target(&container);
            target.networks.push(name.clone());
            if let Err(error) = self.0.networks.disconnect(&name, &target, true) {
                crate::report(&format!("disconnect {} again: {error}", container.name()));
            }
            self.refresh_ports(&container);
            return written;
        }
        if container.status().is_alive()
            && !is_predefined(&name)
            && let Err(error) = resolver::ask_embedded(&container.layout.directory)
        {
            // The network is there all the same
            crate::report(&format!("container {}: {error}", container.id));
        }
        written
    }

    /// `POST /networks/{id}/disconnect`.
    ///
    /// # Errors
    /// Docker's: 404 for network and container, 500 when it is not connected.
    pub async fn network_disconnect(
        &self,
        network: &str,
        reference: &str,
        force: bool,
    ) -> Result<()> {
        let container = self.find(reference)?;
        let _turn = container.operation.lock().await;
        let name = self
            .0
            .networks
            .disconnect(network, &connect_target(&container), force)?;
        self.refresh_ports(&container);
        container.note(|record| {
            record.endpoints.remove(&name);
        });
        Ok(())
    }

    /// A change of networks may publish a running container's ports elsewhere.
    fn refresh_ports(&self, container: &Container) {
        if let Some(live) = container.live.borrow_mut().as_mut()
            && let Some(attachment) = self.0.networks.attachment(&container.id)
        {
            live.ports = attachment.ports;
        }
    }
}

fn connect_target(container: &Container) -> ConnectTarget {
    let record = container.record();
    let names = record
        .endpoints
        .iter()
        .flat_map(|(name, endpoint)| [name.clone(), endpoint.network_id.clone()]);
    ConnectTarget {
        container_id: record.id.clone(),
        container_name: record.name.clone(),
        hostname: record.config.hostname.clone(),
        pid: record.state.status.is_alive().then_some(record.state.pid),
        network_mode: record.host_config.network_mode.clone(),
        networks: names.filter(|name| !name.is_empty()).collect(),
        port_bindings: record.host_config.port_bindings.clone(),
        exposed_ports: record.config.exposed_ports.keys().cloned().collect(),
        publish_all: record.host_config.publish_all_ports,
    }
}
