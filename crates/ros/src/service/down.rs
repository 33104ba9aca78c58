//! `ros service down`: containers go, and with them what the flags name.

use std::collections::BTreeSet;
use std::process::ExitCode;

use anyhow::Context as _;
use compose::{Scope, Step};
use config::service::HASH;
use engine_api::{Client, ContainerSummary, Engine, Filters};

use super::arguments::Images;
use super::{docker, each, socket, with_flags};
use crate::machine_config::MachineConfig;

/// The label that names a container's service. Only with [`HASH`] is it one of the configuration's: somebody's project of
/// docker compose can have RancherOS's name, too.
const SERVICE: &str = "com.docker.compose.service";

/// Stops and removes the containers of these services.
///
/// # Errors
/// When containers cannot be listed for those without a service.
pub(super) fn main(
    steps: &[Step],
    volumes: bool,
    images: Option<Images>,
    orphans: bool,
) -> anyhow::Result<ExitCode> {
    let remove = with_flags(&["rm", "--force"], &[(volumes, "--volumes")]);
    let mut code = each(steps, &remove)?;
    let mut run = |scope: Scope, words: &[&str]| {
        let ended = docker(scope, words);
        if ended != ExitCode::SUCCESS {
            code = ended;
        }
    };
    if images == Some(Images::All) {
        for step in steps {
            run(step.scope, &["rmi", &step.request.config.image]);
        }
    }
    if orphans {
        let services = MachineConfig::load().loaded.config.rancher.services;
        let known: BTreeSet<String> = services.into_keys().collect();
        for scope in [Scope::System, Scope::User] {
            for container in without_service(&containers(scope)?, &known) {
                let mut words = remove.clone();
                words.push(container);
                run(scope, &words);
            }
        }
    }
    Ok(code)
}

/// Containers of services in one of the Dockers.
fn containers(scope: Scope) -> anyhow::Result<Vec<ContainerSummary>> {
    let runtime = system_docker::event_loop()?;
    let filters = Filters::default().with("label", HASH);
    let client = Client::new(socket(scope));
    let listed = runtime.block_on(Engine::container_list(&client, true, &filters));
    listed.with_context(|| format!("cannot list the containers of {}", socket(scope)))
}

/// The ids of those whose service is not known.
fn without_service<'c>(
    containers: &'c [ContainerSummary],
    known: &BTreeSet<String>,
) -> Vec<&'c str> {
    containers
        .iter()
        .filter(|container| {
            let service = container.labels.get(SERVICE);
            service.is_some_and(|service| !known.contains(service))
        })
        .map(|container| container.id.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_containers_of_services_that_are_gone_are_orphans() {
        let container = |id: &str, service: Option<&str>| ContainerSummary {
            id: id.to_owned(),
            labels: service
                .map(|service| (SERVICE.to_owned(), service.to_owned()))
                .into_iter()
                .collect(),
            ..ContainerSummary::default()
        };
        let containers = [
            container("1", Some("web")),
            container("2", Some("gone")),
            container("3", None),
        ];
        let known = BTreeSet::from(["web".to_owned()]);
        assert_eq!(without_service(&containers, &known), ["2"]);
    }
}
