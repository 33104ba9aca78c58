//! `docker inspect` of a container.

use std::collections::BTreeMap;

use engine_api::{ContainerInspect, GraphDriverData, Health, NetworkSettings, Result};

use crate::Engine;
use crate::container::{Container, Record};
use crate::spec::security;

impl Engine {
    /// `GET /containers/{id}/json`.
    ///
    /// # Errors
    /// 404.
    pub async fn container_inspect(&self, reference: &str, size: bool) -> Result<ContainerInspect> {
        let container = self.find(reference)?;
        let mut inspect = self.inspect(&container);
        if size {
            let size = self.container_size(&container).await;
            (inspect.size_rw, inspect.size_root_fs) = (Some(size.changed), Some(size.total));
        }
        Ok(inspect)
    }

    fn inspect(&self, container: &Container) -> ContainerInspect {
        let record = container.record();
        let file = |name: &str| {
            let path = container.layout.directory.join(name);
            if path.exists() {
                path.to_string_lossy().into_owned()
            } else {
                String::new()
            }
        };
        let mut state = record.state.to_api();
        state.health = record.health.as_ref().map(|health| Health {
            status: health.status.clone(),
            failing_streak: health.failing_streak,
            log: health.log.clone(),
        });
        let execs = container.execs.borrow();
        let log = container
            .streams
            .log
            .as_ref()
            .map(|log| log.path())
            .filter(|path| path.exists());
        ContainerInspect {
            id: record.id.clone(),
            created: record.created.to_string(),
            path: record.path.clone(),
            args: record.args.clone(),
            state,
            image: record.image_id.clone(),
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: log
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
            name: format!("/{}", record.name),
            restart_count: record.restart_count,
            driver: "overlay2".to_owned(),
            platform: "linux".to_owned(),
            app_armor_profile: apparmor_profile(&record, self.0.apparmor_profile),
            exec_ids: (!execs.is_empty()).then(|| execs.iter().cloned().collect()),
            host_config: record.host_config.clone(),
            graph_driver: self.graph_driver(container),
            mounts: record
                .mounts
                .iter()
                .filter(|mount| {
                    !crate::container::list::is_tmpfs_option(&record, &mount.destination)
                })
                .map(crate::container::MountRecord::to_api)
                .collect(),
            config: record.config.clone(),
            network_settings: network_settings(container, &record),
            ..ContainerInspect::default()
        }
    }

    fn graph_driver(&self, container: &Container) -> GraphDriverData {
        let mut data = BTreeMap::new();
        if let Ok(layers) = self.lowers(container) {
            let list: Vec<_> = layers.iter().map(|path| path.to_string_lossy()).collect();
            data.insert("LowerDir".to_owned(), list.join(":"));
        }
        for (key, path) in [
            ("UpperDir", container.layout.upper()),
            ("WorkDir", container.layout.work()),
            ("MergedDir", container.layout.rootfs.clone()),
        ] {
            data.insert(key.to_owned(), path.to_string_lossy().into_owned());
        }
        GraphDriverData {
            name: "overlay2".to_owned(),
            data,
        }
    }
}

/// Docker's answer: the profile in force; before the first start, the one requested.
fn apparmor_profile(record: &Record, default: &str) -> String {
    let host = &record.host_config;
    if record.state.started_at.is_zero() || default.is_empty() {
        return security::named_apparmor_profile(host).unwrap_or_default();
    }
    security::apparmor_profile(host, default)
}

fn network_settings(container: &Container, record: &Record) -> NetworkSettings {
    let live = container.live.borrow();
    let (ports, sandbox) = match live.as_ref() {
        Some(live) => (live.ports.clone(), live.sandbox.clone()),
        None => Default::default(),
    };
    let mut networks = record.endpoints.clone();
    if live.is_none() {
        for endpoint in networks.values_mut() {
            let wish = network::without_state(endpoint);
            *endpoint = engine_api::EndpointSettings {
                network_id: endpoint.network_id.clone(),
                ..wish
            };
        }
    }
    // The addresses at the top are those of the default bridge, as in Docker.
    let bridge = networks.get("bridge").cloned().unwrap_or_default();
    NetworkSettings {
        sandbox_id: sandbox.0,
        sandbox_key: sandbox.1,
        ports,
        endpoint_id: bridge.endpoint_id,
        gateway: bridge.gateway,
        global_ipv6_address: bridge.global_ipv6_address,
        global_ipv6_prefix_len: bridge.global_ipv6_prefix_len,
        ip_address: bridge.ip_address,
        ip_prefix_len: bridge.ip_prefix_len,
        ipv6_gateway: bridge.ipv6_gateway,
        mac_address: bridge.mac_address,
        networks,
        ..NetworkSettings::default()
    }
}
