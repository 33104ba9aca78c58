//! `docker ps`.

pub(super) mod filter;
pub(super) mod inspect;
pub(super) mod prune;

use std::rc::Rc;

use engine_api::Timestamp;
use engine_api::options::ListOptions;

use engine_api::{
    ContainerSummary, Port, PortMap, Result, SummaryHostConfig, SummaryNetworkSettings,
};

use crate::Engine;
use crate::container::{Container, Record};
use filter::ListFilter;

impl Engine {
    /// `GET /containers/json`: the youngest first.
    ///
    /// # Errors
    /// 400 for bad filters, 404 when a filter names a container that is not there.
    pub async fn containers_list(&self, options: ListOptions) -> Result<Vec<ContainerSummary>> {
        let filter = ListFilter::new(self, &options.filters)?;
        let all = options.all || options.limit > 0 || filter.all;
        let mut chosen: Vec<Rc<Container>> = self
            .all_containers()
            .into_iter()
            .filter(|container| {
                (all || container.record().state.to_api().running) && filter.passes(container)
            })
            .collect();
        chosen.sort_by_key(|container| std::cmp::Reverse(container.record().created));
        if options.limit > 0 {
            chosen.truncate(usize::try_from(options.limit).unwrap_or(usize::MAX));
        }
        let mut summaries = Vec::with_capacity(chosen.len());
        for container in chosen {
            let mut summary = self.summary(&container);
            if options.size {
                let size = self.container_size(&container).await;
                (summary.size_rw, summary.size_root_fs) = (Some(size.changed), Some(size.total));
            }
            summaries.push(summary);
        }
        Ok(summaries)
    }

    /// All containers, in the order of their identifiers.
    pub(crate) fn all_containers(&self) -> Vec<Rc<Container>> {
        self.0.containers.borrow().values().cloned().collect()
    }

    fn summary(&self, container: &Container) -> ContainerSummary {
        let record = container.record();
        let health = record
            .health
            .as_ref()
            .filter(|health| health.status != "none")
            .map(|health| health.status.as_str());
        let mut mounts: Vec<_> = record
            .mounts
            .iter()
            .filter(|mount| !is_tmpfs_option(&record, &mount.destination))
            .map(crate::container::MountRecord::to_api)
            .collect();
        mounts.sort_by(|one, other| one.destination.cmp(&other.destination));
        ContainerSummary {
            id: record.id.clone(),
            names: vec![format!("/{}", record.name)],
            image: self.image_label(&record),
            image_id: record.image_id.clone(),
            command: command(&record),
            created: record.created.unix(),
            ports: self.summary_ports(container, &record),
            size_rw: None,
            size_root_fs: None,
            labels: record.config.labels.clone(),
            state: record.state.status.word().to_owned(),
            status: record.state.describe(health, Timestamp::now()),
            host_config: SummaryHostConfig {
                network_mode: record.host_config.network_mode.clone(),
                annotations: record.host_config.annotations.clone(),
            },
            network_settings: SummaryNetworkSettings {
                networks: record.endpoints.clone(),
            },
            mounts,
        }
    }

    /// The image as the user named it, or its identifier when that name now means another image.
    fn image_label(&self, record: &Record) -> String {
        match self.0.images.resolve(&record.config.image) {
            Ok(image) if image.id == record.image_id => record.config.image.clone(),
            _ => record.image_id.clone(),
        }
    }

    fn summary_ports(&self, container: &Container, record: &Record) -> Vec<Port> {
        let live = container.live.borrow();
        match live.as_ref() {
            Some(live) => flatten(&live.ports),
            None if record.state.status.is_alive() => flatten(&PortMap::new()),
            None => Vec::new(),
        }
    }
}

/// `HostConfig.Tmpfs` does not show among the mounts, as in Docker.
pub(super) fn is_tmpfs_option(record: &Record, destination: &str) -> bool {
    record
        .host_config
        .tmpfs
        .keys()
        .any(|path| crate::container::clean(path) == destination)
}

fn command(record: &Record) -> String {
    let quoted = record.args.iter().map(|word| {
        if word.contains(' ') {
            format!("'{word}'")
        } else {
            word.clone()
        }
    });
    std::iter::once(record.path.clone())
        .chain(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

fn flatten(ports: &PortMap) -> Vec<Port> {
    let mut flat = Vec::new();
    for (port, bindings) in ports {
        let (number, kind) = port.split_once('/').unwrap_or((port, "tcp"));
        let Ok(private_port) = number.parse() else {
            continue;
        };
        let exposed = Port {
            private_port,
            typ: kind.to_owned(),
            ..Port::default()
        };
        match bindings.as_deref() {
            None | Some([]) => flat.push(exposed),
            Some(bindings) => flat.extend(bindings.iter().map(|binding| Port {
                ip: binding.host_ip.clone(),
                public_port: binding.host_port.parse().ok(),
                ..exposed.clone()
            })),
        }
    }
    flat.sort_by(|one, other| (one.private_port, &one.ip).cmp(&(other.private_port, &other.ip)));
    flat
}
